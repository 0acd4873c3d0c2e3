"""How far each pixel of a depth map can be trusted to lie on a surface."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.geometry import pixel_rays

__all__ = ["surface_weights"]


def surface_weights(
    depth: Float[Tensor, "*batch height width"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    *,
    max_angle_deg: int | float = 80.0,
) -> Float[Tensor, "*batch height width"]:
    r"""Cosine of the angle under which each pixel sees its surface, 0 at edges, where depth jumps.

    $$w = \frac{1}{\sqrt{1 + s_x^2 + s_y^2}}, \qquad
      s_x = \max_{q} \frac{\lvert r_p - r_q \rvert}{\min(r_p, r_q) \, \delta_{pq}}$$

    over the pixels $q$ to the left and right of $p$ ($s_y$: above and below), with $r$ the distance along the
    rays and $\delta_{pq}$ the sine of the angle between them. On a plane this is the cosine between ray and
    normal, to first order. A jump in depth is a slope that no surface has; there a rendered depth is a mean
    of both sides, and belongs to neither.

    Args:
        depth: z-depth, scene units; what is not finite or not above 0 counts as unknown.
        intrinsics: Pinhole matrices in pixels.
        max_angle_deg: Pixels that see their surface under more than this, from its normal, get 0; in (0, 90).

    Returns:
        Weights in [0, 1]; 0 where the depth, or that of a neighbour, is unknown. Not differentiable.

    Raises:
        ValueError: If `max_angle_deg` is out of range.
    """
    if not 0 < max_angle_deg < 90:
        raise ValueError(f"max_angle_deg must lie between 0 and 90, got {max_angle_deg}.")
    rays = pixel_rays(intrinsics, height=depth.shape[-2], width=depth.shape[-1])
    lengths = torch.linalg.vector_norm(rays, dim=-1)
    known = torch.isfinite(depth) & (depth > 0)
    distance = torch.where(known, depth.detach() * lengths, torch.full_like(depth, torch.nan))
    directions = rays / lengths[..., None]
    square = torch.ones_like(distance)
    for axis in (-1, -2):
        size = distance.shape[axis]
        first, second = distance.narrow(axis, 0, size - 1), distance.narrow(axis, 1, size - 1)
        sines = torch.linalg.vector_norm(
            torch.linalg.cross(
                directions.narrow(axis - 1, 0, size - 1), directions.narrow(axis - 1, 1, size - 1)
            ),
            dim=-1,
        )
        slope = (first - second).abs() / (torch.minimum(first, second) * sines)
        beside = torch.zeros_like(distance)
        for start in (0, 1):  # NaN, from an unknown pixel, wins over any number
            part = beside.narrow(axis, start, size - 1)
            part.copy_(torch.maximum(part, slope))
        square = square + beside**2
    steepest = 1 + math.tan(math.radians(max_angle_deg)) ** 2
    good = known & (square <= steepest)  # False for NaN
    return torch.where(good, square.rsqrt(), torch.zeros_like(square))
