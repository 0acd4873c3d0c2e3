"""Numba functions: all that is done per Gaussian and frame, and its gradient.

Deform, colour and project in one go, block of Gaussians by block, so that what one step leaves is still in
the cache for the next, and no deformed set exists as a whole.
"""

from typing import NamedTuple

import numpy as np

from diff4splat.rendering.cpu_deformation import deform_backward, deform_forward
from diff4splat.rendering.cpu_harmonics import harmonics_backward, harmonics_forward
from diff4splat.rendering.cpu_jit import NUM_BLOCKS, inlined
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
def _range(scene, block):
    count = scene.means.shape[0]
    return count * block // NUM_BLOCKS, count * (block + 1) // NUM_BLOCKS


@inlined
def _at_its_time(scene, motion, frames, frame, first, last, linear_scales):
    """Means, quaternions and scales of a range of Gaussians in a frame, and the Gaussian that is entry 0."""
    if motion.means.shape[0] == 0:
        return scene.means, scene.quaternions, scene.scales, 0
    size = last - first
    means, scales = np.empty((size, 3), np.float32), np.empty((size, 3), np.float32)
    quaternions = np.empty((size, 4), np.float32)
    deform_forward(
        first, last, scene, motion, frames.lower[frame], frames.upper[frame], frames.fractions[frame],
        linear_scales, means, quaternions, scales,
    )  # fmt: skip
    return means, quaternions, scales, first


@inlined
def gaussians_forward(job, scene, motion, frames, limits, rows, spans, keys, num_tiles, broken):
    """Rows, spans, keys and tiles of a block of Gaussians in a frame; `broken` counts what is no Gaussian."""
    frame = job // NUM_BLOCKS
    first, last = _range(scene, job % NUM_BLOCKS)
    means, quaternions, scales, shift = _at_its_time(
        scene, motion, frames, frame, first, last, limits.linear_scales
    )
    colors = np.empty((last - first, 3), np.float32)
    harmonics_forward(first, last, scene.harmonics, means, shift, frames.centers[frame], colors)
    broken[job] = project_forward(
        first, last, means, quaternions, scales, shift, scene.opacities, colors, frames.poses[frame],
        frames.intrinsics[frame], limits, rows, spans, keys, num_tiles, frame * scene.means.shape[0],
    )  # fmt: skip


@inlined
def gaussians_backward(
    block, scene, motion, frames, limits, num_tiles, slot_starts, starts, sums,
    grad_scene, grad_motion, grad_cameras, grad_centers, grad_fractions,
):  # fmt: skip
    """Add the gradients of a block of Gaussians, from the sums over pixels that the rasterizer left.

    All frames one after another, so that every sum has one order. `starts` holds the
    first pair of each frame; `grad_cameras` and so on have one entry per frame and block.
    """
    first, last = _range(scene, block)
    size = last - first
    d_means, d_quaternions, d_scales = grad_scene.means, grad_scene.quaternions, grad_scene.scales
    for frame in range(len(starts)):
        center, lower, upper = frames.centers[frame], frames.lower[frame], frames.upper[frame]
        means, quaternions, scales, shift = _at_its_time(
            scene, motion, frames, frame, first, last, limits.linear_scales
        )
        colors, d_colors = np.empty((size, 3), np.float32), np.zeros((size, 3), np.float32)
        harmonics_forward(first, last, scene.harmonics, means, shift, center, colors)
        if motion.means.shape[0] > 0:
            d_means, d_scales = np.zeros((size, 3), np.float32), np.zeros((size, 3), np.float32)
            d_quaternions = np.zeros((size, 4), np.float32)
        project_backward(
            first, last, means, quaternions, scales, shift, scene.opacities, colors,
            frames.poses[frame], frames.intrinsics[frame], limits,
            num_tiles, slot_starts, frame * scene.means.shape[0], sums, starts[frame],
            d_means, d_quaternions, d_scales, grad_scene.opacities, d_colors, grad_cameras[frame, block],
        )  # fmt: skip
        place = grad_centers[frame, block]
        place[0], place[1], place[2] = harmonics_backward(
            first, last, scene.harmonics, means, shift, center, d_colors, grad_scene.harmonics, d_means
        )
        if motion.means.shape[0] > 0:
            grad_fractions[frame, block] = deform_backward(
                first, last, scene, motion, lower, upper, frames.fractions[frame], limits.linear_scales,
                limits.moving_times and upper > lower, d_means, d_quaternions, d_scales,
                grad_scene, grad_motion,
            )  # fmt: skip
