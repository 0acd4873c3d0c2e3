"""Numba kernels: what threads run side by side, phase after phase.

A phase begins when all jobs of the one before are done. Jobs are frames, or blocks, chunks or tiles of a
frame, frame after frame; what they do is said where it is defined.
"""

from diff4splat.rendering.cpu_binning import NUM_CHUNKS, count_tiles, fill_tiles, place_tiles, sort_by_depth
from diff4splat.rendering.cpu_frames import gaussians_backward, gaussians_forward
from diff4splat.rendering.cpu_jit import NUM_BLOCKS, finish_job, kernel, next_job
from diff4splat.rendering.cpu_rasterization import (
    inspect_tile,
    new_scratch,
    rasterize_tile,
    rasterize_tile_backward,
)

__all__ = ["NUM_PHASES", "draw_backward", "draw_forward", "draw_inspection", "sort_gaussians"]

NUM_PHASES = 4
"""Most phases of a kernel."""


@kernel
def sort_gaussians(
    counters, scene, motion, frames, limits, rows, spans, keys, num_tiles, broken, items, order, slot_starts,
    sizes, places, tile_starts, tiles_x,
):  # fmt: skip
    """Project the Gaussians of all frames, sort them by depth and find out where their tiles begin."""
    num_frames = sizes.shape[0]
    while True:
        job = next_job(counters, 0, num_frames * NUM_BLOCKS)
        if job < 0:
            break
        gaussians_forward(job, scene, motion, frames, limits, rows, spans, keys, num_tiles, broken)
        finish_job(counters, 0)
    while True:
        frame = next_job(counters, 1, num_frames)
        if frame < 0:
            break
        sort_by_depth(frame, keys, num_tiles, items, order, slot_starts, sizes)
        finish_job(counters, 1)
    while True:
        job = next_job(counters, 2, num_frames * NUM_CHUNKS)
        if job < 0:
            break
        count_tiles(job, order, sizes, spans, tiles_x, places)
        finish_job(counters, 2)
    while True:
        frame = next_job(counters, 3, num_frames)
        if frame < 0:
            break
        place_tiles(frame, sizes, places, tile_starts)
        finish_job(counters, 3)


@kernel
def draw_forward(
    counters, order, sizes, spans, slot_starts, places, rows, pairs, tile_starts, tiles_x, tiles_y, height,
    width, max_alpha, background, expected, color, alpha, depth,
):  # fmt: skip
    """Gather the Gaussians of each tile and draw it."""
    while True:
        job = next_job(counters, 0, sizes.shape[0] * NUM_CHUNKS)
        if job < 0:
            break
        fill_tiles(job, order, sizes, spans, slot_starts, tiles_x, places, pairs)
        finish_job(counters, 0)
    scratch = new_scratch()
    while True:
        tile = next_job(counters, 1, tile_starts.size - 1)
        if tile < 0:
            break
        rasterize_tile(
            tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, background,
            expected, color, alpha, depth,
        )  # fmt: skip
        finish_job(counters, 1)


@kernel
def draw_inspection(
    counters, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, num_gaussians,
    contributing, strongest,
):  # fmt: skip
    """Find out, per pixel, how many Gaussians contribute and which is the strongest."""
    scratch = new_scratch()
    while True:
        tile = next_job(counters, 0, tile_starts.size - 1)
        if tile < 0:
            break
        inspect_tile(
            tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha,
            num_gaussians, contributing, strongest,
        )  # fmt: skip
        finish_job(counters, 0)


@kernel
def draw_backward(
    counters, scene, motion, frames, limits, num_tiles, slot_starts, starts, rows, pairs, tile_starts,
    tiles_x, tiles_y, height, width, max_alpha, background, expected, color, alpha, depth, grad_color,
    grad_alpha, grad_depth, sums, grad_background, grad_scene, grad_motion, grad_cameras, grad_centers,
    grad_fractions,
):  # fmt: skip
    """Gradients of the images to those of the Gaussians, cameras and times."""
    scratch = new_scratch()
    while True:
        tile = next_job(counters, 0, tile_starts.size - 1)
        if tile < 0:
            break
        rasterize_tile_backward(
            tile, scratch, rows, pairs, tile_starts, tiles_x, tiles_y, height, width, max_alpha, background,
            expected, color, alpha, depth, grad_color, grad_alpha, grad_depth, sums, grad_background,
        )  # fmt: skip
        finish_job(counters, 0)
    while True:
        block = next_job(counters, 1, NUM_BLOCKS)
        if block < 0:
            break
        gaussians_backward(
            block, scene, motion, frames, limits, num_tiles, slot_starts, starts, sums, grad_scene,
            grad_motion, grad_cameras, grad_centers, grad_fractions,
        )  # fmt: skip
        finish_job(counters, 1)
