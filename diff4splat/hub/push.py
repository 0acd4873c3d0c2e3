"""Models to the Hub."""

import os
import tempfile
from abc import ABCMeta, abstractmethod
from pathlib import Path
from typing import Any

import torch

from diff4splat.hub.resolve import is_hub_id

__all__ = ["Pushable", "push_folder"]

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
        FileNotFoundError: If the folder holds neither JSON nor safetensors files.
        PermissionError: If the Hub does not let you write there.
        OSError: If it cannot be reached or refuses the files.
    """
    if not is_hub_id(repository):
        raise ValueError(f"repository must be a Hub id of the form owner/name, got {repository!r}.")
    folder = Path(folder)
    if not any(folder.glob("*.json")) and not any(folder.rglob("*.safetensors")):
        raise FileNotFoundError(f"folder must hold a saved model, got {folder} without its files.")
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


class Pushable(metaclass=ABCMeta):  # as a base, ABC would keep torch from sharding modules that inherit this
    """What can be saved in a folder, and so be pushed: inherit it and write `save_pretrained`."""

    @abstractmethod
    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
        """Write JSON and safetensors files.

        Args:
            folder: Created if missing.
            dtype: Storage type of floating-point weights; the type they have when omitted.
        """

    def push_to_hub(
        self,
        repository: str,
        *,
        branch: str | None = None,
        private: bool = False,
        token: str | None = None,
        message: str | None = None,
        **options: Any,
    ) -> str:
        """Put what `save_pretrained` writes into a repository of the Hub, in one commit.

        Args:
            repository: Hub id `owner/name`; created if missing.
            branch: See [push_folder][diff4splat.hub.push_folder].
            private: See `push_folder`.
            token: See `push_folder`.
            message: See `push_folder`.
            **options: Passed to `save_pretrained`, for instance `dtype`.

        Returns:
            The commit, 40 hexadecimal digits. With `from_pretrained(repository, revision=...)` it loads this
            very state.

        Raises:
            TypeError: If this cannot be saved, or not with these options.
            ValueError: If `repository` is not of the form `owner/name`, or there are weights that loading
                would refuse.
            PermissionError: If the Hub does not let you write there.
            OSError: If it cannot be reached or refuses the files.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **options)
            return push_folder(
                folder, repository, branch=branch, private=private, token=token, message=message
            )
