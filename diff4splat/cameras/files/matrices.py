"""Matrices as files hold them: read as numbers, checked, and what is wrong with them said with its cure."""

from typing import Any

import numpy as np
import torch

from diff4splat.geometry import quaternion_to_matrix, rigid_inverse

__all__ = [
    "check_lenses",
    "check_rigid",
    "number",
    "numbers",
    "quaternions_to_matrices",
    "rigid_inverses",
    "square",
]

_TOLERANCE = 1e-3  # of Cameras.validate
_IDENTITY_ROW = np.array([0.0, 0.0, 0.0, 1.0])


def numbers(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a file as one array per frame.

    Args:
        name: What the file calls them.
        values: Nested lists or an array.
        shape: Shape wanted after the frame axis.

    Returns:
        Array `[frame, *shape]` in float64; no frames where there are no values.
    """
    words = " x ".join(map(str, shape))
    kind = (
        f"matrices of {words} numbers" if len(shape) > 1 else f"{words} numbers each" if shape else "numbers"
    )
    try:
        if np.iscomplexobj(values):
            raise TypeError
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must hold {kind}, got other values.") from None
    if array.size == 0:
        return np.zeros((0, *shape))
    if array.ndim == 0 or array.shape[1:] != shape:
        wanted = ", ".join(map(str, ("frame", *shape)))
        raise ValueError(f"{name} must have shape [{wanted}], got {list(array.shape)}.")
    return array


def number(name: str, row: dict[str, Any], default: float | None = None) -> float | None:
    """A number of a JSON object, or the default where it has none."""
    value = row.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    return float(value)


def square(matrices: np.ndarray) -> np.ndarray:
    """Matrices of 3 rows with the fourth added; those of 4 as they are."""
    if matrices.shape[-2] == 4:
        return matrices
    return np.concatenate((matrices, np.broadcast_to(_IDENTITY_ROW, (len(matrices), 1, 4))), axis=1)


def rigid_inverses(matrices: np.ndarray) -> np.ndarray:
    """Inverses of rigid 4 x 4 matrices."""
    return rigid_inverse(torch.tensor(matrices)).numpy()


def quaternions_to_matrices(quaternions: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Rigid matrices from quaternions wxyz, whose length must be about 1, and translations."""
    lengths = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    wrong = np.abs(lengths - 1)[:, 0] > 0.01
    if wrong.any():
        frame = int(wrong.argmax())
        raise ValueError(
            f"quaternions must have length 1, got {lengths[frame, 0]:.4g} in camera {frame}: "
            "are the columns in another order?"
        )
    matrices = np.tile(np.eye(4), (len(quaternions), 1, 1))
    matrices[:, :3, :3] = quaternion_to_matrix(torch.from_numpy(quaternions / lengths)).numpy()
    matrices[:, :3, 3] = translations
    return matrices


def check_rigid(name: str, matrices: np.ndarray) -> None:
    """Refuse matrices that are no rigid motion, with the likely reason and what to do about it.

    Args:
        name: What the file calls them.
        matrices: `[frame, 4, 4]`, or empty.

    Raises:
        ValueError: If a matrix is not finite, or not a rotation and a translation above a row 0 0 0 1.
    """
    if not np.isfinite(matrices).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity.")
    if len(matrices) == 0:
        return
    if np.abs(matrices[:, 3] - _IDENTITY_ROW).max() > _TOLERANCE:
        if np.abs(matrices[:, :, 3] - _IDENTITY_ROW).max() <= _TOLERANCE:
            raise ValueError(
                f"{name} must have last row [0, 0, 0, 1], got it as last column: these matrices are stored "
                "column by column (or for row vectors), transpose each of them."
            )
        found = matrices[int(np.abs(matrices[:, 3] - _IDENTITY_ROW).max(axis=-1).argmax()), 3]
        raise ValueError(f"{name} must have last row [0, 0, 0, 1], got {found.tolist()}.")
    rotations = matrices[:, :3, :3]
    gram = rotations.swapaxes(-1, -2) @ rotations
    error = np.abs(gram - np.eye(3)).max(axis=(-1, -2))
    if error.max() > _TOLERANCE:
        frame = int(error.argmax())
        raise ValueError(
            f"{name} must be rigid (orthonormal rotation), got |R^T R - I| up to {error.max():.3g} "
            f"in camera {frame}: {_reason(gram[frame])}"
        )
    flipped = np.linalg.det(rotations) < 0
    if flipped.any():
        raise ValueError(
            f"{name} must have rotations of determinant +1, got a reflection (-1) in camera "
            f"{int(flipped.argmax())}: one axis is flipped, as in left-handed worlds (Unity, Unreal) or "
            "where only y or only z was negated; convert to a right-handed world first."
        )


def _reason(gram: np.ndarray) -> str:
    """Why a matrix is no rotation, from its R^T R."""
    scale = float(np.sqrt(np.trace(gram) / 3))
    if scale > 0 and np.abs(gram / scale**2 - np.eye(3)).max() < 0.01 and abs(scale - 1) > 0.005:
        return f"the rotation is scaled by {scale:.4g}; divide its 3 x 3 part by that number."
    if np.abs(gram - np.eye(3)).max() < 0.05:
        return "the numbers have too few digits; write more of them, or orthonormalise the rotation."
    return (
        "the numbers may be in another order (flattened column by column), "
        "or the matrix may hold the lens, or shear, beside the motion."
    )


def check_lenses(intrinsics: np.ndarray, height: int, width: int) -> None:
    """Refuse lenses whose numbers were divided by the image size, where pixels are expected.

    Args:
        intrinsics: `[frame, 3, 3]`, in pixels.
        height: Image rows.
        width: Image columns.

    Raises:
        ValueError: If a principal point lies within the first pixel of an image that is much larger, and the
            focal length is as small.
    """
    if min(height, width) < 16 or len(intrinsics) == 0:
        return
    centre, focal = intrinsics[:, [0, 1], [2, 2]], intrinsics[:, [0, 1], [0, 1]]
    if ((centre > 0) & (centre <= 1)).all() and (focal < 8).all():
        raise ValueError(
            f"intrinsics must be in pixels, got a principal point of {centre[0].tolist()} for images of "
            f"{width} x {height}: they look divided by the image size, multiply the first row by the width "
            "and the second by the height."
        )
