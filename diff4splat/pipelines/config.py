"""The configuration of a pipeline on disk: a JSON file with its parts and how they are used."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from diff4splat.backbones import PretrainedReference
from diff4splat.diffusion import (
    AdaptiveProjectedGuidance,
    ConstantGuidance,
    CosineGuidance,
    Guidance,
    IntervalGuidance,
    ZeroStarGuidance,
)

__all__ = [
    "CONFIG_NAME",
    "FORMAT_VERSION",
    "guidance_to_config",
    "read_pipeline_config",
    "reference_to_config",
]

CONFIG_NAME = "pipeline_config.json"
FORMAT_VERSION = 2
"""What is written. Version 1, which has no references to other repositories, is read as well."""

_GUIDANCES = {
    "adaptive_projection": AdaptiveProjectedGuidance,
    "constant": ConstantGuidance,
    "cosine": CosineGuidance,
    "interval": IntervalGuidance,
    "zero_star": ZeroStarGuidance,
}
_REQUIRED: dict[str, tuple[type, ...]] = {
    "backbone": (str, dict),
    "num_frames": (int,),
    "height": (int,),
    "width": (int,),
}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    "reconstructor": (dict,),
    "num_steps": (int,),
    "guidance": (dict, type(None)),
    "num_gaussians": (int, type(None)),
    "min_opacity": (int, float),
    "detail_size": (int,),
}
_SET_BY_THE_LOADER = ("name_or_path", "local_files_only", "camera_adapter")
_JSON_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    dict: "an object",
    type(None): "null",
}


def read_pipeline_config(path: Path) -> dict[str, Any]:
    """Checked configuration, with the guidance built.

    Args:
        path: The JSON file.

    Returns:
        Arguments of `Diff4SplatPipeline`, and where its parts are: `backbone` is the name of one whose
        weights lie in the folder, or a `PretrainedReference`; `reconstructor` is one, or is not there where
        an LDRM lies in the folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no JSON object, of another format version, or lacks or adds a key, or a
            value is of the wrong kind.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"a pipeline must hold {CONFIG_NAME}, got none in {path.parent}; see `diff4splat models`"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be a JSON file, got something else: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}.")
    version = config.pop("format_version", None)
    if version not in (1, FORMAT_VERSION):
        raise ValueError(f"{path}: format_version must be 1 or {FORMAT_VERSION}, got {version!r}.")
    known = {**_REQUIRED, **_OPTIONAL}
    missing, unknown = set(_REQUIRED) - set(config), set(config) - set(known)
    if missing or unknown:
        raise ValueError(
            f"{path} must have the keys {sorted(_REQUIRED)} and may have {sorted(_OPTIONAL)}, "
            f"got missing {sorted(missing)} and unknown {sorted(unknown)}."
        )
    for key, value in config.items():
        if not isinstance(value, known[key]) or isinstance(value, bool):
            kinds = " or ".join(_JSON_WORDS[kind] for kind in known[key])
            raise ValueError(f"{path}: {key} must be {kinds}, got {value!r}.")
    if config.get("guidance") is not None:
        config["guidance"] = _guidance_from_config(config["guidance"], path)
    for key in ("backbone", "reconstructor"):
        if isinstance(config.get(key), dict):
            config[key] = _reference_from_config(key, config[key], path)
    return config


def reference_to_config(reference: PretrainedReference, folder: Path) -> dict[str, Any]:
    """Words for a reference, to be read back by `read_pipeline_config`.

    Args:
        reference: Where a part comes from.
        folder: Folder that the words are written to; other folders are named as seen from it.

    Returns:
        Kind, repository, revision and options as one JSON object.
    """
    names = {"kind": reference.kind, "repository": reference.repository, "revision": reference.revision}
    words = {**names, **reference.options}
    for name, value in words.items():
        place = os.path.expanduser(value) if isinstance(value, str) else ""
        # os.path, unlike Path, takes words that are too long for a name, such as a negative prompt
        if os.path.exists(place) and (name == "repository" or os.path.isabs(place)):
            seen = Path(os.path.relpath(Path(place).resolve(), folder.resolve())).as_posix()
            words[name] = seen if seen.startswith(".") else f"./{seen}"
    return words


def guidance_to_config(guidance: Guidance | None) -> dict[str, Any] | None:
    """Words for a guidance, to be read back by `read_pipeline_config`.

    Args:
        guidance: A guidance of this library, around others of this library or not, or None for the backbone's
            own.

    Returns:
        Its kind and options as JSON values, those of a guidance inside among them, or None.

    Raises:
        TypeError: If the guidance, or one inside, is of another kind.
    """
    if guidance is None:
        return None
    for kind, cls in _GUIDANCES.items():
        if type(guidance) is cls:
            values = {field.name: getattr(guidance, field.name) for field in fields(guidance)}
            return {"kind": kind, **{name: _to_json(value) for name, value in values.items()}}
    got = type(guidance).__name__
    raise TypeError(f"guidance must be of a kind in {sorted(_GUIDANCES)} to be saved, got {got}.")


def _reference_from_config(key: str, config: Mapping[str, Any], path: Path) -> PretrainedReference:
    options = dict(config)
    kind, repository, revision = (options.pop(name, None) for name in ("kind", "repository", "revision"))
    for name, value in (("kind", kind), ("repository", repository)):
        if not (isinstance(value, str) and value):
            raise ValueError(f"{path}: {key} must have a {name}, a string that is not empty, got {value!r}.")
    if not (revision is None or isinstance(revision, str)):
        raise ValueError(f"{path}: the revision of {key} must be a string or null, got {revision!r}.")
    reserved = sorted(options.keys() & set(_SET_BY_THE_LOADER))
    if reserved:
        raise ValueError(f"{path}: {key} must not set {reserved}, which loading sets.")
    return PretrainedReference(kind, repository, revision, options)


def _to_json(value: Guidance | float) -> dict[str, Any] | float | None:
    if isinstance(value, Guidance):
        return guidance_to_config(value)
    return None if value == math.inf else value  # JSON has no infinity


def _from_json(value: Any, path: Path) -> Any:
    if isinstance(value, Mapping):
        return _guidance_from_config(value, path)
    return math.inf if value is None else value


def _guidance_from_config(config: Mapping[str, Any], path: Path) -> Guidance:
    options = {name: _from_json(value, path) for name, value in config.items()}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in _GUIDANCES:
        raise ValueError(f"{path}: the kind of guidance must be one of {sorted(_GUIDANCES)}, got {kind!r}.")
    try:
        return _GUIDANCES[kind](**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: guidance has wrong options: {error}") from None
