"""Smooth curves through points and rotations, for camera paths."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.geometry import (
    matrix_to_quaternion,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_slerp,
    quaternion_to_matrix,
)

__all__ = ["at_constant_speed", "catmull_rom", "pose_curve", "squad"]


def at_constant_speed(
    curve: Float[Tensor, "sample xyz=3"], fractions: Float[Tensor, " frame"]
) -> Float[Tensor, "frame xyz=3"]:
    """Points at given fractions of the length of a curve.

    Args:
        curve: At least two points along the curve, close enough that straight lines join them well.
        fractions: Shares of the length, 0 to 1.

    Returns:
        Points on the curve; all the first point where the curve has no length.
    """
    steps = torch.linalg.vector_norm(curve.diff(dim=0), dim=-1)
    length = torch.cat((steps.new_zeros(1), steps.cumsum(dim=0)))
    wanted = fractions * length[-1]
    upper = torch.searchsorted(length, wanted).clamp(1, len(curve) - 1)
    step = steps[upper - 1]
    within = (wanted - length[upper - 1]) / torch.where(step > 0, step, torch.ones_like(step))
    return torch.lerp(curve[upper - 1], curve[upper], within[:, None])


def catmull_rom(
    points: Float[Tensor, "key xyz=3"],
    segment: Int[Tensor, " frame"],
    fraction: Float[Tensor, " frame"],
    times: Float[Tensor, " key"] | None = None,
) -> Float[Tensor, "frame xyz=3"]:
    """Cubic curve through points; its tangents are central differences, one-sided at the ends.

    Args:
        points: Points that the curve passes.
        segment: Index of the point before each frame.
        fraction: Position of each frame between that point and the next, 0 to 1.
        times: Ascending times at which the points are passed; evenly when omitted.

    Returns:
        Points on the curve; exact at the keys.
    """
    following = (segment + 1).clamp(max=len(points) - 1)
    if len(points) == 1:
        return points[segment]
    times = torch.arange(len(points), dtype=points.dtype, device=points.device) if times is None else times
    tangents = torch.gradient(points, spacing=(times,), dim=0)[0]
    duration = (times[following] - times[segment])[:, None]
    f = fraction[:, None]
    start_weight, end_weight = (1 + 2 * f) * (1 - f) ** 2, f**2 * (3 - 2 * f)
    return (
        start_weight * points[segment]
        + end_weight * points[following]
        + f * (1 - f) ** 2 * duration * tangents[segment]
        - f**2 * (1 - f) * duration * tangents[following]
    )


def squad(
    keys: Float[Tensor, "key wxyz=4"], segment: Int[Tensor, " frame"], fraction: Float[Tensor, " frame"]
) -> Float[Tensor, "frame wxyz=4"]:
    r"""Smooth curve of rotations through given ones, the spherical counterpart of a cubic.

    $$q(f) = \mathrm{slerp}(\mathrm{slerp}(q_i, q_{i+1}; f), \mathrm{slerp}(s_i, s_{i+1}; f); 2f(1-f))$$

    with $s_i = q_i \exp(-\frac14 (\log q_i^{-1} q_{i+1} + \log q_i^{-1} q_{i-1}))$, and $s_i = q_i$ at the
    ends.
    Source: Shoemake, Quaternion Calculus and Fast Animation, 1987.

    Args:
        keys: Unit quaternions $q_i$ that the curve passes.
        segment: Index $i$ of the key before each frame.
        fraction: Position $f$ of each frame between that key and the next, 0 to 1.

    Returns:
        Unit quaternions; exact at the keys, up to sign.
    """
    keys = keys.clone()
    for index in range(1, len(keys)):  # neighbours on the same half of the sphere
        if (keys[index] * keys[index - 1]).sum() < 0:
            keys[index] = -keys[index]
    controls = keys.clone()
    for index in range(1, len(keys) - 1):
        inverse = quaternion_conjugate(keys[index])
        bend = _logarithm(quaternion_multiply(inverse, keys[index + 1])) + _logarithm(
            quaternion_multiply(inverse, keys[index - 1])
        )
        controls[index] = quaternion_multiply(keys[index], _exponential(-bend / 4))
    following = (segment + 1).clamp(max=len(keys) - 1)
    outer = quaternion_slerp(keys[segment], keys[following], fraction)
    inner = quaternion_slerp(controls[segment], controls[following], fraction)
    return quaternion_slerp(outer, inner, 2 * fraction * (1 - fraction))


def pose_curve(
    keys: Float[Tensor, "key 4 4"],
    times: Float[Tensor, " key"],
    at: Float[Tensor, " frame"],
    *,
    interpolation: Literal["smooth", "linear"] = "smooth",
) -> Float[Tensor, "frame 4 4"]:
    """Rigid transforms between given ones.

    Args:
        keys: Rigid transforms that the curve passes.
        times: Ascending times at which it passes them.
        at: Times wanted; those outside `times` take the nearest key.
        interpolation: "smooth" for `catmull_rom` and `squad` (where times are uneven, the speed of turning,
            not its axis, may change at a key), "linear" for straight lines and slerp.

    Returns:
        Transforms, exact at the keys.

    Raises:
        ValueError: If the times do not ascend.
    """
    if (times.diff() <= 0).any():
        raise ValueError("times must ascend, got another order.")
    at = at.clamp(times[0], times[-1])
    segment = (torch.searchsorted(times, at, right=True) - 1).clamp(0, max(len(times) - 2, 0))
    following = (segment + 1).clamp(max=len(times) - 1)
    duration = times[following] - times[segment]
    fraction = (at - times[segment]) / torch.where(duration > 0, duration, torch.ones_like(duration))
    quaternions = matrix_to_quaternion(keys[:, :3, :3])
    path = torch.eye(4, dtype=keys.dtype, device=keys.device).repeat(len(at), 1, 1)
    if interpolation == "linear":
        path[:, :3, 3] = torch.lerp(keys[segment, :3, 3], keys[following, :3, 3], fraction[:, None])
        turned = quaternion_slerp(quaternions[segment], quaternions[following], fraction)
    else:
        path[:, :3, 3] = catmull_rom(keys[:, :3, 3], segment, fraction, times)
        turned = squad(quaternions, segment, fraction)
    path[:, :3, :3] = quaternion_to_matrix(turned)
    return path


def _logarithm(quaternion: Tensor) -> Tensor:
    sine = torch.linalg.vector_norm(quaternion[1:])
    return quaternion[1:] * (torch.atan2(sine, quaternion[0]) / sine if sine > 0 else 1.0)


def _exponential(vector: Tensor) -> Tensor:
    angle = torch.linalg.vector_norm(vector)
    return torch.cat((angle.cos()[None], vector * torch.sinc(angle / math.pi)))
