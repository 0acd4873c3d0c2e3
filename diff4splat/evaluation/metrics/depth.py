"""How far depth maps are from the true ones: one number per map."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import masked_mean
from diff4splat.losses import pearson_depth_loss

__all__ = ["absolute_relative_error", "depth_correlation"]


def depth_correlation(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Pearson correlation of two depth maps, one minus `diff4splat.losses.pearson_depth_loss`.

    Blind to a positive scale and a shift of either map, so it judges the shape of a scene and not its size.

    Args:
        depth: z-depth, scene units.
        target: True z-depth, scene units.
        mask: Pixels that count; all when omitted.

    Returns:
        One value in [-1, 1] per image; 0 where either map is flat, NaN where no pixel counts.
    """
    correlation = 1 - pearson_depth_loss(depth.double(), target.double(), mask=mask)
    if mask is not None:
        counts = mask.expand(depth.shape).flatten(-2).any(-1)
        correlation = torch.where(counts, correlation, torch.full_like(correlation, torch.nan))
    return correlation.to(depth.dtype)


def absolute_relative_error(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean of $|d_i - t_i| / t_i$ over pixels (AbsRel), without aligning scale or shift.

    Args:
        depth: z-depth $d$, scene units; 0 where nothing was rendered, which counts as an error of 1.
        target: True z-depth $t$, scene units, > 0.
        mask: Pixels that count; all when omitted.

    Returns:
        One value per image, >= 0; NaN where no pixel counts.
    """
    relative = (depth.double() - target.double()).abs() / target.double()
    return masked_mean(relative, mask).to(depth.dtype)
