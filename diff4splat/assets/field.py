"""The native 4D asset: one safetensors file that holds a deformable field and states its own conventions.

Tensors: `canonical.{means, quaternions, scales, opacities, harmonics}`, `deltas.{means, quaternions,
scales}`, `times`, and optionally `cameras.{camera_to_world, intrinsics}`. Every value of the safetensors
metadata is a JSON text: what the numbers mean (axes, quaternion order, composition rule) and where they
come from.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.files import write_safetensors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["load_field", "load_field_cameras", "read_field_header", "save_field"]

FORMAT = "diff4splat-scene"
VERSION = "1.0"  # the first number changes when an older reader would misread the file
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
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
GAUSSIAN_WIDTHS = {"means": (3,), "quaternions": (4,), "scales": (3,), "opacities": ()}


def save_field(
    field: DeformableGaussianField,
    path: str | os.PathLike[str],
    *,
    cameras: Cameras | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a deformable field, bit for bit, with its conventions and where it comes from.

    The file is written whole or not at all; an existing file is replaced.

    Args:
        field: One field without batch axes; any floating dtype and device.
        path: File to write, by habit `scene.safetensors`.
        cameras: The commanded camera path, without batch axes, kept beside the field.
        provenance: JSON values such as model, checkpoint hash, seed, prompt and licence; they join
            `field.metadata`, and win where a key is in both.

    Raises:
        ValueError: If the field or the cameras have batch axes or invalid values, or if provenance is not
            JSON.
        FileNotFoundError: If the folder does not exist.
    """
    _check_single("field", tuple(field.canonical.batch_shape))
    if not field.num_gaussians:
        raise ValueError("field must have at least one Gaussian, got none.")
    field.validate()
    canonical = field.canonical
    tensors = {
        "canonical.means": canonical.means,
        "canonical.quaternions": canonical.quaternions,
        "canonical.scales": canonical.scales,
        "canonical.opacities": canonical.opacities,
        "canonical.harmonics": canonical.harmonics,
        "deltas.means": field.delta_means,
        "deltas.quaternions": field.delta_quaternions,
        "deltas.scales": field.delta_scales,
        "times": field.times,
    }
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        **CONVENTIONS,
        "scale_space": field.scale_space,
        "composition": COMPOSITION[field.scale_space],
        "sh_degree": canonical.sh_degree,
        "library": f"diff4splat {_library_version()}",
        "provenance": {**field.metadata, **(provenance or {})},
    }
    if cameras is not None:
        _check_single("cameras", tuple(cameras.batch_shape))
        cameras.validate()
        tensors["cameras.camera_to_world"] = cameras.camera_to_world
        tensors["cameras.intrinsics"] = cameras.intrinsics
        header["cameras"] = {"height": cameras.height, "width": cameras.width}
    metadata = {key: _to_json(key, value) for key, value in header.items()}
    # A clone, because safetensors refuses views that share storage (an expanded delta, for example).
    stored = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_safetensors(path, stored, metadata)


def load_field(path: str | os.PathLike[str]) -> DeformableGaussianField:
    """Read a field written by `save_field`, on the CPU, in the dtypes it was saved in.

    Args:
        path: File of format `diff4splat-scene`.

    Returns:
        The field; its `metadata` is the saved provenance. `read_field_header` gives the whole header.

    Raises:
        ValueError: If the file is no safetensors file, is truncated, is of another format or of a newer major
            version, or if a tensor is missing or has a wrong shape, dtype or value; names file and problem.
        FileNotFoundError: If there is no such file.
    """
    header = read_field_header(path)
    with _opened(path) as file:
        shapes, tensors = _checked_shapes(path, file, header), {}
        for name in shapes:
            tensors[name] = file.get_tensor(name).clone()  # a clone does not stay mapped to the file
    try:
        field = DeformableGaussianField(
            canonical=Gaussians(
                **{name: tensors[f"canonical.{name}"] for name in (*GAUSSIAN_WIDTHS, "harmonics")}
            ),
            times=tensors["times"],
            delta_means=tensors["deltas.means"],
            delta_quaternions=tensors["deltas.quaternions"],
            delta_scales=tensors["deltas.scales"],
            scale_space=header["scale_space"],
            metadata=header["provenance"],
        )
        field.validate()
    except ValueError as error:
        raise ValueError(f"{path} holds an invalid field: {error}") from error
    return field


def load_field_cameras(path: str | os.PathLike[str]) -> Cameras | None:
    """Read the commanded camera path kept beside a field.

    Args:
        path: File of format `diff4splat-scene`.

    Returns:
        The cameras, or None when the file was saved without.

    Raises:
        ValueError: As `load_field`, for the header and the camera tensors.
        FileNotFoundError: If there is no such file.
    """
    header = read_field_header(path)
    if "cameras" not in header:
        return None
    size = header["cameras"]
    if not isinstance(size, dict) or not all(
        _is_count(size.get(key)) and size[key] for key in ("height", "width")
    ):
        raise ValueError(
            f"{path} is damaged: the image size of its cameras must be two counts, got {size!r}."
        )
    with _opened(path) as file:
        tensors = _camera_tensors(path, file)
    try:
        cameras = Cameras(**tensors, height=size["height"], width=size["width"])
        cameras.validate()
    except ValueError as error:
        raise ValueError(f"{path} holds invalid cameras: {error}") from error
    return cameras


def read_field_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Conventions and provenance of a native asset, without reading its tensors.

    Args:
        path: File of format `diff4splat-scene`.

    Returns:
        The header; the keys that every file has are `format`, `version`, `scale_space`, `sh_degree` and
        `provenance`.

    Raises:
        ValueError: If the file is unreadable, of another format or of a newer major version.
        FileNotFoundError: If there is no such file.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    try:
        header = {key: json.loads(value) for key, value in metadata.items()}
    except ValueError:
        header = {}  # a safetensors file of another program, whose metadata is plain text
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file, but not a {FORMAT} (format {metadata.get('format')!r})."
        )
    version = header.get("version")
    major = version.split(".")[0] if isinstance(version, str) else ""
    if not major.isdecimal():
        raise ValueError(f"{path} is damaged: version must be text such as {VERSION!r}, got {version!r}.")
    if int(major) > int(VERSION.split(".")[0]):
        raise ValueError(
            f"{path} has format version {version}; this diff4splat reads up to {VERSION}: update it."
        )
    for key, expected in (("axes", CONVENTIONS["axes"]), ("quaternion", "wxyz"), ("scale", "linear")):
        if header.get(key, expected) != expected:
            raise ValueError(f"{path} states {key} {header[key]!r}; this version reads {expected!r}.")
    if header.get("scale_space") not in COMPOSITION:
        raise ValueError(
            f"{path} is damaged: scale_space must be log or linear, got {header.get('scale_space')!r}."
        )
    if not isinstance(header.setdefault("provenance", {}), dict):
        raise ValueError(f"{path} is damaged: provenance must be an object.")
    return header


def _opened(path: str | os.PathLike[str]) -> Any:
    """The file as a safetensors handle; says what is wrong with a file that is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        with open(path, "rb") as file:
            start = file.read(4)
        pickled = (
            " (it looks like a pickle; those are never loaded)" if start[:2] in (b"PK", b"\x80\x02") else ""
        )
        raise ValueError(f"{path} is not a safetensors file, or is truncated{pickled}: {error}") from error


def _checked_shapes(
    path: str | os.PathLike[str], file: Any, header: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the field's tensors, once they agree with each other; no tensor is read for it."""
    count, num_times = _length(path, file, "canonical.means"), _length(path, file, "times")
    degree = header.get("sh_degree", -1)
    if not _is_count(degree) or degree > 4:
        raise ValueError(f"{path} is damaged: sh_degree must be 0 to 4, got {degree!r}.")
    expected: dict[str, tuple[int, ...]] = {
        **{f"canonical.{name}": (count, *width) for name, width in GAUSSIAN_WIDTHS.items()},
        "canonical.harmonics": (count, (degree + 1) ** 2, 3),
        "deltas.means": (num_times, count, 3),
        "deltas.quaternions": (num_times, count, 4),
        "deltas.scales": (num_times, count, 3),
        "times": (num_times,),
    }
    for name, shape in expected.items():
        _check_tensor(path, file, name, shape)
    return expected


def _camera_tensors(path: str | os.PathLike[str], file: Any) -> dict[str, Tensor]:
    """Camera tensors, once their shapes agree."""
    frames = _length(path, file, "cameras.camera_to_world")
    _check_tensor(path, file, "cameras.camera_to_world", (frames, 4, 4))
    _check_tensor(path, file, "cameras.intrinsics", (frames, 3, 3))
    return {name: file.get_tensor(f"cameras.{name}").clone() for name in ("camera_to_world", "intrinsics")}


def _length(path: str | os.PathLike[str], file: Any, name: str) -> int:
    """First axis of a tensor that must be there."""
    if name not in file.keys():
        raise ValueError(f"{path} lacks the tensor {name}.")
    shape = file.get_slice(name).get_shape()
    if not shape or shape[0] == 0:
        raise ValueError(f"{path}: {name} must have at least one entry, got shape {tuple(shape)}.")
    return int(shape[0])


def _check_tensor(path: str | os.PathLike[str], file: Any, name: str, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that is missing, of another shape, or no floating-point tensor."""
    if name not in file.keys():
        raise ValueError(f"{path} lacks the tensor {name}.")
    part = file.get_slice(name)
    if tuple(part.get_shape()) != shape:
        raise ValueError(f"{path}: {name} must have shape {shape}, got {tuple(part.get_shape())}.")
    if part.get_dtype() not in FLOATS:
        raise ValueError(f"{path}: {name} must be one of {', '.join(FLOATS)}, got {part.get_dtype()}.")


def _check_single(name: str, batch_shape: tuple[int, ...]) -> None:
    """Refuse batches: a file holds one scene."""
    if batch_shape:
        raise ValueError(
            f"{name} must have no batch axes, because a file holds one scene; got {batch_shape}."
        )


def _is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _to_json(key: str, value: Any) -> str:
    """JSON text of a header entry; JSON has neither NaN nor infinity."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} must consist of JSON values, but {error}.") from error


def _library_version() -> str:
    """Version that wrote the file."""
    from diff4splat import __version__

    return __version__
