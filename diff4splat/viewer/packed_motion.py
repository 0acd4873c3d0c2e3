"""What the Gaussians of a field do after its first stored time, as small integers.

A displacement, a rotation vector and a stretch per later time, in steps that are a small share of the
Gaussian's own size, less what the times before let one expect.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt16
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField, Gaussians, deform_gaussians
from diff4splat.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_to_rotation_vector,
)

__all__ = ["PackedMotion", "entropy_bytes", "pack_motion"]

LARGEST = 2**15 - 1
DISPLACEMENT_STEP = 1 / 64  # of the Gaussian's size, the geometric mean of its scales
ROTATION_STEP = 1 / 256  # radians
STRETCH_STEP = 1 / 128  # of the logarithm of a scale
FEWEST_BITS = 3.5  # of a number, on average: it is not made coarser than that
SAMPLE = 4096  # Gaussians from which bytes are foretold


@dataclass(frozen=True)
class PackedMotion:
    """Motion of a field as integers, and what they mean.

    Args:
        order: The Gaussians, those that move first.
        log_steps: Logarithm of the step of displacement, scene units, of each that moves.
        rotation_step: Step of the rotation vectors, radians.
        stretch_step: Step of the stretch, the change of a scale's logarithm.
        prediction: 1 if a number is expected to stay as it was, 2 if to go on changing as it did.
        residuals: Steps beyond what is expected, with 0, -1, 1, -2, ... as 0, 1, 2, 3, ..., modulo 2^16.
    """

    order: Int[np.ndarray, " gaussian"]
    log_steps: Float[np.ndarray, " moving"]
    rotation_step: float
    stretch_step: float
    prediction: int
    residuals: UInt16[np.ndarray, "channel=9 later moving"]


def pack_motion(field: DeformableGaussianField, first: Gaussians, *, max_bytes: float) -> PackedMotion:
    """Motion of a field, in steps that grow by one factor where it would take too many bytes.

    Args:
        field: One field without batch axes.
        first: Its Gaussians at the first stored time, in float64.
        max_bytes: What the residuals may take once they are deflated.

    Returns:
        Integers, and what they mean.
    """
    motion = _motion(field, first)
    log_steps = _displacement_steps(first, motion[:3])
    steps = [
        max(step, float(np.abs(part).max(initial=0.0)) / LARGEST)
        for step, part in ((ROTATION_STEP, motion[3:6]), (STRETCH_STEP, motion[6:]))
    ]
    motion[:3] /= np.exp(log_steps).astype(np.float32)
    motion[3:6] /= steps[0]
    motion[6:] /= steps[1]
    moves = (np.abs(motion) > 0.5).any(axis=(0, 1))
    order = np.concatenate([np.flatnonzero(moves), np.flatnonzero(~moves)])
    if not moves.all():
        motion = motion[:, :, moves]
    prediction, factor = _coarseness(motion, max_bytes)
    return PackedMotion(
        order=order,
        log_steps=log_steps[moves] + math.log(factor),
        rotation_step=steps[0] * factor,
        stretch_step=steps[1] * factor,
        prediction=prediction,
        residuals=_residuals(motion, prediction, factor),
    )


def entropy_bytes(words: UInt16[np.ndarray, "row number"]) -> float:
    """Bytes that the words take if each row codes its low bytes, and its high bytes, as often as they occur.

    Args:
        words: Numbers that are coded together, by row.

    Returns:
        Sum over the rows.
    """
    bits = 0.0
    for row in words:
        for part in (row & 255, row >> 8):
            counts = np.bincount(part)
            counts = counts[counts > 0]
            bits -= float((counts * np.log2(counts / len(row))).sum())
    return bits / 8


def _motion(
    field: DeformableGaussianField, first: Gaussians
) -> Float[np.ndarray, "channel=9 later gaussian"]:
    """Displacement, rotation vector about the Gaussian's own axes, and stretch since the first time."""
    motion = np.zeros((9, field.num_times - 1, field.num_gaussians), dtype=np.float32)
    canonical = field.canonical.to(dtype=torch.float64)
    undo = quaternion_conjugate(quaternion_normalize(field.delta_quaternions[0].double()))
    vectors = torch.zeros_like(first.means)
    for time in range(1, field.num_times):
        means, turns, scales = (
            deltas[time].double()
            for deltas in (field.delta_means, field.delta_quaternions, field.delta_scales)
        )
        now = deform_gaussians(canonical, means, turns, scales, scale_space=field.scale_space)
        turns = quaternion_multiply(undo, quaternion_normalize(turns))
        vectors = _nearest_turns(quaternion_to_rotation_vector(turns), vectors)
        stretch = (now.scales / first.scales).log()
        motion[:, time - 1] = torch.cat([now.means - first.means, vectors, stretch], dim=-1).T.numpy()
    return motion


def _nearest_turns(
    vectors: Float[Tensor, "gaussian xyz=3"], previous: Float[Tensor, "gaussian xyz=3"]
) -> Float[Tensor, "gaussian xyz=3"]:
    """The same rotations, with the number of whole turns that is nearest to the vectors before."""
    angles = vectors.norm(dim=-1, keepdim=True)
    axes = vectors / angles.clamp(min=1e-12)
    turns = (((axes * previous).sum(-1, keepdim=True) - angles) / (2 * math.pi)).round()
    return vectors + 2 * math.pi * turns * axes


def _displacement_steps(
    first: Gaussians, displacements: Float[np.ndarray, "xyz=3 later gaussian"]
) -> Float[np.ndarray, " gaussian"]:
    """Logarithms of the steps, rounded up to eighths: 1/64 of the size, more where 16 bits reach less far."""
    sizes = first.scales.log().mean(-1).exp().numpy()
    farthest = np.abs(displacements).max(axis=(0, 1), initial=0.0)
    return np.ceil(8 * np.log(np.maximum(DISPLACEMENT_STEP * sizes, farthest / LARGEST))) / 8


def _coarseness(levels: Float[np.ndarray, "channel=9 later moving"], max_bytes: float) -> tuple[int, float]:
    """Prediction that costs least, and the factor by which steps must grow to cost no more than allowed."""
    if not levels.size:
        return 1, 1.0
    sample = levels[:, :, :: max(1, levels.shape[2] // SAMPLE)]
    share = sample.size / levels.size
    allowed = share * max(max_bytes, FEWEST_BITS / 8 * levels.size)

    def cost(prediction: int, factor: float) -> float:
        words = _residuals(sample, prediction, factor)
        return entropy_bytes(words.reshape(-1, words.shape[-1]))

    prediction, factor = min((1, 2), key=lambda order: cost(order, 1.0)), 1.0
    while (bits := 8 * (cost(prediction, factor) - allowed) / sample.size) > 0:
        factor *= 2 ** (bits + 0.02)
    return prediction, factor


def _residuals(
    levels: Float[np.ndarray, "channel=9 later moving"], prediction: int, factor: float
) -> UInt16[np.ndarray, "channel=9 later moving"]:
    """Steps beyond what is expected of each, small numbers for small ones of either sign."""
    steps = np.rint(levels / np.float32(factor) if factor > 1 else levels).astype(np.int16)
    for _ in range(prediction):  # differences wrap, and so do the reader's sums
        steps[:, 1:] = steps[:, 1:] - steps[:, :-1]
    return ((steps << 1) ^ (steps >> 15)).view(np.uint16)
