"""Gaussians as a 3DGS PLY file, the format that nearly every splat program reads.

Binary little-endian, one `vertex` element of 32-bit floats in the order of the reference implementation of 3D
Gaussian splatting (with its zero normals): opacities as logits, natural logarithms of scales, quaternions
wxyz, harmonics above degree 0 channel by channel. Axes are OpenCV, as in the rest of the library.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from diff4splat.files import atomic_path
from diff4splat.gaussians import Gaussians

__all__ = ["load_ply", "save_ply"]

Elements: TypeAlias = list[tuple[str, int, list[list[str]]]]  # name, count, words of its property lines

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"double": "f8", "float32": "f4", "float64": "f8"},
}
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
HEADER_LIMIT = 1 << 20
MIN_PROBABILITY = (
    2.0**-24
)  # one half unit in the last place of a 32-bit 1.0: the logit stays finite, within 16.7


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
    if tuple(gaussians.batch_shape):
        raise ValueError(
            f"gaussians must have no batch axes, got {tuple(gaussians.batch_shape)}; save one set a file."
        )
    if not gaussians.num_gaussians:
        raise ValueError("gaussians must hold at least one Gaussian, got none.")
    gaussians.validate()
    probability = _to_numpy(gaussians.opacities).clip(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    scales = _to_numpy(gaussians.scales).clip(np.finfo(np.float32).tiny)
    harmonics = _to_numpy(gaussians.harmonics)
    count = gaussians.num_gaussians
    rest = harmonics[:, 1:].transpose(0, 2, 1).reshape(count, -1)  # all red, all green, all blue
    columns = [
        *_named("x y z", _to_numpy(gaussians.means)),
        *_named("nx ny nz", np.zeros((count, 3))),
        *_named("f_dc_0 f_dc_1 f_dc_2", harmonics[:, 0]),
        *_named(" ".join(f"f_rest_{index}" for index in range(rest.shape[1])), rest),
        ("opacity", np.log(probability) - np.log1p(-probability)),
        *_named("scale_0 scale_1 scale_2", np.log(scales)),
        *_named("rot_0 rot_1 rot_2 rot_3", _to_numpy(gaussians.quaternions)),
    ]
    table = np.stack([values for _, values in columns], axis=1).astype("<f4")
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            "comment axes opencv: +x right, +y down, +z forward",
            *_comment_lines(provenance or {}),
            f"element vertex {count}",
            *(f"property float {name}" for name, _ in columns),
            "end_header\n",
        ]
    )
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header.encode("ascii"))
        file.write(table.tobytes())


def load_ply(path: str | os.PathLike[str]) -> Gaussians:
    """Read Gaussians from a binary 3DGS PLY of any program.

    Properties are found by name, so their order, normals and further properties do not matter. Quaternions
    are normalised.

    Args:
        path: PLY file with `x y z f_dc_* opacity scale_* rot_*` and optionally `f_rest_*`.

    Returns:
        Float32 Gaussians on the CPU, with linear scales and opacities as probabilities.

    Raises:
        ValueError: If the file is not a binary 3DGS PLY, is truncated, or holds values that are not finite;
            names file and problem.
        FileNotFoundError: If there is no such file.
    """
    with open(path, "rb") as file:
        byte_order, elements = _read_header(path, file)
        start = file.tell()
    dtype, count, skipped = _vertex_layout(path, byte_order, elements)
    expected = start + skipped + count * dtype.itemsize
    size = Path(path).stat().st_size
    if size < expected:
        raise ValueError(f"{path} is truncated: {count} vertices need {expected} bytes, the file has {size}.")
    vertices = np.fromfile(path, dtype=dtype, count=count, offset=start + skipped)
    rest_names = _rest_names(path, dtype)
    columns = {
        "means": ["x", "y", "z"],
        "base": ["f_dc_0", "f_dc_1", "f_dc_2"],
        "rest": rest_names,
        "opacity": ["opacity"],
        "scales": ["scale_0", "scale_1", "scale_2"],
        "quaternions": ["rot_0", "rot_1", "rot_2", "rot_3"],
    }
    missing = [name for names in columns.values() for name in names if name not in (dtype.names or ())]
    if missing:
        raise ValueError(f"{path} is not a 3DGS PLY: its vertices lack {', '.join(missing)}.")
    values = {key: _columns(path, vertices, names) for key, names in columns.items()}
    norms = np.linalg.norm(values["quaternions"], axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError(f"{path}: {int((norms == 0).sum())} quaternions are zero.")
    rest = values["rest"].reshape(count, 3, -1).transpose(0, 2, 1)
    arrays = {
        "means": values["means"],
        "quaternions": values["quaternions"] / norms,
        "scales": np.exp(values["scales"].clip(-87.0, 87.0)),  # what a 32-bit float holds
        "opacities": 0.5 * (1.0 + np.tanh(0.5 * values["opacity"][:, 0])),  # a sigmoid that cannot overflow
        "harmonics": np.concatenate([values["base"][:, None], rest], axis=1),
    }
    return Gaussians(**{name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})


def _to_numpy(tensor: Tensor) -> np.ndarray:
    """Float64 values on the CPU."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def _named(names: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Columns of a matrix with their property names."""
    return [(name, values[:, index]) for index, name in enumerate(names.split())]


def _comment_lines(provenance: Mapping[str, Any]) -> list[str]:
    """One ASCII line per entry; JSON escapes line breaks, so no value can add a header line."""
    lines = []
    for key, value in provenance.items():
        try:
            lines.append("comment " + json.dumps({str(key): value}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"provenance[{key!r}] must be a JSON value, but {error}.") from error
    return lines


def _read_header(path: str | os.PathLike[str], file: Any) -> tuple[str, Elements]:
    """Byte order and the elements (name, count, property lines), leaving the file at its first data byte."""
    if file.readline(16).strip() != b"ply":
        raise ValueError(f"{path} is not a PLY file.")
    byte_order = ""
    elements: Elements = []
    while True:
        line = file.readline(HEADER_LIMIT)
        if not line.endswith(b"\n") or file.tell() > HEADER_LIMIT:
            raise ValueError(f"{path} is truncated or not a PLY file: its header has no end.")
        words = line.decode("ascii", errors="replace").split()
        if words == ["end_header"]:
            break
        if words[:1] == ["format"] and len(words) == 3:
            if words[1] not in BYTE_ORDERS:
                raise ValueError(f"{path} is a PLY of format {words[1]}; only binary PLY files are read.")
            byte_order = BYTE_ORDERS[words[1]]
        elif words[:1] == ["element"] and len(words) == 3:
            if not words[2].isdecimal():
                raise ValueError(f"{path}: element {words[1]} must have a count, got {words[2]!r}.")
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"] and len(words) >= 3 and elements:
            elements[-1][2].append(words[1:])
        elif words and words[0] not in ("comment", "obj_info"):
            raise ValueError(f"{path} has a header line that PLY does not have: {' '.join(words)[:80]!r}.")
    if not byte_order:
        raise ValueError(f"{path} is not a PLY file: its header names no format.")
    return byte_order, elements


def _vertex_layout(
    path: str | os.PathLike[str], byte_order: str, elements: Elements
) -> tuple[np.dtype, int, int]:
    """Layout of one vertex, number of vertices, and bytes of data before them."""
    if any(name == "chunk" for name, _, _ in elements):
        raise ValueError(
            f"{path} is a compressed PLY; convert it first: splat-transform in.compressed.ply out.ply"
        )
    skipped = 0
    for name, count, properties in elements:
        fields: list[tuple[str, str]] = []
        for words in properties:
            if len(words) != 2 or words[0] not in TYPES:
                raise ValueError(f"{path}: element {name} cannot have the property {' '.join(words)[:80]!r}.")
            fields.append((words[1], byte_order + TYPES[words[0]]))
        if len({field for field, _ in fields}) != len(fields):
            raise ValueError(f"{path}: element {name} names a property twice.")
        dtype = np.dtype(fields)
        if name == "vertex":
            if count == 0:
                raise ValueError(f"{path} has no vertices.")
            return dtype, count, skipped
        skipped += count * dtype.itemsize
    raise ValueError(f"{path} has no element vertex.")


def _rest_names(path: str | os.PathLike[str], dtype: np.dtype) -> list[str]:
    """Names of the harmonics above degree 0, which must be complete degrees."""
    number = sum(name.startswith("f_rest_") for name in dtype.names or ())
    complete = {3 * ((degree + 1) ** 2 - 1) for degree in range(5)}
    if number not in complete:
        raise ValueError(f"{path}: f_rest must have one of {sorted(complete)} properties, got {number}.")
    return [f"f_rest_{index}" for index in range(number)]


def _columns(path: str | os.PathLike[str], vertices: np.ndarray, names: list[str]) -> np.ndarray:
    """Named properties as one float64 matrix of finite values."""
    matrix = np.empty((len(vertices), len(names)))
    for index, name in enumerate(names):
        matrix[:, index] = vertices[name]
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise ValueError(f"{path}: {', '.join(names[:4])} are not finite in {int(bad.sum())} vertices.")
    return matrix
