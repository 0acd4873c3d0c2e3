"""Text files with one camera a line, told apart by how many numbers a line holds.

- 19, RealEstate10K, CameraCtrl, VideoX-Fun: time, four intrinsics divided by the image size, two zeros, 3x4
  world-to-camera in OpenCV axes. The first line may be an address, or empty.
- 8, TUM: time, position, quaternion **xyzw**. 7, TartanAir: the same without time, in NED axes (to be said).
- 12, 16: flattened 3x4 or 4x4 matrices, row by row (KITTI). 4: 4x4 matrices, a row a line.

Numbers are separated by spaces or commas; lines that begin with # are comments.
"""

from pathlib import Path

import numpy as np
import torch

from diff4splat.cameras.files.arrays import read_matrices
from diff4splat.cameras.files.matrices import (
    check_rigid,
    quaternions_to_matrices,
    rigid_inverses,
    square,
)
from diff4splat.cameras.files.request import Read, Request
from diff4splat.geometry import matrix_to_quaternion

__all__ = ["read_rows", "write_realestate10k", "write_tum"]

_FPS = 30.0  # of the times that are written; nothing here reads them
_KINDS = (
    "19 (RealEstate10K, CameraCtrl), 8 (TUM), 7 (TartanAir), 12 or 16 (flattened matrices) "
    "or 4 (4 x 4 matrices, a row a line)"
)


def read_rows(path: Path, request: Request) -> Read:
    """Cameras of a text file, in the order of its lines."""
    lines, values = _table(path)
    columns = values.shape[1]
    if columns == 19:
        return _read_realestate10k(lines, values, request)
    if columns in (7, 8):
        return _read_quaternions(values[:, columns - 7 :], request)
    if columns == 4 and len(values) % 4 == 0:
        return read_matrices(values.reshape(-1, 4, 4), request)
    if columns in (12, 16):
        return read_matrices(values, request)
    raise ValueError(f"line {lines[0]} must hold {_KINDS} numbers, got {columns}.")


def _table(path: Path) -> tuple[list[int], np.ndarray]:
    """Numbers of the lines that hold cameras, and the lines' own numbers from 1."""
    numbers: list[int] = []
    rows: list[list[float]] = []
    for index, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            if not rows and index == 1 and not any(map(_is_number, words)):  # an address, names of columns
                continue
            raise ValueError(f"line {index} must hold numbers, got {line[:40]!r}.") from None
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"line {index} must hold {len(rows[0])} numbers, as line {numbers[0]} does, got {len(row)}."
            )
        if not np.isfinite(row).all():
            raise ValueError(f"line {index} must hold finite numbers, got {line[:40]!r}.")
        numbers.append(index)
        rows.append(row)
    if not rows:
        raise ValueError("file must hold at least one camera, got none.")
    return numbers, np.array(rows, dtype=np.float64)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_realestate10k(lines: list[int], values: np.ndarray, request: Request) -> Read:
    request.refuse_stated("RealEstate10K", "axes", "direction", "field_of_view_deg")
    height, width = request.both_sides("RealEstate10K")
    for line, row in zip(lines, values, strict=True):
        if row[1:5].max() > 16:
            raise ValueError(
                f"line {line} must hold intrinsics divided by the image size, got {row[1:5].tolist()}: "
                "divide fx and cx by the width, fy and cy by the height."
            )
    for line, (k1, k2) in zip(lines, values[:, 5:7], strict=True):
        request.take_distortion({f"distortion in line {line}": k1 or k2})
    intrinsics = np.tile(np.eye(3), (len(values), 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = values[:, 1] * width, values[:, 2] * height
    intrinsics[:, 0, 2], intrinsics[:, 1, 2] = values[:, 3] * width, values[:, 4] * height
    world_to_camera = square(values[:, 7:].reshape(-1, 3, 4))
    check_rigid("world-to-camera matrices", world_to_camera)
    return Read(rigid_inverses(world_to_camera), intrinsics, height, width)


def _read_quaternions(values: np.ndarray, request: Request) -> Read:
    height, width = request.both_sides("TUM and TartanAir")
    if (values[0, 3:] == [1.0, 0.0, 0.0, 0.0]).all():
        request.notes.append(
            "the first quaternion reads 1 0 0 0 and is taken as x y z w, half a turn about x; "
            "where the file means w x y z, reorder its columns"
        )
    matrices = quaternions_to_matrices(values[:, [6, 3, 4, 5]], values[:, :3])
    camera_to_world = request.to_opencv("rows", matrices)
    if request.axes is None:
        request.notes.append("TartanAir files need axes='ned' (diff4splat trajectory --axes ned)")
    return Read(camera_to_world, request.lenses(len(matrices), height, width), height, width)


def write_realestate10k(cameras: Read) -> bytes:
    """Lines with times at 30 frames per second; the lens must have no skew."""
    lines = ["diff4splat"]
    inverses = rigid_inverses(cameras.camera_to_world)
    sides = np.array([cameras.width, cameras.height])
    for index, (inverse, matrix) in enumerate(zip(inverses, cameras.intrinsics, strict=True)):
        lens = (*(matrix[[0, 1], [0, 1]] / sides), *(matrix[[0, 1], [2, 2]] / sides))
        numbers = (*lens, 0.0, 0.0, *inverse[:3].ravel())
        lines.append(" ".join([str(round(index * 1e6 / _FPS)), *(f"{number:.9f}" for number in numbers)]))
    return ("\n".join(lines) + "\n").encode()


def write_tum(cameras: Read) -> bytes:
    """Camera-to-world positions and quaternions; the lens is not part of the format."""
    quaternions = matrix_to_quaternion(torch.from_numpy(cameras.camera_to_world[:, :3, :3])).numpy()
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for index, (matrix, quaternion) in enumerate(zip(cameras.camera_to_world, quaternions, strict=True)):
        numbers = (*matrix[:3, 3], *quaternion[[1, 2, 3, 0]])
        lines.append(" ".join([f"{index / _FPS:.6f}", *(f"{number:.9f}" for number in numbers)]))
    return ("\n".join(lines) + "\n").encode()
