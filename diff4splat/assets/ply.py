"""Gaussians as a 3DGS PLY file, the format that nearly every splat program reads.

Binary little-endian, one `vertex` element of 32-bit floats in the order of the reference implementation of 3D
Gaussian splatting (with its zero normals): opacities as logits, natural logarithms of scales, quaternions
wxyz, harmonics above degree 0 channel by channel. Axes are OpenCV, as in the rest of the library.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from diff4splat.assets.ply_header import comment_lines, read_vertices
from diff4splat.files import atomic_path
from diff4splat.gaussians import Gaussians

__all__ = ["load_ply", "save_ply"]

Invalid: TypeAlias = Literal["refuse", "drop"]

MIN_PROBABILITY = (
    2.0**-24
)  # one half unit in the last place of a 32-bit 1.0: the logit stays finite, within 16.7
LARGEST_EXPONENT = 87.0  # exp of it, and of its negative, is what a 32-bit float holds


def save_ply(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write Gaussians as a binary 3DGS PLY.

    Values become 32-bit floats. Opacities of exactly 0 and 1 are moved inwards by 6e-8, since their logits
    are infinite. The file is written whole or not at all.

    Args:
        gaussians: One set without batch axes; of a field, take `field.at(time)`.
        path: File to write, by habit ending in `.ply`.
        provenance: JSON values (model, seed, prompt, licence), written one per `comment` line.

    Raises:
        ValueError: If the Gaussians have batch axes or invalid values, or if provenance is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    check_single(gaussians)
    count = gaussians.num_gaussians
    names, table = _table(gaussians)
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            "comment axes opencv: +x right, +y down, +z forward",
            *comment_lines(provenance or {}),
            f"element vertex {count}",
            *(f"property float {name}" for name in names),
            "end_header\n",
        ]
    )
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header.encode("ascii"))
        table.tofile(file)


def load_ply(path: str | os.PathLike[str], *, invalid: Invalid = "refuse") -> Gaussians:
    """Read Gaussians from a 3DGS PLY of any program, binary or as text.

    Properties are found by name, so their order, type, normals and further properties do not matter.
    Quaternions are normalised; a logit of infinity is an opacity of exactly 0 or 1.

    Args:
        path: PLY file with `x y z f_dc_* opacity scale_* rot_*` and optionally `f_rest_*`, which must be
            complete degrees up to 4.
        invalid: What to do with Gaussians that hold NaN or infinity, or a quaternion of length zero: refuse
            the file, or leave them out.

    Returns:
        Float32 Gaussians on the CPU, with linear scales and opacities as probabilities.

    Raises:
        ValueError: If the file is no 3DGS PLY, is compressed, is truncated, claims more than it holds, or
            holds Gaussians that are invalid; names file and problem. If `invalid` is unknown.
        FileNotFoundError: If there is no such file.
    """
    if invalid not in ("refuse", "drop"):
        raise ValueError(f"invalid must be 'refuse' or 'drop', got {invalid!r}.")
    vertices = read_vertices(path)
    names = vertices.dtype.names or ()
    rest = sum(name.startswith("f_rest_") for name in names)
    complete = {3 * ((degree + 1) ** 2 - 1) for degree in range(5)}
    if rest not in complete:
        raise ValueError(f"{path}: f_rest must have one of {sorted(complete)} properties, got {rest}.")
    wanted = _property_names(rest)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"{path} is not a 3DGS PLY: its vertices lack {', '.join(missing)}.")
    gaussians = _to_gaussians(vertices, rest)
    return valid_gaussians(gaussians, path, invalid)


def check_single(gaussians: Gaussians) -> None:
    """ValueError for Gaussians that a file of one set cannot hold: batches, none, or invalid values."""
    if tuple(gaussians.batch_shape):
        raise ValueError(
            f"gaussians must have no batch axes, got {tuple(gaussians.batch_shape)}; save one set a file."
        )
    if not gaussians.num_gaussians:
        raise ValueError("gaussians must hold at least one Gaussian, got none.")
    gaussians.validate()


def valid_gaussians(gaussians: Gaussians, path: str | os.PathLike[str], invalid: Invalid) -> Gaussians:
    """Gaussians of a file with unit quaternions; those with values that are none are refused or left out."""
    lengths = gaussians.quaternions.double().norm(dim=-1, keepdim=True)
    bad = {
        "centres that are not finite": ~gaussians.means.isfinite().all(-1),
        "colours that are not finite": ~gaussians.harmonics.isfinite().flatten(-2).all(-1),
        "opacities that are not finite": ~gaussians.opacities.isfinite(),
        "scales that are not finite": ~gaussians.scales.isfinite().all(-1),
        "quaternions that are zero or not finite": ~((lengths > 0) & lengths.isfinite())[..., 0],
    }
    bad = {words: mask for words, mask in bad.items() if mask.any()}
    unit = (gaussians.quaternions / lengths).to(gaussians.dtype)
    gaussians = Gaussians(gaussians.means, unit, gaussians.scales, gaussians.opacities, gaussians.harmonics)
    if not bad:
        return gaussians
    found = ", ".join(f"{int(mask.sum())} {words}" for words, mask in bad.items())
    if invalid == "refuse":
        raise ValueError(
            f"{path}: {found}, in a file of {gaussians.num_gaussians} Gaussians "
            "(invalid='drop' leaves them out)."
        )
    sound = ~torch.stack([*bad.values()]).any(dim=0)
    if not sound.any():
        raise ValueError(f"{path}: {found}; no Gaussian of the file is left.")
    return gaussians.select(sound)


def _property_names(rest: int) -> list[str]:
    """Properties that Gaussians need, with so many harmonics above degree 0."""
    groups = {"f_dc_": 3, "f_rest_": rest, "scale_": 3, "rot_": 4}
    numbered = [f"{prefix}{index}" for prefix, number in groups.items() for index in range(number)]
    return ["x", "y", "z", "opacity", *numbered]


def _table(gaussians: Gaussians) -> tuple[list[str], np.ndarray]:
    """Names and 32-bit values of the properties, one row per Gaussian."""
    count, coefficients = gaussians.harmonics.shape[:2]
    rest = 3 * (coefficients - 1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{index}" for index in range(rest)]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    table = np.empty((count, len(names)), dtype="<f4")
    probability = _to_numpy(gaussians.opacities).clip(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    table[:, 0:3] = _to_numpy(gaussians.means, torch.float32)
    table[:, 3:6] = 0
    harmonics = _to_numpy(gaussians.harmonics, torch.float32)
    channel_major = harmonics.transpose(0, 2, 1)
    table[:, 6:9] = channel_major[:, :, 0]
    table[:, 9 : 9 + rest] = channel_major[:, :, 1:].reshape(count, rest)  # all red, all green, all blue
    table[:, -8] = np.log(probability) - np.log1p(-probability)
    table[:, -7:-4] = np.log(_to_numpy(gaussians.scales).clip(np.finfo(np.float32).tiny))
    table[:, -4:] = _to_numpy(gaussians.quaternions, torch.float32)
    return names, table


def _to_gaussians(vertices: np.ndarray, rest: int) -> Gaussians:
    """Gaussians of vertices in any types; quaternions as they stand, values that are none left in."""

    def columns(names: list[str], dtype: type = np.float32) -> np.ndarray:
        matrix: np.ndarray = np.empty((len(vertices), len(names)), dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit in 32 bits is found later
            for index, name in enumerate(names):
                matrix[:, index] = vertices[name]
        return matrix

    channel_major = np.empty((len(vertices), 3, 1 + rest // 3), np.float32)
    channel_major[:, :, 0] = columns([f"f_dc_{index}" for index in range(3)])
    named = columns([f"f_rest_{index}" for index in range(rest)])
    channel_major[:, :, 1:] = named.reshape(len(vertices), 3, rest // 3)
    logits = columns(["opacity"], np.float64)[:, 0]
    exponents = columns([f"scale_{index}" for index in range(3)], np.float64)
    arrays = (
        columns(["x", "y", "z"]),
        columns([f"rot_{index}" for index in range(4)], np.float64),
        np.where(np.isfinite(exponents), np.exp(exponents.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)), np.nan),
        0.5 * (1.0 + np.tanh(0.5 * logits)),  # a sigmoid that cannot overflow
        np.ascontiguousarray(channel_major.transpose(0, 2, 1)),
    )
    means, quaternions, scales, opacities, harmonics = (torch.from_numpy(array) for array in arrays)
    largest = quaternions.abs().amax(-1, keepdim=True)
    quaternions = quaternions / torch.where(largest > 0, largest, torch.ones_like(largest))
    return Gaussians(means, quaternions.float(), scales.float(), opacities.float(), harmonics)


def _to_numpy(tensor: Tensor, dtype: torch.dtype = torch.float64) -> np.ndarray:
    """Values on the CPU."""
    return tensor.detach().to("cpu", dtype).numpy()
