"""From arrays to images and back to gradients: the order in which the CPU kernels run.

Importing this module imports numba; `cpu_backend` does so with the first frame.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from diff4splat.rendering import cpu_binning, cpu_kernels, cpu_rasterization
from diff4splat.rendering.cpu_frames import Frames, Limits, Motion, Scene
from diff4splat.rendering.cpu_jit import NUM_BLOCKS, TILE, new_counters
from diff4splat.rendering.cpu_memory import empty, zeros
from diff4splat.rendering.cpu_threads import KernelError, run

__all__ = [
    "Frames",
    "Inputs",
    "Limits",
    "Motion",
    "Scene",
    "Sorted",
    "KernelError",
    "Kept",
    "draw_backward",
    "draw_forward",
    "draw_inspection",
    "empty",
    "sort_frames",
]

_ROW = 16  # numbers of a row, a cache line
_MOST_PAIRS = 2**31 - 1  # their numbers are int32
_MEMORY = 2**28  # bytes that frames worked on together may take; more than one frame helps the threads
_BYTES_PER_GAUSSIAN = 4 * _ROW + 16 + 4 * 4 + 16 + 8 * 4  # row, span, four numbers, sorting, some pairs


class Inputs(NamedTuple):
    """Arrays of one call, as the kernels take them."""

    scene: Scene
    motion: Motion
    frames: Frames
    limits: Limits
    background: np.ndarray
    max_alpha: np.float32
    expected: bool


class Sorted(NamedTuple):
    """Some frames with their Gaussians in order; `cpu_projection` and `cpu_binning` say what is in it."""

    first: int
    last: int
    rows: np.ndarray
    spans: np.ndarray
    num_tiles: np.ndarray
    order: np.ndarray
    slot_starts: np.ndarray
    sizes: np.ndarray
    places: np.ndarray
    tile_starts: np.ndarray
    pairs: np.ndarray


class Kept(NamedTuple):
    """What the gradient of some frames needs of `Sorted`."""

    first: int
    last: int
    rows: np.ndarray
    num_tiles: np.ndarray
    slot_starts: np.ndarray
    sizes: np.ndarray
    tile_starts: np.ndarray
    pairs: np.ndarray


def sort_frames(inputs: Inputs) -> Iterator[Sorted | None]:
    """Project and sort, some frames at a time.

    Args:
        inputs: What to draw.

    Yields:
        The frames that follow, or None, once, where the inputs hold values that are no Gaussians.
    """
    count, frames = len(inputs.scene.means), len(inputs.frames.poses)
    together = min(torch.get_num_threads(), _MEMORY // (_BYTES_PER_GAUSSIAN * max(count, 1)))
    for first in range(0, frames, max(together, 1)):
        part = _sort(inputs, first, min(first + max(together, 1), frames))
        yield part
        if part is None:
            return


def _sort(inputs: Inputs, first: int, last: int) -> Sorted | None:
    count, size = len(inputs.scene.means), last - first
    tiles_x, tiles_y = _tiles(inputs.limits)
    rows, keys = empty((size * count, _ROW), np.float32), empty(size * count, np.uint32)
    spans, num_tiles = empty((size * count, 4), np.int32), empty(size * count, np.int32)
    order, slot_starts = empty(size * count, np.int32), empty(size * count, np.int32)
    broken, sizes = empty(size * NUM_BLOCKS, np.int64), empty((size, 2), np.int64)
    items = empty((size, 2, count), np.uint64)
    places = zeros((size, cpu_binning.NUM_CHUNKS, tiles_x * tiles_y), np.int32)
    tile_starts = empty(size * tiles_x * tiles_y + 1, np.int64)
    _run(
        cpu_kernels.sort_gaussians, size * NUM_BLOCKS, inputs.scene, inputs.motion,
        Frames(*(v[first:last] for v in inputs.frames)), inputs.limits, rows, spans, keys, num_tiles, broken,
        items, order, slot_starts, sizes, places, tile_starts, tiles_x,
    )  # fmt: skip
    if broken.any():
        return None
    num_pairs = int(sizes[:, 1].sum())
    if num_pairs > _MOST_PAIRS:
        raise MemoryError(
            f"render found {num_pairs} pairs of a Gaussian and a tile that it covers, more than 2^31. Draw "
            "fewer frames at once, smaller images, or Gaussians of smaller scales."
        )
    pairs = empty((num_pairs, 2), np.int32)
    return Sorted(
        first, last, rows.reshape(-1), spans, num_tiles, order, slot_starts, sizes, places, tile_starts, pairs
    )


def draw_forward(
    inputs: Inputs, part: Sorted, color: np.ndarray, alpha: np.ndarray, depth: np.ndarray
) -> None:
    """Fill in the images of some frames, and their pairs; the images hold all frames."""
    _run(
        cpu_kernels.draw_forward, len(part.tile_starts), part.order, part.sizes, part.spans, part.slot_starts,
        part.places, *_drawing(inputs, part), inputs.background, inputs.expected,
        *_images(part, color, alpha, depth),
    )  # fmt: skip


def draw_inspection(inputs: Inputs, part: Sorted, contributing: np.ndarray, strongest: np.ndarray) -> None:
    """Fill in, per pixel, how many Gaussians contribute and which is strongest; after `draw_forward`."""
    _run(
        cpu_kernels.draw_inspection, len(part.tile_starts), *_drawing(inputs, part), len(inputs.scene.means),
        *_images(part, contributing, strongest),
    )  # fmt: skip


def draw_backward(
    inputs: Inputs, parts: list[Kept], images: list[np.ndarray], grads: list[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Gradients of what was drawn, from those of the images.

    Args:
        inputs: What was drawn.
        parts: Of all that `sort_frames` gave.
        images: Colour, alpha and depth that were drawn.
        grads: Their gradients.

    Returns:
        In the order of `Scene`, `Motion`, fractions, poses, centres, intrinsics, background.
    """
    scene = Scene(*(zeros(v.shape, v.dtype) for v in inputs.scene))
    motion = Motion(*(zeros(v.shape, v.dtype) for v in inputs.motion))
    count = len(inputs.frames.poses)
    poses, intrinsics = zeros((count, 4, 4), np.float32), zeros((count, 3, 3), np.float32)
    centers, fractions = empty((count, 3), np.float32), zeros(count, np.float32)
    background = np.empty((count, 3))
    for part in parts:
        size, where = part.last - part.first, slice(part.first, part.last)
        sums = empty((len(part.pairs), cpu_rasterization.SUMS), np.float32)
        behind = empty((len(part.tile_starts) - 1, 3), np.float32)
        d_cameras = empty((size, NUM_BLOCKS, 16), np.float64)
        d_centers, d_fractions = (
            empty((size, NUM_BLOCKS, 3), np.float64),
            zeros((size, NUM_BLOCKS), np.float64),
        )
        starts = np.cumsum(part.sizes[:, 1]) - part.sizes[:, 1]
        _run(
            cpu_kernels.draw_backward, len(part.tile_starts), inputs.scene, inputs.motion,
            Frames(*(v[where] for v in inputs.frames)), inputs.limits, part.num_tiles, part.slot_starts,
            starts, *_drawing(inputs, part), inputs.background, inputs.expected,
            *_images(part, *images, *grads), sums, behind, scene, motion, d_cameras, d_centers, d_fractions,
        )  # fmt: skip
        background[where] = behind.reshape(size, -1, 3).sum(axis=1, dtype=np.float64)
        totals = d_cameras.sum(axis=1)
        poses[where, :3] = totals[:, :12].reshape(size, 3, 4)
        for place, (i, j) in enumerate(((0, 0), (1, 1), (0, 2), (1, 2))):
            intrinsics[where, i, j] = totals[:, 12 + place]
        centers[where], fractions[where] = d_centers.sum(axis=1), d_fractions.sum(axis=1)
    return *scene, *motion, fractions, poses, centers, intrinsics, background.sum(axis=0).astype(np.float32)


def _run(kernel: Any, max_jobs: int, *args: Any) -> None:
    run(kernel, new_counters(cpu_kernels.NUM_PHASES), max_jobs, *args)


def _tiles(limits: Limits) -> tuple[int, int]:
    return -(-limits.width // TILE), -(-limits.height // TILE)


def _drawing(inputs: Inputs, part: Sorted | Kept) -> tuple[Any, ...]:
    limits = inputs.limits
    size = limits.height, limits.width
    return part.rows, part.pairs, part.tile_starts, *_tiles(limits), *size, inputs.max_alpha


def _images(part: Sorted | Kept, *images: np.ndarray) -> Iterator[np.ndarray]:
    """Those of some frames, flat."""
    return (v[part.first : part.last].reshape(-1) for v in images)
