"""Models to the Hub."""

import os
from pathlib import Path

from diff4splat.hub.resolve import is_hub_id

__all__ = ["push_folder"]

_FILES = ["*.json", "*.safetensors", "README.md", "*/*.json", "*/*.safetensors"]


def push_folder(
    folder: str | os.PathLike[str],
    repository: str,
    *,
    branch: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Put a saved model into a repository of the Hub, in one commit.

    What `save_pretrained` writes is sent: configurations, safetensors and a README.md, also of parts in
    subfolders. Other files of the folder stay where they are, and files of the repository that the model no
    longer has stay there.

    Args:
        folder: Folder of a saved model.
        repository: Hub id `owner/name`; created if missing.
        branch: Branch to commit to, made if missing; the main one when omitted.
        private: Whether a repository that is created is private; one that exists keeps what it is.
        token: Access token; the one of `hf auth login` or of the variable HF_TOKEN when omitted.
        message: Of the commit.

    Returns:
        The commit, 40 hexadecimal digits.

    Raises:
        ValueError: If `repository` is not of the form `owner/name`.
        FileNotFoundError: If the folder holds no safetensors file.
        PermissionError: If the Hub does not let you write there.
        OSError: If it cannot be reached or refuses the files.
    """
    if not is_hub_id(repository):
        raise ValueError(f"repository must be a Hub id of the form owner/name, got {repository!r}.")
    folder = Path(folder)
    if not any(folder.rglob("*.safetensors")):
        raise FileNotFoundError(f"folder must hold a saved model, got {folder} without safetensors files.")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    client_error: type[Exception] = HfHubHTTPError.__bases__[0]  # any error of the HTTP client
    api = HfApi(token=token, library_name="diff4splat")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repository, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=branch,
            allow_patterns=_FILES,
            commit_message=message or "Upload a model with diff4splat",
        )
    except (client_error, OSError) as error:
        reason = " ".join(str(error).split())
        response = getattr(error, "response", None)
        if response is not None and response.status_code in (401, 403):
            raise PermissionError(
                f"the Hub does not let you write to {repository!r}; log in with `hf auth login` or give a "
                f"token: {reason}"
            ) from error
        raise OSError(f"the Hub did not take {repository!r}: {reason}") from error
    return commit.oid
