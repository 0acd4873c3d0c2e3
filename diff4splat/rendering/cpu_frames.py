"""Numba kernels: all that is done per Gaussian and frame, and its gradient.

Deform, colour and project in one go, block of Gaussians by block, so that what one step leaves is still in the
cache for the next, and no deformed set exists as a whole.
"""

from typing import NamedTuple

import numpy as np

from diff4splat.rendering.cpu_deformation import deform_backward, deform_forward
from diff4splat.rendering.cpu_harmonics import harmonics_backward, harmonics_forward
from diff4splat.rendering.cpu_jit import NUM_BLOCKS, inlined, kernel, next_job
from diff4splat.rendering.cpu_projection import project_backward, project_forward

__all__ = ["Frames", "Limits", "Motion", "Scene", "gaussians_backward", "gaussians_forward"]


class Scene(NamedTuple):
    """Canonical Gaussians, or their gradients; float32, harmonics (n, k, 3)."""

    means: np.ndarray
    quaternions: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    harmonics: np.ndarray


class Motion(NamedTuple):
    """Deltas at the stored times, or their gradients; float32, no times for Gaussians that hold still."""

    means: np.ndarray
    turns: np.ndarray
    scales: np.ndarray


class Frames(NamedTuple):
    """Cameras, and the stored times around each frame's: float64 but for `lower` and `upper`, int64."""

    poses: np.ndarray
    intrinsics: np.ndarray
    centers: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    fractions: np.ndarray


class Limits(NamedTuple):
    """Numbers that are the same for all frames; see `render`."""

    height: int
    width: int
    near: float
    far: float
    eps2d: float
    radius_clip: float
    antialiased: bool
    linear_scales: bool
    moving_times: bool


@inlined
def _part(scene, block):
    """A block of Gaussians, as a range and as arrays."""
    count = scene.means.shape[0]
    first, last = count * block // NUM_BLOCKS, count * (block + 1) // NUM_BLOCKS
    part = (
        scene.means[first:last],
        scene.quaternions[first:last],
        scene.scales[first:last],
        scene.opacities[first:last],
        scene.harmonics[first:last],
    )
    return first, last, part


@inlined
def _deformed(part, motion, frames, frame, first, last, linear_scales):
    """Means, quaternions and scales of a block at the time of a frame."""
    means, quaternions, scales, _, _ = part
    if motion.means.shape[0] > 0:
        lower, upper = frames.lower[frame], frames.upper[frame]
        canonical = means, quaternions, scales
        means, quaternions, scales = np.empty_like(means), np.empty_like(quaternions), np.empty_like(scales)
        deform_forward(
            canonical[0], canonical[1], canonical[2],
            motion.means[lower, first:last], motion.turns[lower, first:last],
            motion.scales[lower, first:last], motion.means[upper, first:last],
            motion.turns[upper, first:last], motion.scales[upper, first:last],
            frames.fractions[frame], linear_scales, means, quaternions, scales,
        )  # fmt: skip
    return means, quaternions, scales


@kernel
def gaussians_forward(counter, num_jobs, scene, motion, frames, limits, rows, boxes, keys, num_tiles, broken):
    """Rows, boxes, keys and tiles of all frames; `broken` counts, per job, what is no Gaussian."""
    count = scene.means.shape[0]
    while True:
        job = next_job(counter)
        if job >= num_jobs:
            return
        frame = job // NUM_BLOCKS
        first, last, part = _part(scene, job % NUM_BLOCKS)
        means, quaternions, scales = _deformed(part, motion, frames, frame, first, last, limits.linear_scales)
        colors = np.empty((last - first, 3), np.float32)
        harmonics_forward(part[4], means, frames.centers[frame], colors)
        a, b = frame * count + first, frame * count + last
        broken[job] = project_forward(
            means, quaternions, scales, part[3], colors, frames.poses[frame], frames.intrinsics[frame], limits,
            rows[a:b], boxes[a:b], keys[a:b], num_tiles[a:b],
        )  # fmt: skip


@kernel
def gaussians_backward(
    counter, num_jobs, scene, motion, frames, limits, num_tiles, slot_starts, starts, sums,
    grad_scene, grad_motion, grad_cameras, grad_centers, grad_fractions,
):  # fmt: skip
    """Add the gradients of all frames, from the sums over pixels that the rasterizer left.

    A job is a block of Gaussians, through all frames, so that every sum has one order. `starts` holds the
    first pair of each frame; `grad_cameras` and so on have one entry per frame and block.
    """
    count = scene.means.shape[0]
    moving = motion.means.shape[0] > 0
    while True:
        block = next_job(counter)
        if block >= num_jobs:
            return
        first, last, part = _part(scene, block)
        d_means, d_quaternions = grad_scene.means[first:last], grad_scene.quaternions[first:last]
        d_scales, d_opacities = grad_scene.scales[first:last], grad_scene.opacities[first:last]
        for frame in range(len(starts)):
            means, quaternions, scales = _deformed(
                part, motion, frames, frame, first, last, limits.linear_scales
            )
            colors = np.empty((last - first, 3), np.float32)
            harmonics_forward(part[4], means, frames.centers[frame], colors)
            d_colors = np.zeros_like(colors)
            if moving:
                d_means, d_quaternions = np.zeros_like(means), np.zeros_like(quaternions)
                d_scales = np.zeros_like(scales)
            a, b = frame * count + first, frame * count + last
            project_backward(
                means, quaternions, scales, part[3], colors, frames.poses[frame], frames.intrinsics[frame],
                limits, num_tiles[a:b], slot_starts[a:b], sums[starts[frame] :],
                d_means, d_quaternions, d_scales, d_opacities, d_colors, grad_cameras[frame, block],
            )  # fmt: skip
            x, y, z = harmonics_backward(
                part[4], means, frames.centers[frame], d_colors, grad_scene.harmonics[first:last], d_means
            )
            grad_centers[frame, block, 0], grad_centers[frame, block, 1] = x, y
            grad_centers[frame, block, 2] = z
            if moving:
                lower, upper = frames.lower[frame], frames.upper[frame]
                grad_fractions[frame, block] = deform_backward(
                    part[0], part[1], part[2],
                    motion.means[lower, first:last], motion.turns[lower, first:last],
                    motion.scales[lower, first:last], motion.means[upper, first:last],
                    motion.turns[upper, first:last], motion.scales[upper, first:last],
                    frames.fractions[frame], limits.linear_scales, limits.moving_times and upper > lower,
                    d_means, d_quaternions, d_scales,
                    grad_scene.means[first:last], grad_scene.quaternions[first:last], grad_scene.scales[first:last],
                    grad_motion.means[lower, first:last], grad_motion.turns[lower, first:last],
                    grad_motion.scales[lower, first:last], grad_motion.means[upper, first:last],
                    grad_motion.turns[upper, first:last], grad_motion.scales[upper, first:last],
                )  # fmt: skip
