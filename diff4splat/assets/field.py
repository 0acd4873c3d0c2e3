"""The native 4D asset: one safetensors file that holds a deformable field and states its own conventions.

An exact file holds the tensors of the field as they are: `canonical.{means, quaternions, scales, opacities,
harmonics}`, `deltas.{means, quaternions, scales}`, `times`, and optionally `cameras.{camera_to_world,
intrinsics}`. A compact file holds 16-bit numbers and keyframes. docs/scene_format.md is the specification.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from diff4splat.assets.compact import compact_shapes, pack_compact, unpack_compact
from diff4splat.assets.field_file import check_tensor, length_of, opened, read_tensors
from diff4splat.assets.field_header import (
    COMPACT,
    COMPACT_VERSION,
    field_header,
    header_texts,
    read_field_header,
)
from diff4splat.cameras import Cameras
from diff4splat.files import write_safetensors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["load_field", "load_field_cameras", "read_field_header", "save_field"]

GAUSSIAN_WIDTHS = {"means": (3,), "quaternions": (4,), "scales": (3,), "opacities": ()}
LARGEST_SIDE = 1 << 20  # pixels of a camera: more is damage


def save_field(
    field: DeformableGaussianField,
    path: str | os.PathLike[str],
    *,
    cameras: Cameras | None = None,
    provenance: Mapping[str, Any] | None = None,
    compact: bool = False,
    tolerance: float = 0.12,
) -> None:
    """Write a deformable field with its conventions and where it comes from, bit for bit or compact.

    The file is written whole or not at all; an existing file is replaced. A compact file is about a sixth
    of the exact one and states in its header how far it is off, `error_bound`. All Gaussians stay, in their
    order; a reader gets 32-bit floats.

    Args:
        field: One field without batch axes; any floating dtype and device.
        path: File to write, by habit `scene.safetensors`.
        cameras: The commanded camera path, without batch axes, kept beside the field as it is.
        provenance: JSON values such as model, checkpoint hash, seed, prompt and licence; they join
            `field.metadata`, and win where a key is in both.
        compact: Whether to write 16-bit numbers and keyframes of what moves. Versions of diff4splat that know
            only exact files refuse such a file by its version.
        tolerance: Of a compact file, at the stored times, in (0, 10]: largest error of a position along an
            axis, in the Gaussian's own size, its largest canonical scale (or the 10% quantile of those of
            all, where it is smaller). A twentieth of it holds for rotations, in radians, and changes of
            log-scale.

    Raises:
        ValueError: If the field or the cameras have batch axes or invalid values, if `tolerance` is out of
            range, or if provenance is not JSON. Of a compact file also if 32-bit floats cannot hold a value,
            or not the places to within `tolerance`.
        FileNotFoundError: If the folder does not exist.
        OSError: If the file cannot be written, for instance on a full disk.
    """
    _check_single("field", tuple(field.canonical.batch_shape))
    if not field.num_gaussians:
        raise ValueError("field must have at least one Gaussian, got none.")
    if not 0 < tolerance <= 10:
        raise ValueError(f"tolerance must be in (0, 10], got {tolerance}.")
    header = field_header(field, provenance)
    check: Callable[[], None] | None = field.validate
    if compact:
        field.validate()
        check = None
        packed = pack_compact(field, tolerance)
        tensors = packed.tensors
        header |= {"version": COMPACT_VERSION, "requires": [COMPACT]}
        header |= {"encodings": packed.encodings, "error_bound": packed.error_bound}
    else:
        tensors = {
            **{f"canonical.{name}": getattr(field.canonical, name) for name in GAUSSIAN_WIDTHS},
            "canonical.harmonics": field.canonical.harmonics,
            "deltas.means": field.delta_means,
            "deltas.quaternions": field.delta_quaternions,
            "deltas.scales": field.delta_scales,
            "times": field.times,
        }
    if cameras is not None:
        _check_single("cameras", tuple(cameras.batch_shape))
        cameras.validate()
        tensors["cameras.camera_to_world"] = cameras.camera_to_world
        tensors["cameras.intrinsics"] = cameras.intrinsics
        header["cameras"] = {"height": cameras.height, "width": cameras.width}
    write_safetensors(path, tensors, header_texts(header), check=check)


def load_field(path: str | os.PathLike[str]) -> DeformableGaussianField:
    """Read a field written by `save_field`, exact or compact, on the CPU.

    Args:
        path: File of format `diff4splat-scene`.

    Returns:
        The field, in the dtypes it was saved in, or in float32 where the file is compact; its `metadata` is
        the saved provenance. `read_field_header` gives the whole header.

    Raises:
        ValueError: If the file is no safetensors file, is truncated, is of another format or of a newer major
            version, requires what this version does not know, or if a tensor is missing or has a wrong
            shape, dtype or value; names file and problem.
        FileNotFoundError: If there is no such file.
    """
    header = read_field_header(path)
    read = _read_compact if COMPACT in header.get("requires", []) else _read_exact
    field = read(path, header)
    try:
        field.validate()
    except ValueError as error:
        raise ValueError(f"{path} holds an invalid field: {error}") from error
    return replace(field, metadata=header["provenance"])


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
    if not isinstance(size, dict) or not all(_is_side(size.get(key)) for key in ("height", "width")):
        raise ValueError(
            f"{path} is damaged: the image size of its cameras must be two counts, got {size!r}."
        )
    with opened(path) as file:
        frames = length_of(path, file, "cameras.camera_to_world")
        check_tensor(path, file, "cameras.camera_to_world", (frames, 4, 4))
        check_tensor(path, file, "cameras.intrinsics", (frames, 3, 3))
        tensors = read_tensors(file, ["cameras.camera_to_world", "cameras.intrinsics"])
    try:
        cameras = Cameras(
            camera_to_world=tensors["cameras.camera_to_world"],
            intrinsics=tensors["cameras.intrinsics"],
            height=size["height"],
            width=size["width"],
        )
        cameras.validate()
    except ValueError as error:
        raise ValueError(f"{path} holds invalid cameras: {error}") from error
    return cameras


def _read_exact(path: str | os.PathLike[str], header: dict[str, Any]) -> DeformableGaussianField:
    """Field of an exact file, its values not yet validated."""
    with opened(path) as file:
        count, num_times = length_of(path, file, "canonical.means"), length_of(path, file, "times")
        shapes: dict[str, tuple[int, ...]] = {
            **{f"canonical.{name}": (count, *width) for name, width in GAUSSIAN_WIDTHS.items()},
            "canonical.harmonics": (count, (header["sh_degree"] + 1) ** 2, 3),
            "deltas.means": (num_times, count, 3),
            "deltas.quaternions": (num_times, count, 4),
            "deltas.scales": (num_times, count, 3),
            "times": (num_times,),
        }
        for name, shape in shapes.items():
            check_tensor(path, file, name, shape)
        tensors = read_tensors(file, list(shapes))
    return DeformableGaussianField(
        canonical=Gaussians(
            **{name: tensors[f"canonical.{name}"] for name in (*GAUSSIAN_WIDTHS, "harmonics")}
        ),
        times=tensors["times"],
        delta_means=tensors["deltas.means"],
        delta_quaternions=tensors["deltas.quaternions"],
        delta_scales=tensors["deltas.scales"],
        scale_space=header["scale_space"],
    )


def _read_compact(path: str | os.PathLike[str], header: dict[str, Any]) -> DeformableGaussianField:
    """Field of a compact file, its values not yet validated."""
    encodings = header.get("encodings")
    if not isinstance(encodings, dict):
        raise ValueError(f"{path} is damaged: encodings must be an object, got {encodings!r}.")
    with opened(path) as file:
        count, num_times = length_of(path, file, "canonical.means"), length_of(path, file, "times")
        shapes = compact_shapes(count, num_times, header["sh_degree"])
        for name, (shape, types) in shapes.items():
            check_tensor(path, file, name, shape, types)
        tensors = read_tensors(file, list(shapes))
    try:
        return unpack_compact(tensors, encodings, header["scale_space"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _check_single(name: str, batch_shape: tuple[int, ...]) -> None:
    """Refuse batches: a file holds one scene."""
    if batch_shape:
        raise ValueError(
            f"{name} must have no batch axes, because a file holds one scene; got {batch_shape}."
        )


def _is_side(value: Any) -> bool:
    """Whether a JSON value is a number of pixels."""
    return type(value) is int and 0 < value <= LARGEST_SIDE
