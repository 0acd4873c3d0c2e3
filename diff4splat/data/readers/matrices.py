"""Tables of numbers in text files, and cameras from the matrices in them."""

from pathlib import Path

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.readers.text import read_text

__all__ = ["cameras_from_world_to_camera", "read_table"]

_WORDS = {"True": 1.0, "False": 0.0}


def read_table(file: Path, columns: int, *, header: str = "") -> np.ndarray:
    """Numbers of a text file, a row a line.

    Args:
        file: The file; empty lines are passed over, and True and False are 1 and 0.
        columns: Numbers in a row.
        header: First word of a first line that names columns; none when omitted.

    Returns:
        Array `[row, columns]` in float64.

    Raises:
        ValueError: If a line holds other than so many finite numbers, or there is no row; names the file.
        FileNotFoundError: If there is none.
    """
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words or (number == 1 and words[0] == header):
            continue
        try:
            row = [_WORDS[word] if word in _WORDS else float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            raise ValueError(f"{file}, line {number}, must hold {columns} finite numbers, got {line[:60]!r}.")
        rows.append(row)
    if not rows:
        raise ValueError(f"{file} must hold rows of {columns} numbers, got none.")
    return np.array(rows)


def cameras_from_world_to_camera(
    file: Path,
    world_to_camera: np.ndarray,
    intrinsics: np.ndarray,
    *,
    height: int,
    width: int,
    tolerance: float = 1e-3,
) -> Cameras:
    """Cameras from the world-to-camera matrices of a file, whose rotations are made exact.

    Args:
        file: Where the numbers are from, for the messages.
        world_to_camera: `[frame, 4, 4]`, OpenCV axes.
        intrinsics: `[frame, 3, 3]`, pixels, for centres of pixels at +0.5.
        height: Image rows.
        width: Image columns.
        tolerance: Largest accepted entry of |R^T R - I|: what rounding in the file explains.

    Returns:
        Cameras in float32, whose rotations are the nearest ones to those of the file.

    Raises:
        ValueError: If a matrix is no rigid motion, or a lens none; names the file and the frame.
    """
    matrices = np.asarray(world_to_camera, dtype=np.float64)
    for name, values in (("matrices", matrices), ("lenses", np.asarray(intrinsics))):
        wrong = ~np.isfinite(values).all((1, 2))
        if wrong.any():
            raise ValueError(f"{file} must hold finite {name}, got others in row {int(wrong.argmax())}.")
    rotations = matrices[:, :3, :3]
    error = np.abs(rotations.swapaxes(1, 2) @ rotations - np.eye(3)).max((1, 2))
    error = np.maximum(error, np.abs(matrices[:, 3] - [0, 0, 0, 1]).max(1))
    wrong = (error > tolerance) | (np.linalg.det(rotations) < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{file} must hold rigid world-to-camera matrices, got one in row {row} that is off by "
            f"{error[row]:.2g} and has determinant {np.linalg.det(rotations[row]):.2g}."
        )
    left, _, right = np.linalg.svd(rotations)
    camera_to_world = np.tile(np.eye(4), (len(matrices), 1, 1))
    camera_to_world[:, :3, :3] = (left @ right).swapaxes(1, 2)
    camera_to_world[:, :3, 3:] = -camera_to_world[:, :3, :3] @ matrices[:, :3, 3:]
    cameras = Cameras(
        torch.from_numpy(camera_to_world.astype(np.float32)),
        torch.from_numpy(np.asarray(intrinsics, dtype=np.float32)),
        height,
        width,
    )
    try:
        cameras.validate()
    except ValueError as error_:
        raise ValueError(f"{file}: {error_}") from error_
    return cameras
