"""How far depth maps are from the true ones: one number per map."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import check_compared, masked_mean

__all__ = ["DepthAlignment", "absolute_relative_error", "align_depth", "depth_correlation", "depth_delta1"]

DepthAlignment = Literal["none", "median", "scale", "scale_shift"]
"""What is fitted before depths are compared: nothing, a scale by medians or squares, a scale and a shift."""

_FLAT = 1e-7  # deviation by size, below which a map is one number in float32


def align_depth(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    alignment: DepthAlignment,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, "*batch height width"]:
    r"""Each depth map brought to the scale, and the shift, of the true one.

    $$d'_i = s\, d_i + b$$

    with $d$ = `depth` and $t$ = `target`: "median" takes $s = \operatorname{med}(t) / \operatorname{med}(d)$,
    "scale" the $s$ and "scale_shift" the $s$ and $b$ with the least $\sum_i (d'_i - t_i)^2$, over pixels
    where `mask` holds. All in depth, not in disparity.

    One fit per map. For one per clip, which is stricter, fold its frames into the height:
    `rearrange(depth, "... f h w -> ... (f h) w")`, the true ones and the mask likewise. Which of these is
    taken can change which of two methods is better, so tables must say it.

    Args:
        depth: z-depth, any unit.
        target: True z-depth, scene units.
        alignment: See above.
        mask: Pixels that count for the fit; all when omitted.

    Returns:
        Aligned depth in float64. NaN throughout a map that has no fit, because no pixel counts or the median
        is not above 0.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree or `alignment` is none of these.
    """
    _check_alignment(alignment)
    check_compared("depth", depth, target, mask, depth.shape)
    depth, target = depth.double(), target.double()
    if alignment == "none":
        return depth
    scale, shift = _fit(depth, target, alignment, mask)
    return scale[..., None, None] * depth + shift[..., None, None]


def absolute_relative_error(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    alignment: DepthAlignment,
    mask: Bool[Tensor, "*batch height width"] | None = None,
    min_depth: float | None = None,
    max_depth: float | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean of $|d'_i - t_i| / t_i$ over pixels (AbsRel).

    Args:
        depth: z-depth; $d'$ is what `align_depth` makes of it. 0 where nothing was rendered, which counts as
            an error of 1 when not aligned.
        target: True z-depth $t$, scene units, > 0.
        alignment: As in `align_depth`; numbers with different ones cannot be compared.
        mask: Pixels that count; all when omitted.
        min_depth: Pixels that are truly nearer do not count, and aligned depths below are set to it.
        max_depth: The same of farther pixels and depths above.

    Returns:
        One value per map, >= 0; NaN where no pixel counts or there is no fit.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree, `alignment` is none of these, or the limits are not 0 <= min < max.
    """
    aligned, mask = _compared(depth, target, alignment, mask, min_depth, max_depth)
    relative = (aligned - target.double()).abs() / target.double()
    return masked_mean(relative, mask).to(depth.dtype)


def depth_delta1(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    alignment: DepthAlignment,
    mask: Bool[Tensor, "*batch height width"] | None = None,
    min_depth: float | None = None,
    max_depth: float | None = None,
    threshold: float = 1.25,
) -> Float[Tensor, " *batch"]:
    r"""Share of the pixels whose depth is within a factor, $\max(d'_i / t_i, t_i / d'_i) < 1.25$.

    Args:
        depth: z-depth; $d'$ is what `align_depth` makes of it. Depths of 0 and below are never within.
        target: True z-depth $t$, scene units, > 0.
        alignment: As in `align_depth`; numbers with different ones cannot be compared.
        mask: Pixels that count; all when omitted.
        min_depth: As in `absolute_relative_error`.
        max_depth: As in `absolute_relative_error`.
        threshold: The factor, itself excluded; 1.25² and 1.25³ give delta2 and delta3.

    Returns:
        One value in [0, 1] per map; NaN where no pixel counts, there is no fit, or one that counts is NaN.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree, `alignment` is none of these, the limits are not 0 <= min < max, or
            `threshold` is not above 1.
    """
    if not threshold > 1:
        raise ValueError(f"threshold must be above 1, got {threshold}.")
    aligned, mask = _compared(depth, target, alignment, mask, min_depth, max_depth)
    target = target.double()
    within = ((aligned > 0) & (torch.maximum(aligned / target, target / aligned) < threshold)).double()
    within = torch.where(aligned.isnan() | target.isnan(), torch.nan, within)
    return masked_mean(within, mask).to(depth.dtype)


def depth_correlation(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Pearson correlation of two depth maps.

    $$r = \frac{\sum_i (d_i - \bar d)(t_i - \bar t)}{\sqrt{\sum_i (d_i - \bar d)^2 \sum_i (t_i - \bar t)^2}}$$

    with $d$ = `depth` and $t$ = `target`. Blind to a positive scale and a shift of either map, so it judges
    the shape of a scene and not its size, and needs no alignment. Source: $1 - r$ is Diff4Splat, Eq. 4.

    Differs: `diff4splat.losses.pearson_depth_loss` adds a little to each variance, which matters to maps of
    small numbers; nothing is added here.

    Args:
        depth: z-depth, any unit.
        target: True z-depth, any unit.
        mask: Pixels that count; all when omitted.

    Returns:
        One value in [-1, 1] per map; 0 where either map is flat, NaN where no pixel counts.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree.
    """
    check_compared("depth", depth, target, mask, depth.shape)
    offsets, flat = zip(*(_centred(part.double(), mask) for part in (depth, target)), strict=True)
    first, second = offsets
    product = masked_mean(first * second, mask)
    strength = (masked_mean(first.square(), mask) * masked_mean(second.square(), mask)).sqrt()
    correlation = torch.where(flat[0] | flat[1], torch.zeros_like(product), product / strength)
    return correlation.clamp(-1, 1).to(depth.dtype)


def _check_alignment(alignment: str) -> None:
    if alignment not in get_args(DepthAlignment):
        raise ValueError(
            f"alignment must be one of {', '.join(get_args(DepthAlignment))}, got {alignment!r}."
        )


def _compared(
    depth: Tensor,
    target: Tensor,
    alignment: DepthAlignment,
    mask: Tensor | None,
    min_depth: float | None,
    max_depth: float | None,
) -> tuple[Tensor, Tensor | None]:
    """Aligned depth within the limits, and the pixels whose truth is."""
    low, high = 0.0 if min_depth is None else min_depth, torch.inf if max_depth is None else max_depth
    if not 0 <= low < high:
        raise ValueError(f"min_depth and max_depth must be 0 <= min < max, got {min_depth} and {max_depth}.")
    if min_depth is None and max_depth is None:
        return align_depth(depth, target, alignment=alignment, mask=mask), mask
    check_compared("depth", depth, target, mask, depth.shape)
    # NaN in the truth stays among the pixels that count, and shows in the result.
    inside = ~((target < low) | (target > high))
    mask = inside if mask is None else mask & inside
    return align_depth(depth, target, alignment=alignment, mask=mask).clamp(min_depth, max_depth), mask


def _fit(
    depth: Tensor, target: Tensor, alignment: DepthAlignment, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scale and shift of each map; NaN where there is none."""
    if alignment == "median":
        ours = _median(depth, mask)
        scale = torch.where(ours > 0, _median(target, mask) / ours, torch.nan)
        return scale, torch.zeros_like(scale)
    if alignment == "scale":
        power = masked_mean(depth.square(), mask)
        # A map of zeros stays one, whatever the scale.
        scale = torch.where(power == 0, power, masked_mean(depth * target, mask) / power)
        return scale, torch.zeros_like(scale)
    (ours, flat), (theirs, _) = _centred(depth, mask), _centred(target, mask)
    slope = masked_mean(ours * theirs, mask) / masked_mean(ours.square(), mask)
    scale = torch.where(flat, torch.zeros_like(slope), slope)  # a flat map becomes the mean of the truth
    return scale, masked_mean(target, mask) - scale * masked_mean(depth, mask)


def _centred(depth: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Depth less its mean, and which maps are flat."""
    offsets = depth - masked_mean(depth, mask)[..., None, None]
    deviation = masked_mean(offsets.square(), mask).sqrt()
    return offsets, deviation <= _FLAT * masked_mean(depth.square(), mask).sqrt()


def _median(depth: Tensor, mask: Tensor | None) -> Tensor:
    """Middle value of each map, the mean of two where there are two; NaN where no pixel counts."""
    maps = depth.flatten(-2).reshape(-1, depth.shape[-2:].numel())
    chosen = torch.ones_like(maps, dtype=torch.bool) if mask is None else mask.reshape(maps.shape)
    middles = torch.full((len(maps),), torch.nan, dtype=depth.dtype, device=depth.device)
    for index, (values, counts) in enumerate(zip(maps, chosen, strict=True)):
        ordered = values[counts].sort().values  # NaN comes last
        count = len(ordered)
        if count > 0 and not ordered[-1].isnan():
            middles[index] = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return middles.reshape(depth.shape[:-2])
