"""How far images, depth maps and displacements are from the truth: one number per image."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.losses import pearson_depth_loss

__all__ = ["absolute_relative_error", "depth_correlation", "end_point_error", "psnr"]

_SMALLEST_SQUARED_ERROR = 1e-10


def psnr(
    image: Float[Tensor, "*batch rgb=3 height width"],
    target: Float[Tensor, "*batch rgb=3 height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Peak signal-to-noise ratio of images with values in [0, 1], decibels.

    $$\mathrm{PSNR} = -10 \log_{10} \frac{1}{3 n} \sum_{i, c} (x_{i c} - y_{i c})^2$$

    with $x$ = `image`, clamped to [0, 1] as a screen would, $y$ = `target`, over the $n$ pixels where `mask`
    holds.

    Args:
        image: Colours; values outside [0, 1] are clamped.
        target: True colours in [0, 1].
        mask: Pixels that count; all when omitted.

    Returns:
        One value per image, at most 100 (images that agree); NaN where no pixel counts.
    """
    squared = (image.double().clamp(0, 1) - target.double()).square().mean(-3)
    error = _masked_mean(squared, mask)
    return -10 * error.clamp_min(_SMALLEST_SQUARED_ERROR).log10().to(image.dtype)


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
    return _masked_mean(relative, mask).to(depth.dtype)


def end_point_error(
    displacement: Float[Tensor, "*batch height width xyz=3"],
    target: Float[Tensor, "*batch height width xyz=3"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean distance of predicted and true end points, $\lVert \Delta_i - \Delta^*_i \rVert_2$ over pixels.

    Args:
        displacement: Predicted displacement of what each pixel shows, scene units.
        target: True displacement, scene units.
        mask: Pixels that count; all when omitted.

    Returns:
        One value per map, scene units; NaN where no pixel counts.
    """
    distance = torch.linalg.vector_norm(displacement.double() - target.double(), dim=-1)
    return _masked_mean(distance, mask).to(displacement.dtype)


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    values = rearrange(values, "... h w -> ... (h w)")
    if mask is None:
        return values.mean(-1)
    chosen = rearrange(mask, "... h w -> ... (h w)")
    return torch.where(chosen, values, torch.zeros_like(values)).sum(-1) / chosen.sum(-1)
