"""From arrays to images and back to gradients: the order in which the CPU kernels run.

Importing this module imports numba; `cpu_backend` does so with the first frame.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numba.core.errors
import numpy as np
import torch

from diff4splat.rendering import cpu_binning, cpu_frames, cpu_rasterization
from diff4splat.rendering.cpu_frames import Frames, Limits, Motion, Scene
from diff4splat.rendering.cpu_jit import NUM_BLOCKS, TILE
from diff4splat.rendering.cpu_threads import run

__all__ = [
    "Binned",
    "Frames",
    "Inputs",
    "Limits",
    "Motion",
    "Scene",
    "bin_frames",
    "compile_errors",
    "draw_backward",
    "draw_forward",
    "draw_inspection",
]

compile_errors = (numba.core.errors.NumbaError,)

_ROW = 16  # numbers of a row, a cache line
_MEMORY = 2**28  # bytes that frames worked on together may take; more than one frame helps the threads
_BYTES_PER_GAUSSIAN = 4 * _ROW + 8 + 4 * 4 + 8 * 4  # row, span, four numbers, about four pairs


class Inputs(NamedTuple):
    """Arrays of one call, as the kernels take them."""

    scene: Scene
    motion: Motion
    frames: Frames
    limits: Limits
    background: np.ndarray
    max_alpha: np.float32
    expected: bool


class Binned(NamedTuple):
    """Some frames, ready to be drawn: what `cpu_projection` and `cpu_binning` say of these arrays."""

    first: int
    last: int
    rows: np.ndarray
    num_tiles: np.ndarray
    slot_starts: np.ndarray
    starts: np.ndarray
    tile_starts: np.ndarray
    pairs: np.ndarray


def _tiles(limits: Limits) -> tuple[int, int]:
    return -(-limits.width // TILE), -(-limits.height // TILE)


def bin_frames(inputs: Inputs) -> Iterator[Binned | None]:
    """Project and sort, some frames at a time.

    Yields:
        The frames that follow, or None, once, where the inputs hold values that are no Gaussians.
    """
    count, frames = len(inputs.scene.means), len(inputs.frames.poses)
    together = min(2 * torch.get_num_threads(), _MEMORY // (_BYTES_PER_GAUSSIAN * max(count, 1)))
    for first in range(0, frames, max(together, 1)):
        last = min(first + max(together, 1), frames)
        binned = _bin(inputs, first, last)
        yield binned
        if binned is None:
            return


def _bin(inputs: Inputs, first: int, last: int) -> Binned | None:
    count, size = len(inputs.scene.means), last - first
    tiles_x, tiles_y = _tiles(inputs.limits)
    views = Frames(*(v[first:last] for v in inputs.frames))
    rows = _cache_lines(size * count)
    spans, keys = np.empty((size * count, 4), np.int16), np.empty(size * count, np.uint32)
    num_tiles, broken = np.empty(size * count, np.int32), np.zeros(size * NUM_BLOCKS, np.int64)
    run(
        cpu_frames.gaussians_forward, size * NUM_BLOCKS, inputs.scene, inputs.motion, views, inputs.limits,
        rows, spans, keys, num_tiles, broken,
    )  # fmt: skip
    if broken.any():
        return None
    order, slot_starts = np.empty(size * count, np.int32), np.empty(size * count, np.int32)
    sizes = np.empty((size, 2), np.int64)
    run(cpu_binning.sort_by_depth, size, keys, num_tiles, order, slot_starts, sizes)
    places = np.zeros((size, cpu_binning.NUM_CHUNKS, tiles_x * tiles_y), np.int32)
    run(cpu_binning.count_tiles, size * cpu_binning.NUM_CHUNKS, order, sizes, spans, tiles_x, places)
    tile_starts = np.empty(size * tiles_x * tiles_y + 1, np.int64)
    run(cpu_binning.place_tiles, size, sizes, places, tile_starts)
    pairs = np.empty((tile_starts[-1], 2), np.int32)
    run(
        cpu_binning.fill_tiles, size * cpu_binning.NUM_CHUNKS, order, sizes, spans, slot_starts, tiles_x,
        places, pairs,
    )  # fmt: skip
    starts = np.cumsum(sizes[:, 1]) - sizes[:, 1]
    return Binned(first, last, rows.reshape(-1), num_tiles, slot_starts, starts, tile_starts, pairs)


def draw_forward(
    inputs: Inputs, binned: Binned, color: np.ndarray, alpha: np.ndarray, depth: np.ndarray
) -> None:
    """Fill in the images of some frames; all arrays hold all frames."""
    images = (v[binned.first : binned.last].reshape(-1) for v in (color, alpha, depth))
    run(
        cpu_rasterization.rasterize_forward,
        *_drawing(inputs, binned),
        inputs.background,
        inputs.expected,
        *images,
    )


def draw_inspection(inputs: Inputs, binned: Binned, contributing: np.ndarray, strongest: np.ndarray) -> None:
    """Fill in, per pixel, how many Gaussians contribute and which is strongest; see `Rendering`."""
    images = (v[binned.first : binned.last].reshape(-1) for v in (contributing, strongest))
    num_jobs, rows, pairs, tile_starts, *rest = _drawing(inputs, binned)
    run(
        cpu_rasterization.inspect_tiles, num_jobs, rows, pairs, tile_starts, *rest, len(inputs.scene.means),
        *images,
    )  # fmt: skip


def _drawing(inputs: Inputs, binned: Binned) -> tuple[Any, ...]:
    limits = inputs.limits
    return (
        len(binned.tile_starts) - 1, binned.rows, binned.pairs, binned.tile_starts, *_tiles(limits),
        limits.height, limits.width, inputs.max_alpha,
    )  # fmt: skip


def draw_backward(
    inputs: Inputs, binned: list[Binned], images: list[np.ndarray], grads: list[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Gradients of everything in the order of `Scene`, `Motion`, fractions, poses, centres, intrinsics, background.

    Args:
        inputs: What was drawn.
        binned: All that `bin_frames` gave.
        images: Colour, alpha and depth that were drawn.
        grads: Their gradients.
    """
    scene = Scene(*(np.zeros_like(v) for v in inputs.scene))
    motion = Motion(*(np.zeros_like(v) for v in inputs.motion))
    count = len(inputs.frames.poses)
    poses, intrinsics = np.zeros((count, 4, 4), np.float32), np.zeros((count, 3, 3), np.float32)
    centers, fractions = np.empty((count, 3), np.float32), np.zeros(count, np.float32)
    background = np.zeros(3)
    for part in binned:
        size, where = part.last - part.first, slice(part.first, part.last)
        sums = np.empty((len(part.pairs), cpu_rasterization.SUMS), np.float32)
        behind = np.empty((len(part.tile_starts) - 1, 3), np.float32)
        run(
            cpu_rasterization.rasterize_backward, *_drawing(inputs, part), inputs.background, inputs.expected, *(v[where].reshape(-1) for v in (*images, *grads)), sums, behind,
        )  # fmt: skip
        background += behind.sum(axis=0, dtype=np.float64)
        d_cameras = np.empty((size, NUM_BLOCKS, 16))
        d_centers, d_fractions = np.empty((size, NUM_BLOCKS, 3)), np.zeros((size, NUM_BLOCKS))
        run(
            cpu_frames.gaussians_backward, NUM_BLOCKS, inputs.scene, inputs.motion,
            Frames(*(v[where] for v in inputs.frames)), inputs.limits, part.num_tiles, part.slot_starts,
            part.starts, sums, scene, motion, d_cameras, d_centers, d_fractions,
        )  # fmt: skip
        totals = d_cameras.sum(axis=1)
        poses[where, :3] = totals[:, :12].reshape(size, 3, 4)
        for place, (i, j) in enumerate(((0, 0), (1, 1), (0, 2), (1, 2))):
            intrinsics[where, i, j] = totals[:, 12 + place]
        centers[where], fractions[where] = d_centers.sum(axis=1), d_fractions.sum(axis=1)
    return *scene, *motion, fractions, poses, centers, intrinsics, background.astype(np.float32)


def _cache_lines(count: int) -> np.ndarray:
    """Rows of float32, each in one cache line."""
    space = np.empty(_ROW * (count + 1), np.float32)
    first = -space.ctypes.data % (4 * _ROW) // 4
    return space[first : first + _ROW * count].reshape(count, _ROW)
