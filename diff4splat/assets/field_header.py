"""The header of the native 4D asset: what its numbers mean, and which readers can read it.

Every value of the safetensors metadata is a JSON text. docs/scene_format.md lists the keys.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from diff4splat.assets.field_file import opened
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["COMPACT", "field_header", "header_texts", "read_field_header"]

FORMAT = "diff4splat-scene"
EXACT_VERSION = "1.0"  # the oldest version whose readers read a file of the exact form
COMPACT_VERSION = "2.0"  # since then readers look at `requires`
MAJOR = 2  # the first number changes when an older reader would misread a file
COMPACT = "compact"  # the one thing so far that a file can require of its reader
FEATURES = (COMPACT,)
CONVENTIONS = {
    "axes": "opencv (+x right, +y down, +z forward)",
    "quaternion": "wxyz",
    "scale": "linear",
    "opacity": "probability",
    "color": "spherical harmonics, rgb = 0.5 + sum of coefficient x basis (3DGS basis)",
    "unit": "scene unit (metres where the source was metric)",
}
COMPOSITION = {
    "log": "mean + delta_mean; quaternion * delta_quaternion (Hamilton); scale * exp(delta_scale)",
    "linear": "mean + delta_mean; quaternion * delta_quaternion (Hamilton); scale + delta_scale",
}


def field_header(field: DeformableGaussianField, provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Header of a file of the exact form, without cameras.

    Args:
        field: What is saved.
        provenance: Joins the metadata of the field and wins where a key is in both.

    Returns:
        JSON values.
    """
    from diff4splat import __version__

    return {
        "format": FORMAT,
        "version": EXACT_VERSION,
        **CONVENTIONS,
        "scale_space": field.scale_space,
        "composition": COMPOSITION[field.scale_space],
        "sh_degree": field.canonical.sh_degree,
        "library": f"diff4splat {__version__}",
        "provenance": {**field.metadata, **(provenance or {})},
    }


def header_texts(header: Mapping[str, Any]) -> dict[str, str]:
    """JSON text of each entry; JSON has neither NaN nor infinity.

    Args:
        header: JSON values.

    Returns:
        Metadata of a safetensors file.

    Raises:
        ValueError: If a value is none of JSON; names its key.
    """
    texts = {}
    for key, value in header.items():
        try:
            texts[key] = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{key} must consist of JSON values, but {error}.") from error
    return texts


def read_field_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Conventions and provenance of a native asset, without reading its tensors.

    Args:
        path: File of format `diff4splat-scene`.

    Returns:
        The header; the keys that every file has are `format`, `version`, `scale_space`, `sh_degree` and
        `provenance`; compact files have `requires`, `encodings` and `error_bound`, too.

    Raises:
        ValueError: If the file is unreadable, of another format or of a newer major version, or requires
            something that this version does not know.
        FileNotFoundError: If there is no such file.
    """
    with opened(path) as file:
        metadata = file.metadata() or {}
    try:
        header = {key: json.loads(value) for key, value in metadata.items()}
    except (ValueError, RecursionError):
        header = {}  # a safetensors file of another program, whose metadata is plain text
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file, but not a {FORMAT} (format {metadata.get('format')!r})."
        )
    _check_version(path, header)
    for key, expected in (("axes", CONVENTIONS["axes"]), ("quaternion", "wxyz"), ("scale", "linear")):
        if header.get(key, expected) != expected:
            raise ValueError(f"{path} states {key} {header[key]!r}; this version reads {expected!r}.")
    if header.get("scale_space") not in ("log", "linear"):
        raise ValueError(
            f"{path} is damaged: scale_space must be log or linear, got {header.get('scale_space')!r}."
        )
    degree = header.get("sh_degree")
    if type(degree) is not int or not 0 <= degree <= 4:
        raise ValueError(f"{path} is damaged: sh_degree must be 0 to 4, got {degree!r}.")
    if not isinstance(header.setdefault("provenance", {}), dict):
        raise ValueError(f"{path} is damaged: provenance must be an object.")
    return header


def _check_version(path: str | os.PathLike[str], header: dict[str, Any]) -> None:
    """Refuse files that this version would misread."""
    version, required = header.get("version"), header.get("requires", [])
    major = version.split(".")[0] if isinstance(version, str) else ""
    if not (major.isdecimal() and len(major) < 9):
        raise ValueError(
            f"{path} is damaged: version must be text such as {EXACT_VERSION!r}, got {version!r}."
        )
    if int(major) > MAJOR:
        raise ValueError(
            f"{path} has format version {version}; this diff4splat reads up to {MAJOR}: update it."
        )
    if not isinstance(required, list):
        raise ValueError(f"{path} is damaged: requires must be a list, got {required!r}.")
    unknown = [name for name in required if name not in FEATURES]
    if unknown:
        raise ValueError(
            f"{path} requires {unknown[0]!r} of its reader, which this diff4splat does not know: update it."
        )
