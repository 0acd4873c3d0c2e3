"""Weights of networks: found by path or Hub id, hashed, and read without running code of a repository."""

import hashlib
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from diff4splat.evaluation.extractors.cards import ExtractorCard
from diff4splat.hub import resolve_file, resolve_pretrained

__all__ = ["file_hash", "find_file", "find_folder", "load_transformers_model", "read_state", "state_hash"]

_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLE = "pytorch_model.bin"


def find_file(
    card: ExtractorCard,
    source: str | os.PathLike[str] | None,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """The one file of a network.

    Args:
        card: Of the network.
        source: The file, a folder that holds it under its usual name, or a Hub id; the card's when None.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If it is not there; says what to fetch, where to put it and its licence.
        ValueError: If a revision is given for what is not on the Hub.
    """
    name = card.source if source is None else os.fspath(source)
    if Path(name).expanduser().is_file():
        if revision is not None:
            raise ValueError(
                f"revision must be None for what is not on the Hub, got {revision!r} for {name}."
            )
        return Path(name).expanduser()
    try:
        return resolve_file(name, card.files[0], revision=revision, local_files_only=local_files_only)
    except FileNotFoundError as error:
        raise _not_found(card, name, error, is_file=True) from error


def find_folder(
    card: ExtractorCard,
    source: str | os.PathLike[str] | None,
    *,
    files: Iterable[str],
    revision: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder of a network.

    Args:
        card: Of the network.
        source: Folder or Hub id; that of the card when None.
        files: Patterns of the files that are fetched from the Hub.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If it is not there; says what to fetch, where to put it and its licence.
        ValueError: If a revision is given for what is not on the Hub.
    """
    name = card.source if source is None else os.fspath(source)
    try:
        return resolve_pretrained(
            name, revision=revision, local_files_only=local_files_only, files=tuple(files)
        )
    except FileNotFoundError as error:
        raise _not_found(card, name, error, is_file=False) from error


def load_transformers_model(
    card: ExtractorCard,
    source: str | os.PathLike[str] | None,
    *,
    class_name: str,
    model_type: str,
    extra_files: tuple[str, ...] = (),
    revision: str | None = None,
    local_files_only: bool = False,
    **options: Any,
) -> tuple[Any, Path, str]:
    """A model of the transformers library, all of its weights from the file, and no code of its repository.

    Safetensors are taken where there are any. The pickle of older repositories is read with
    `torch.load(weights_only=True)`, which runs no code either.

    Args:
        card: Of the network.
        source: Folder or Hub id; that of the card when None.
        class_name: Of the model in transformers.
        model_type: What config.json has to say.
        extra_files: Files to fetch beside the weights and config.json, where there are any.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        **options: Of the constructor of the model.

    Returns:
        The model in evaluation mode on the CPU in float32, its folder, and the hash of its weights.

    Raises:
        ModuleNotFoundError: If transformers is missing.
        FileNotFoundError: If files are missing.
        ValueError: If the model is of another kind, or its file lacks weights.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "transformers":
            raise
        raise ModuleNotFoundError(
            f"{card.title} needs transformers: pip install 'diff4splat[diffusers]'", name="transformers"
        ) from None
    files = ("config.json", "*.safetensors", "*.safetensors.index.json", *extra_files)
    found: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    folder = find_folder(card, source, files=files, **found)
    name = card.source if source is None else os.fspath(source)
    if not any((folder / file).is_file() for file in _SAFE) and not (folder / _PICKLE).is_file():
        try:  # older repositories have a pickle alone
            folder = resolve_file(name, _PICKLE, **found).parent
        except FileNotFoundError as error:
            raise _not_found(card, name, error, is_file=False) from error
    safe = any((folder / file).is_file() for file in _SAFE)
    if not (folder / "config.json").is_file():
        reason = FileNotFoundError(f"{folder} has no file 'config.json'.")
        raise _not_found(card, name, reason, is_file=False)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != model_type:
        raise ValueError(f"{folder} must hold a model of type {model_type!r}, got {config.model_type!r}.")
    cls = getattr(transformers, class_name)
    try:
        model, report = cls.from_pretrained(
            folder,
            config=config,
            use_safetensors=safe,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise ValueError(f"{folder} does not hold the weights of a {class_name}: {_why(error)}") from error
    absent = sorted(report["missing_keys"]) + sorted(str(entry) for entry in report["mismatched_keys"])
    if absent:  # transformers would leave them drawn at random
        raise ValueError(f"{folder} lacks {len(absent)} weights of a {class_name}, such as {absent[0]}.")
    pattern = "model*.safetensors" if safe else _PICKLE
    return model.eval().requires_grad_(False), folder, file_hash(*sorted(folder.glob(pattern)))


def read_state(path: Path) -> dict[str, Tensor]:
    """State dict of a small pickle, read without running code.

    Args:
        path: File of `torch.save`.

    Returns:
        Tensors by name.

    Raises:
        ValueError: If it is no state dict, or holds more than tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is no file of weights alone: {_why(error)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} must hold tensors by name, got a {type(state).__name__} of other things.")
    return dict(state)


def file_hash(*paths: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it; of several, of the lines that it prints.

    Args:
        *paths: The files.

    Returns:
        "sha256:" and 64 hexadecimal digits.
    """
    digests = [_sha256(path) for path in paths]
    if len(paths) == 1:
        return f"sha256:{digests[0]}"
    lines = "".join(f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def state_hash(module: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of all weights of a module that was given, not loaded.

    Args:
        module: Any.

    Returns:
        "sha256:" and 64 hexadecimal digits; of a network without weights, "none".
    """
    state = module.state_dict()
    if not state:
        return "none"
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _not_found(card: ExtractorCard, name: str, error: Exception, *, is_file: bool) -> FileNotFoundError:
    goal = f"the path of {card.files[0]}" if is_file else "the path of a folder that holds them"
    return FileNotFoundError(
        f"no weights of {card.title}: {error} Where there is network, fetch {', '.join(card.files)} from "
        f"{card.page} (about {card.megabytes:g} MB; licence: {card.licence}), and give {goal} as source; or "
        f"fill the Hub cache with `hf download {card.source}`. Source that was asked for: {name!r}."
    )


def _why(error: Exception) -> str:
    """What is wrong with a file, without the advice of torch to read it at one's own risk."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds more than tensors and is not read, as that could run code."
    return str(error).partition("\n")[0]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
