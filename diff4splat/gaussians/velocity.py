"""How fast the Gaussians of a field move, turn and grow at a moment of the clip."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians.field import DeformableGaussianField
from diff4splat.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_rotation_vector,
)

__all__ = ["GaussianVelocities", "gaussian_velocities"]


@dataclass(frozen=True, eq=False)
class GaussianVelocities:
    """Rates of change per clip: the clip lasts one unit of time.

    Args:
        linear: Velocity of the means, world axes, scene units per clip.
        angular: Angular velocity, world axes, radians per clip.
        scale: Rate of the change of scale: of log-scale per clip in a "log" field, of scale in scene units
            per clip in a "linear" one.
    """

    linear: Float[Tensor, "*batch gaussian xyz=3"]
    angular: Float[Tensor, "*batch gaussian xyz=3"]
    scale: Float[Tensor, "*batch gaussian xyz=3"]


def gaussian_velocities(
    field: DeformableGaussianField, time: float | int | Float[Tensor, ""]
) -> GaussianVelocities:
    r"""Time derivatives of a field, exact for the way it interpolates.

    Between stored times $t_i$ and $t_{i+1}$, $h$ apart, means and changes of scale move linearly and
    rotations at constant angular speed:

    $$v = \frac{\Delta\mu_{i+1} - \Delta\mu_i}{h}, \qquad
      \omega = \frac{R(q_0 \otimes \Delta q_i)\, \log(\Delta q_i^{-1} \otimes \Delta q_{i+1})}{h}, \qquad
      \dot s = \frac{\Delta s_{i+1} - \Delta s_i}{h}$$

    with $\log$ the rotation vector, the short way round. Divide by the length of the clip in seconds for
    rates per second.

    Args:
        field: Deformable Gaussian field.
        time: Time in [0, 1]. At a stored time the rates are those of the interval after it, at the last one
            of the interval before it.

    Returns:
        Rates of all Gaussians; zero before the first and after the last stored time, where the field rests,
        and in a field with one stored time.

    Raises:
        ValueError: If `time` lies outside [0, 1] or is NaN.
    """
    time = float(time)
    if not 0 <= time <= 1:
        raise ValueError(f"time must lie in [0, 1], got {time:.6g}.")
    times = field.times.detach()
    # In the type of the stored times, as `at` compares them: 0.1 is a stored 0.1 in float32 too.
    moment = torch.full((1,), time, dtype=times.dtype, device=times.device)
    if field.num_times == 1 or bool(moment < times[0]) or bool(moment > times[-1]):
        zero = torch.zeros_like(field.canonical.means)
        return GaussianVelocities(zero, zero, zero)
    after = int(torch.searchsorted(times, moment, right=True))
    end = min(after, field.num_times - 1)
    start = end - 1
    gap = (field.times[end] - field.times[start]).to(field.dtype)

    def change(values: Tensor) -> Tensor:
        return (values[..., end, :, :] - values[..., start, :, :]) / gap

    first, last = field.delta_quaternions[..., start, :, :], field.delta_quaternions[..., end, :, :]
    turn = quaternion_to_rotation_vector(quaternion_multiply(quaternion_conjugate(first), last))
    axes = quaternion_multiply(field.canonical.quaternions, first)
    return GaussianVelocities(
        linear=change(field.delta_means),
        angular=quaternion_rotate(axes, turn) / gap,
        scale=change(field.delta_scales),
    )
