"""Parts of a diffusers repository: found in a folder or on the Hub, checked, and loaded one by one.

Only the parts that are asked for are fetched, only from safetensors, and nothing here goes to the network by
itself: `diff4splat.hub` fetches the files, the classes of diffusers and transformers read the folder.
"""

import copy
import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diff4splat.backbones.diffusers_files import check_kind, read_object, weight_problems
from diff4splat.files import atomic_path
from diff4splat.hub import Pushable, cached_commit, resolve_pretrained

__all__ = [
    "check_channels",
    "DiffusersPart",
    "DiffusersRepository",
    "floating_type",
    "import_library",
    "open_repository",
    "save_parts",
]

INDEX_NAME = "model_index.json"
ADAPTER_NAME = "camera_adapter"
_OPTIONS_KEY = "_diff4splat"  # diffusers passes over names that begin with an underscore
_SMALL = ("json", "model", "txt")  # what a repository holds beside weights
_READERS = {
    "CogVideoXImageToVideoPipeline": "cogvideox",
    "WanImageToVideoPipeline": "wan2.1",
    "WanPipeline": "wan2.2-ti2v-5b",
}


@dataclass(frozen=True)
class DiffusersPart:
    """A part of a pipeline of diffusers.

    Args:
        name: Folder of the part, and its name in model_index.json.
        class_name: Class that loads it, as "library.Class"; "diffusers.Scheduler" is the one that the
            repository names.
        optional: Whether a repository may come without it.
        keep_float32: Load its weights in float32 whatever the others are loaded in.
    """

    name: str
    class_name: str
    optional: bool = False
    keep_float32: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether it is a model; tokenizers, processors and schedulers have no weights."""
        return not self.class_name.endswith(("Scheduler", "Tokenizer", "Processor"))

    @property
    def files(self) -> tuple[str, ...]:
        """Files that it cannot do without, weights aside."""
        if self.has_weights:
            return ("config.json",)
        kinds = {"Scheduler": "scheduler", "Tokenizer": "tokenizer", "Processor": "preprocessor"}
        return tuple(f"{kind}_config.json" for end, kind in kinds.items() if self.class_name.endswith(end))


@dataclass(frozen=True)
class DiffusersRepository:
    """Folder of a diffusers repository that was found and checked; see `open_repository`.

    Args:
        folder: Local folder.
        index: Content of model_index.json.
        present: Names of the parts that are there.
        commit: Commit of the Hub that the folder holds, where it comes from there.
    """

    folder: Path
    index: Mapping[str, Any]
    present: frozenset[str]
    commit: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """What `save_parts` wrote for this library alone."""
        return self.index.get(_OPTIONS_KEY) or {}

    def config(self, name: str) -> dict[str, Any]:
        """The config.json of a part.

        Args:
            name: Name of a part with weights.

        Returns:
            Its content.

        Raises:
            ValueError: If it is damaged.
        """
        return read_object(self.folder / name / "config.json")

    def load(self, part: DiffusersPart, dtype: torch.dtype) -> Any:
        """A part, in evaluation mode if it is a model.

        Args:
            part: Part to load.
            dtype: Floating-point type of the weights.

        Returns:
            The part; None for an optional one that the repository lacks.

        Raises:
            ModuleNotFoundError: If a package is missing; says how to install it.
            ValueError: If a file is damaged, of another model, or the weights do not fit the configuration.
        """
        if part.name not in self.present:
            return None
        library, _, class_name = part.class_name.partition(".")
        if class_name == "Scheduler":  # any will do, what it predicts is checked where it is used
            class_name = str(self.index[part.name][1])
        cls = getattr(import_library(library), class_name, None)
        if cls is None:
            raise ValueError(
                f"{library} {import_library(library).__version__} has no {class_name}, which {self.folder} "
                f"needs: pip install --upgrade {library}."
            )
        folder = self.folder / part.name
        if not part.has_weights:
            return _reading(cls, folder, local_files_only=True)
        if library == "transformers":
            expected = cls.config_class.model_type
            check_kind(folder, "model_type", expected)
        model, report = _reading(
            cls,
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **{
                "dtype" if library == "transformers" else "torch_dtype": (
                    torch.float32 if part.keep_float32 else dtype
                )
            },
        )
        kinds = ["missing", "mismatched", *(["unexpected"] if library == "diffusers" else [])]
        problems = [
            f"{kind} {sorted(map(str, report[f'{kind}_keys']))[0]}"
            for kind in kinds
            if report.get(f"{kind}_keys")
        ]
        if problems:
            raise ValueError(
                f"the weights in {folder} are not those of its config.json ({', '.join(problems)}); take "
                "both from the same repository."
            )
        return model.eval()


def open_repository(
    name_or_path: str | os.PathLike[str],
    parts: Sequence[DiffusersPart],
    *,
    pipelines: Sequence[str],
    revision: str | None = None,
    local_files_only: bool = False,
    check: Callable[[DiffusersRepository], None] | None = None,
) -> DiffusersRepository:
    """Find a diffusers repository and check that it is of the right kind and whole; loads no weights.

    A part that a pipeline of diffusers was saved without, `[null, null]` in its model_index.json, counts as
    missing.

    Args:
        name_or_path: Local folder or Hub id. A folder is used without network, and so is a commit that is in
            the Hub cache.
        parts: Parts that will be loaded; others are not fetched.
        pipelines: Names of the pipelines of diffusers whose repositories are taken.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        check: Called with the repository when its configurations are there, before weights are fetched;
            raises if they do not fit.

    Returns:
        The repository.

    Raises:
        FileNotFoundError: If it, or a part of it, cannot be found or fetched; says what to do.
        ValueError: If it holds another pipeline, a part of another model, or pickle files only.
    """
    folders = [*(part.name for part in parts), ADAPTER_NAME]

    def fetch(revision: str | None, suffixes: Sequence[str]) -> Path:
        return resolve_pretrained(
            name_or_path,
            revision=revision,
            local_files_only=local_files_only,
            files=[INDEX_NAME, *(f"{name}/*.{suffix}" for name in folders for suffix in suffixes)],
            complete=lambda folder: (folder / INDEX_NAME).is_file() and not any(_problems(folder, parts)),
        )

    # Configurations first: what does not fit is refused before its weights are fetched.
    folder = fetch(revision, _SMALL)
    repository = _opened(folder, parts, pipelines)
    for error in _problems(folder, parts, weights=False):
        raise error
    for part in parts:
        library, _, class_name = part.class_name.partition(".")
        if part.has_weights and library == "diffusers" and part.name in repository.present:
            check_kind(folder / part.name, "_class_name", class_name)
    if check is not None:
        check(repository)
    folder = fetch(repository.commit or revision, [*_SMALL, "safetensors"])
    for error in _problems(folder, parts):
        raise error
    return repository


def save_parts(
    folder: str | os.PathLike[str],
    parts: Mapping[str, Any],
    *,
    pipeline: str,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    adapter: Pushable | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write parts as a repository that `open_repository` and the pipeline of diffusers read.

    Args:
        folder: Made if needed.
        parts: By name; None for one that there is not.
        pipeline: Name of the pipeline of diffusers.
        settings: Settings of that pipeline, JSON values.
        options: Settings that diffusers does not know, JSON values.
        adapter: Camera adapter, written beside the parts.
        dtype: Storage type of the weights; the one they have when omitted.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {
        "_class_name": pipeline,
        "_diffusers_version": import_library("diffusers").__version__,
    }
    for name, part in parts.items():
        index[name] = [None, None]
        if part is None:
            continue
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
        if dtype is not None and isinstance(part, nn.Module):
            part = copy.deepcopy(part).to(dtype)
        part.save_pretrained(target / name)
    if adapter is not None:
        adapter.save_pretrained(target / ADAPTER_NAME, dtype=dtype)
    index |= {**(settings or {}), _OPTIONS_KEY: dict(options or {})}
    with atomic_path(target / INDEX_NAME) as path:
        path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def check_channels(got: int, expected: int) -> None:
    """Refuse a transformer that cannot be shown an image.

    Args:
        got: Channels that it takes.
        expected: Channels of the latents and of the image.

    Raises:
        ValueError: If they differ.
    """
    if got != expected:
        raise ValueError(
            f"transformer must take {expected} channels to start from an image with this vae, got {got}: it "
            "is no image-to-video model, or of another repository."
        )


def floating_type(dtype: torch.dtype | str) -> torch.dtype:
    """A floating-point type by name, as a configuration file gives it, or itself.

    Args:
        dtype: The type, or its name such as "bfloat16".

    Returns:
        The type.

    Raises:
        ValueError: If it is none.
    """
    name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    kind = getattr(torch, name, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type such as 'bfloat16', got {name!r}.")
    return kind


def import_library(name: str) -> Any:
    """One of the two libraries that the parts come from.

    Args:
        name: Name of the package.

    Returns:
        The package; its classes load as they are asked for.

    Raises:
        ModuleNotFoundError: If it is missing; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise
        raise ModuleNotFoundError(
            f"this video model needs {name}: pip install 'diff4splat[diffusers]'", name=name
        ) from None


def _is_listed(index: Mapping[str, Any], part: DiffusersPart) -> bool:
    entry = index.get(part.name)
    return isinstance(entry, list) and len(entry) == 2 and entry[1] is not None


def _opened(folder: Path, parts: Sequence[DiffusersPart], pipelines: Sequence[str]) -> DiffusersRepository:
    """The repository in a folder, if it is one of those pipelines."""
    if not (folder / INDEX_NAME).is_file():
        raise FileNotFoundError(
            f"{folder} has no {INDEX_NAME}: give the folder or Hub id of a repository for diffusers; the "
            "names of those usually end in -Diffusers."
        )
    index = read_object(folder / INDEX_NAME)
    pipeline = index.get("_class_name")
    if pipeline not in pipelines:
        reader = _READERS.get(str(pipeline))
        raise ValueError(
            f"{folder} holds {pipeline}, expected {' or '.join(pipelines)}"
            + (f": load it as backbone {reader!r}." if reader else ", and no backbone here reads it.")
        )
    present = frozenset(part.name for part in parts if _is_listed(index, part))
    return DiffusersRepository(folder, index, present, cached_commit(folder))


def _problems(folder: Path, parts: Sequence[DiffusersPart], *, weights: bool = True) -> Iterator[Exception]:
    """What keeps the parts from being loaded, one error each."""
    index = read_object(folder / INDEX_NAME)
    for part in parts:
        place = folder / part.name
        if not _is_listed(index, part):
            if not part.optional:
                yield FileNotFoundError(
                    f"{folder / INDEX_NAME} lists no {part.name}, which this video model needs: it was saved "
                    "without; save or fetch the whole pipeline, or hand the parts to the constructor."
                )
            continue
        missing = [name for name in part.files if not (place / name).is_file()]
        if missing:
            yield FileNotFoundError(
                f"{place / missing[0]} is missing, so the repository is not whole: fetch it again, or take "
                "the one that holds all parts."
            )
        elif part.has_weights and weights:
            yield from weight_problems(place)


def _reading(cls: Any, folder: Path, **options: Any) -> Any:
    """`cls.from_pretrained`, whose many kinds of errors become one sentence each."""
    try:
        return cls.from_pretrained(folder, **options)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{folder.name} needs more packages: pip install 'diff4splat[diffusers]' ({_words(error)})"
        ) from error
    except Exception as error:  # safetensors, JSON, torch and both libraries have errors of their own
        raise ValueError(
            f"{folder} does not load as {cls.__name__}, so a file of it is damaged or of another model: "
            f"fetch it again ({_words(error)})."
        ) from error


def _words(error: Exception) -> str:
    """The beginning of an error's message, on one line."""
    return " ".join(str(error).split())[:200]
