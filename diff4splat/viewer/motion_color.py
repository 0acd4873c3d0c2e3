"""Motion as colours: which way each Gaussian goes, and how fast."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField

__all__ = ["motion_full_speed", "motion_to_color"]

_FULL_QUANTILE = 0.99


def motion_to_color(
    velocities: Float[Tensor, "*batch xyz=3"], *, full_speed: int | float
) -> Float[Tensor, "*batch rgb=3"]:
    r"""Colours of velocities: what rests is grey, opposite directions have complementary colours.

    $$c = \tfrac12 + \tfrac12 \, \frac{v}{\max(\lVert v \rVert, \, v_f)}$$

    with $v$ = `velocities` and $v_f$ = `full_speed`. Red grows to the right, green downwards and blue forward
    (+x, +y, +z of the world); their lack means left, up and backward. Colour grows linearly with speed and is
    full from $v_f$ on.

    Args:
        velocities: World axes, in any unit of speed, for instance scene units per clip.
        full_speed: Speed from which colours are full, in the same unit, >= 0; with 0 only directions show.

    Returns:
        Display-ready sRGB in [0, 1].

    Raises:
        ValueError: If `full_speed` is negative or not finite.

    Examples:
        >>> motion_to_color(torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [-2.0, 0, 0]]), full_speed=2).tolist()
        [[0.5, 0.5, 0.5], [0.75, 0.5, 0.5], [0.0, 0.5, 0.5]]
    """
    if not (math.isfinite(full_speed) and full_speed >= 0):
        raise ValueError(f"full_speed must be a number from 0 on, got {full_speed}.")
    speeds = velocities.norm(dim=-1, keepdim=True).clamp(min=full_speed)
    return 0.5 + 0.5 * velocities / torch.where(speeds > 0, speeds, torch.ones_like(speeds))


def motion_full_speed(field: DeformableGaussianField) -> float:
    """Speed that shows in full colour, so that colours mean the same at all times of a clip.

    Args:
        field: One field without batch axes.

    Returns:
        The speed that 99 of 100 moving Gaussians never exceed, scene units per clip; 0 where nothing moves.
    """
    if field.num_times == 1:
        return 0.0
    gaps = field.times.diff().to(field.dtype)[:, None]
    speeds = (field.delta_means.detach().diff(dim=-3).norm(dim=-1) / gaps).amax(dim=0).float()
    moving = speeds[speeds > 1e-3 * speeds.max()].sort().values
    return float(moving[round(_FULL_QUANTILE * (len(moving) - 1))]) if len(moving) else 0.0
