"""Where a model is: bundled with the package, in a local folder, or on the Hub.

A name is looked for in this order; the network is touched for the last one only.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = [
    "cached_commit",
    "comes_with_weights",
    "is_hub_id",
    "list_bundled",
    "resolve_file",
    "resolve_pretrained",
]

_BUNDLED = Path(__file__).parents[1] / "weights"
_FILES = ("*.json", "*.safetensors")


def resolve_pretrained(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    files: Sequence[str] = _FILES,
    complete: Callable[[Path], bool] | None = None,
) -> Path:
    """Local folder of a model, fetched from the Hub only if it is neither bundled nor a folder.

    The token for private and gated repositories is that of `hf auth login` or of the variable HF_TOKEN.

    Args:
        name_or_path: Name of a bundled model (write "./name" for a folder of that name), a local folder, or a
            Hub id `owner/name`.
        revision: Branch, tag or commit on the Hub; a commit, 40 hexadecimal digits, pins the files.
        local_files_only: Use what the Hub cache holds, without network.
        subfolder: Folder inside the model to return.
        files: Patterns of the files that are fetched, relative to `subfolder`. Pickle files run code when
            they are opened: leave them out.
        complete: Whether a folder holds all that is needed. With it a commit that is in the cache is returned
            without a request.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If nothing is found; says where it was looked for.
        ValueError: If a revision is given for a bundled model or a local folder, which have none.
    """
    prefix = "" if subfolder is None else f"{subfolder}/"
    patterns = [f"{prefix}{pattern}" for pattern in files]
    folder = _locate(
        name_or_path,
        patterns,
        revision=revision,
        local_files_only=local_files_only,
        complete=complete,
    )
    if subfolder is None:
        return folder
    if not (folder / subfolder).is_dir():
        raise FileNotFoundError(f"{folder} has no folder {subfolder!r}.")
    return folder / subfolder


def resolve_file(
    name_or_path: str | os.PathLike[str],
    filename: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """One file of a model; from the Hub, it is fetched alone.

    Args:
        name_or_path: Bundled name, local folder or Hub id, see `resolve_pretrained`.
        filename: The file inside, with "/" between folders.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the model is not found or has no such file.
        ValueError: If a revision is given for a bundled model or a local folder.
    """
    folder = _locate(
        name_or_path,
        [filename],
        revision=revision,
        local_files_only=local_files_only,
        complete=lambda folder: (folder / filename).is_file(),
    )
    if not (folder / filename).is_file():
        raise FileNotFoundError(f"{os.fspath(name_or_path)} has no file {filename!r}.")
    return folder / filename


def list_bundled() -> list[str]:
    """Sorted names of the models that come with the package.

    Returns:
        Sorted names.
    """
    return sorted(path.name for path in _BUNDLED.glob("[!_.]*") if path.is_dir())


def comes_with_weights(name: str) -> bool:
    """Whether a bundled model has its weights in the package; a route has those of others."""
    return name in list_bundled() and any((_BUNDLED / name).rglob("*.safetensors"))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a Hub id, `owner/name`."""
    parts = name.split("/")
    return len(parts) == 2 and all(part and part.strip(".~") and "\\" not in part for part in parts)


def cached_commit(folder: str | os.PathLike[str]) -> str | None:
    """Commit that a folder of the Hub cache holds.

    Args:
        folder: As `resolve_pretrained` returns it for a Hub id, without subfolder.

    Returns:
        The commit, 40 hexadecimal digits; None for a folder elsewhere.
    """
    folder = Path(folder)
    return folder.name if folder.parent.name == "snapshots" and _is_commit(folder.name) else None


def _locate(
    name_or_path: str | os.PathLike[str],
    patterns: list[str],
    *,
    revision: str | None,
    local_files_only: bool,
    complete: Callable[[Path], bool] | None,
) -> Path:
    """Folder of a model; from the Hub, the files that fit one of the patterns."""
    name = os.fspath(name_or_path)
    on_hub = False
    if name in list_bundled():
        folder = _BUNDLED / name
    elif name and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif Path(name).is_file():
        raise FileNotFoundError(f"a model must be a bundled name, a folder or a Hub id, got the file {name}.")
    elif is_hub_id(name):
        on_hub = True
        folder = _fetch(
            name, revision=revision, local_files_only=local_files_only, patterns=patterns, complete=complete
        )
    else:
        raise FileNotFoundError(
            f"no model {name!r}: it is not bundled (bundled: {list_bundled()}), {Path(name).absolute()} is "
            "not a folder, and it is not a Hub id of the form owner/name."
        )
    if revision is not None and not on_hub:
        raise ValueError(f"revision must be None for what is not on the Hub, got {revision!r} for {folder}.")
    return folder


def _is_commit(revision: str) -> bool:
    return re.fullmatch("[0-9a-f]{40}", revision) is not None


def _fetch(
    name: str,
    *,
    revision: str | None,
    local_files_only: bool,
    patterns: list[str],
    complete: Callable[[Path], bool] | None,
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    client_error: type[Exception] = HfHubHTTPError.__bases__[0]  # any error of the HTTP client
    if complete is not None and revision is not None and _is_commit(revision):
        try:
            cached = snapshot_download(
                name, revision=revision, local_files_only=True, allow_patterns=patterns
            )
        except (LocalEntryNotFoundError, HFValidationError):
            pass  # not in the cache, or not whole
        else:
            if complete(Path(cached)):
                return Path(cached)
    try:
        folder = snapshot_download(
            name, revision=revision, local_files_only=local_files_only, allow_patterns=patterns
        )
    except (client_error, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f"no model {name!r}: it is not bundled (bundled: {list_bundled()}), {Path(name).absolute()} is "
            f"not a folder, and the Hub {'cache ' if local_files_only else ''}did not give it: "
            f"{_what_to_do(error, name, revision, local_files_only=local_files_only)}"
        ) from error
    return Path(folder)


def _what_to_do(error: Exception, name: str, revision: str | None, *, local_files_only: bool) -> str:
    """What went wrong with a download and what cures it, in words; the client's own where none are known."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{name}"
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    if isinstance(cause, GatedRepoError):
        return f"it is gated; accept its terms at {page} and log in with `hf auth login` or set HF_TOKEN."
    if isinstance(cause, RevisionNotFoundError):
        return f"it has no revision {revision!r}; see {page}/commits for those it has."
    if isinstance(cause, RepositoryNotFoundError):
        return (
            f"there is no {page}, or it is private; check the name, and log in with `hf auth login` or set "
            "HF_TOKEN if it is private."
        )
    if status == 401:
        return "it refused the token; log in again with `hf auth login`, or correct or unset HF_TOKEN."
    if status == 403:
        return f"your token may not read it; ask for access at {page}, or use another token in HF_TOKEN."
    if local_files_only or constants.HF_HUB_OFFLINE:
        return (
            "it is not in the cache, or not whole; fetch it once with network, without local_files_only "
            "and HF_HUB_OFFLINE."
        )
    reason = " ".join(str(cause).split())
    if status is not None:
        return f"it answered with error {status}; try again later ({reason})."
    if isinstance(error, OSError) and error.errno is not None:
        return f"the files could not be written; see to the disk that HF_HOME names ({reason})."
    return f"the connection failed or broke off; try again, what came so far is kept ({reason})."
