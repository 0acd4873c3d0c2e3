"""Where a model is: bundled with the package, in a local folder, or on the Hub.

A name is looked for in this order; the network is touched for the last one only.
"""

import os
from pathlib import Path

__all__ = ["is_hub_id", "list_bundled", "resolve_file", "resolve_pretrained"]

_BUNDLED = Path(__file__).parents[1] / "weights"


def resolve_pretrained(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
) -> Path:
    """Local folder of a model, fetched from the Hub only if it is neither bundled nor a folder.

    Args:
        name_or_path: Name of a bundled model (write "./name" for a folder of that name), a local folder, or a
            Hub id `owner/name`.
        revision: Branch, tag or commit on the Hub; a commit, 40 hexadecimal digits, pins the files.
        local_files_only: Use what the Hub cache holds, without network.
        subfolder: Folder inside the model to return.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If nothing is found; says where it was looked for.
        ValueError: If a revision is given for a bundled model or a local folder, which have none.
    """
    prefix = "" if subfolder is None else f"{subfolder}/"
    patterns = [f"{prefix}*.json", f"{prefix}*.safetensors"]
    folder = _locate(name_or_path, patterns, revision=revision, local_files_only=local_files_only)
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
    folder = _locate(name_or_path, [filename], revision=revision, local_files_only=local_files_only)
    if not (folder / filename).is_file():
        raise FileNotFoundError(f"{os.fspath(name_or_path)} has no file {filename!r}.")
    return folder / filename


def list_bundled() -> list[str]:
    """Sorted names of the models that come with the package.

    Returns:
        Sorted names.
    """
    return sorted(path.name for path in _BUNDLED.glob("[!_.]*") if path.is_dir())


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a Hub id, `owner/name`."""
    parts = name.split("/")
    return len(parts) == 2 and all(part and part.strip(".~") and "\\" not in part for part in parts)


def _locate(
    name_or_path: str | os.PathLike[str], patterns: list[str], *, revision: str | None, local_files_only: bool
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
        folder = _fetch(name, patterns, revision=revision, local_files_only=local_files_only)
    else:
        raise FileNotFoundError(
            f"no model {name!r}: it is not bundled (bundled: {list_bundled()}), {Path(name).absolute()} is "
            "not a folder, and it is not a Hub id of the form owner/name."
        )
    if revision is not None and not on_hub:
        raise ValueError(f"revision must be None for what is not on the Hub, got {revision!r} for {folder}.")
    return folder


def _fetch(name: str, patterns: list[str], *, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            local_files_only=local_files_only,
            allow_patterns=patterns,
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"no model {name!r}: it is not bundled (bundled: {list_bundled()}), {Path(name).absolute()} is "
            f"not a folder, and the Hub {'cache ' if local_files_only else ''}did not give it: {reason}"
        ) from error
    return Path(folder)
