"""Depth supervision that ignores unknown scale and shift."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.losses.inputs import check_boolean, check_floating

__all__ = ["pearson_depth_loss"]


def pearson_depth_loss(
    depth: Float[Tensor, "*batch height width"],
    target: Float[Tensor, "*batch height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
    eps: float = 1e-6,
) -> Float[Tensor, " *batch"]:
    r"""One minus the Pearson correlation of two depth maps, per image.

    $$\mathcal{L}_{geo} = 1 - \frac{\mathrm{Cov}(d, d^*)}
      {\sqrt{(\mathrm{Var}(d) + \epsilon) \, (\mathrm{Var}(d^*) + \epsilon)}}$$

    with $d$ = `depth`, $d^*$ = `target`, $\epsilon$ = `eps`, over the pixels where `mask` holds. Unchanged,
    up to `eps`, when either map is scaled by a > 0 and shifted. Source: Diff4Splat, Eq. 4.

    Args:
        depth: Predicted z-depth, scene units; receives gradients.
        target: Reference z-depth, any positive scale; may hold anything, also NaN, outside `mask`.
        mask: Valid pixels; all pixels when omitted.
        eps: Added to each variance, scene units squared; keeps gradients finite on a flat map, whose loss is
            1.

    Returns:
        Values in [0, 2] up to rounding, not reduced over `*batch`; 0 where the mask is empty.

    Raises:
        TypeError: If a map is not floating point or `mask` not boolean.
        ValueError: If the shapes differ, an axis is missing or `eps` is not positive.

    Examples:
        >>> depth = torch.rand(2, 5, 7)
        >>> bool((pearson_depth_loss(3 * depth + 1, depth) < 1e-4).all())
        True
    """
    check_floating(2, depth=depth, target=target)
    if depth.shape != target.shape:
        raise ValueError(
            f"target must have the shape of depth {tuple(depth.shape)}, got {tuple(target.shape)}."
        )
    if mask is not None and mask.shape != depth.shape:
        raise ValueError(f"mask must have the shape of depth {tuple(depth.shape)}, got {tuple(mask.shape)}.")
    if not eps > 0:
        raise ValueError(f"eps must be > 0, got {eps}.")
    if mask is None:
        mask = torch.ones_like(depth, dtype=torch.bool)
    check_boolean("mask", mask)

    wide = torch.promote_types(torch.promote_types(depth.dtype, target.dtype), torch.float32)
    count = mask.sum((-2, -1), keepdim=True).clamp_min(1)
    depth_centred = _centre(depth.to(wide), mask, count)
    target_centred = _centre(target.to(wide), mask, count)
    covariance = _mean(depth_centred * target_centred, count)
    depth_deviation = (_mean(depth_centred.square(), count) + eps).sqrt()
    target_deviation = (_mean(target_centred.square(), count) + eps).sqrt()
    loss = 1 - covariance / (depth_deviation * target_deviation)
    return torch.where(mask.any(-1).any(-1), loss, 0).to(depth.dtype)


def _centre(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Deviation from the mean of the valid pixels, 0 elsewhere."""
    # Selecting before any arithmetic keeps NaN outside the mask out of the values and of the gradients.
    values = torch.where(mask, values, 0)
    for _ in range(2):  # the second round takes out what rounding left of a large mean
        mean = values.sum((-2, -1), keepdim=True) / count
        values = torch.where(mask, values - mean, 0)
    return values


def _mean(values: Tensor, count: Tensor) -> Tensor:
    return values.sum((-2, -1)) / count[..., 0, 0]
