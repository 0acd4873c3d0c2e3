"""Depth of models that look at one picture at a time: an npz per frame in a folder, or one for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diff4splat.data.annotations.arrays import checked, npz_files, npz_keys, one_size, read_npz

__all__ = ["ImageDepths", "first_keys", "read_image_depths"]


class ImageDepths(NamedTuple):
    """Depth of frames with what lies beside it, row by row.

    Args:
        depth: Array `[frame, height, width]` as stored.
        others: Arrays by name, with a row for each frame; only what every file holds.
    """

    depth: np.ndarray
    others: dict[str, np.ndarray]


def first_keys(path: Path) -> frozenset[str]:
    """Names of the arrays of an npz, or of the first npz of a folder.

    Args:
        path: File or folder.

    Returns:
        Names; none where there is no npz.

    Raises:
        ValueError: If it is damaged; names it.
    """
    files = npz_files(path)
    return npz_keys(files[0]) if files else frozenset()


def read_image_depths(
    path: Path, needed: Sequence[str], others: Sequence[str], shapes: Mapping[str, tuple[int, ...] | None]
) -> ImageDepths:
    """Depth of an npz, or of all npz of a folder in the order of the numbers in their names.

    A file holds one frame, depth `[height, width]`, or several, depth `[frame, height, width]` and a row of
    the others for each. Axes of length 1 that models leave before and behind the first are dropped.

    Args:
        path: File or folder.
        needed: Names beside depth that every file must hold.
        others: Names that files may hold, all of them or none.
        shapes: Shape of what is beside depth, for one frame; None for that of depth.

    Returns:
        What was read.

    Raises:
        ValueError: If there is no file, one is damaged or lacks something, or sizes differ; names it.
        FileNotFoundError: If there is none.
    """
    files = npz_files(path)
    if not files:
        raise ValueError(f"{path} must hold an npz for each frame, got none.")
    origins: list[Path] = []
    maps: list[np.ndarray] = []
    rows: dict[str, list[np.ndarray]] = {}
    names: set[str] | None = None
    for file in files:
        found = read_npz(file, ("depth", *needed), others)
        depth = _frames(file, found.pop("depth"))
        names = set(found) if names is None else names
        if set(found) != names:
            odd = sorted(set(found) ^ names)[0]
            raise ValueError(f"{path} must hold {odd} in every file or in none, {file.name} differs.")
        for name, values in found.items():
            wanted = shapes[name]
            inner = depth.shape[1:] if wanted is None else wanted
            if _without_ones(values.shape) != _without_ones((len(depth), *inner)):
                raise ValueError(
                    f"{file} must hold {name} of shape {list(inner)} for each of {len(depth)} frames, got "
                    f"{list(values.shape)}."
                )
            checked(file, name, values, values.shape)
            rows.setdefault(name, []).append(values.reshape(len(depth), *inner))
        origins += [file] * len(depth)
        maps += list(depth)
    return ImageDepths(
        one_size(origins, maps), {name: np.concatenate(values) for name, values in rows.items()}
    )


def _frames(file: Path, depth: np.ndarray) -> np.ndarray:
    if depth.ndim == 4 and depth.shape[1] == 1:
        depth = depth[:, 0]
    return checked(file, "depth", depth[None] if depth.ndim == 2 else depth, (None, None, None))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
