"""The configuration of a pipeline on disk: a JSON file with its parts and how they are used."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from diff4splat.diffusion import ConstantGuidance, CosineGuidance, Guidance

__all__ = ["CONFIG_NAME", "FORMAT_VERSION", "guidance_to_config", "read_pipeline_config"]

CONFIG_NAME = "pipeline_config.json"
FORMAT_VERSION = 1

_GUIDANCES: dict[str, type[ConstantGuidance] | type[CosineGuidance]] = {
    "constant": ConstantGuidance,
    "cosine": CosineGuidance,
}
_REQUIRED = {"backbone", "num_frames", "height", "width"}
_OPTIONAL = {"num_steps", "guidance", "num_gaussians", "min_opacity", "detail_size"}


def read_pipeline_config(path: Path) -> dict[str, Any]:
    """Checked configuration, with the guidance built.

    Args:
        path: The JSON file.

    Returns:
        Arguments of `Diff4SplatPipeline`, and `backbone`, the name that its backbone is registered under.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no JSON object, of another format version, or lacks or adds a key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the folder of a model must hold {CONFIG_NAME}, got none in {path.parent}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be a JSON file, got something else: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}.")
    version = config.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: format_version must be {FORMAT_VERSION}, got {version!r}.")
    missing, unknown = _REQUIRED - set(config), set(config) - _REQUIRED - _OPTIONAL
    if missing or unknown:
        raise ValueError(
            f"{path} must have the keys {sorted(_REQUIRED)} and may have {sorted(_OPTIONAL)}, "
            f"got missing {sorted(missing)} and unknown {sorted(unknown)}."
        )
    if config.get("guidance") is not None:
        config["guidance"] = _guidance_from_config(config["guidance"], path)
    return config


def guidance_to_config(guidance: Guidance | None) -> dict[str, Any] | None:
    """Words for a guidance, to be read back by `read_pipeline_config`.

    Args:
        guidance: A constant or cosine guidance, or None for the backbone's own.

    Returns:
        Its kind and options as JSON values, or None.

    Raises:
        TypeError: If the guidance is of another kind.
    """
    if guidance is None:
        return None
    for kind, cls in _GUIDANCES.items():
        if isinstance(guidance, cls) and is_dataclass(guidance):
            return {"kind": kind, **asdict(guidance)}
    got = type(guidance).__name__
    raise TypeError(f"guidance must be of a kind in {sorted(_GUIDANCES)} to be saved, got {got}.")


def _guidance_from_config(config: object, path: Path) -> Guidance:
    if not isinstance(config, Mapping):
        raise ValueError(f"{path}: guidance must be a JSON object or null, got {type(config).__name__}.")
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in _GUIDANCES:
        raise ValueError(f"{path}: the kind of guidance must be one of {sorted(_GUIDANCES)}, got {kind!r}.")
    try:
        return _GUIDANCES[kind](**options)
    except TypeError as error:
        raise ValueError(f"{path}: guidance has wrong options: {error}.") from None
