"""Smoothness of maps on a pixel grid."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.losses.inputs import check_boolean, check_floating

__all__ = ["total_variation_loss"]


def total_variation_loss(
    values: Float[Tensor, "*batch height width"],
    *,
    mask: Bool[Tensor, "*#batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean absolute difference between neighbouring pixels of a map.

    $$\mathcal{L}_{TV} = \lVert \nabla D \rVert_1 =
      \operatorname{mean}_{y,x} |D_{y,x+1} - D_{y,x}| + \operatorname{mean}_{y,x} |D_{y+1,x} - D_{y,x}|$$

    with $D$ = `values`. Source: Diff4Splat, Sec. 3.4. Differs: a mean per direction in place of the sum, so
    that the value does not grow with the resolution.

    Args:
        values: Depth, images or deformation maps, any unit; axes before the last two are kept, so that
            `"batch frame channel height width"` gives one value per channel.
        mask: Valid pixels; a difference counts where both of its pixels are valid. As many axes as `values`;
            those of length 1 before the last two hold for all, as channels in `"batch 1 height width"`. All
            pixels when omitted.

    Returns:
        Values >= 0, not reduced over `*batch`; 0 where no pair of neighbours is valid. Gradient 0 on flat
        maps.

    Raises:
        TypeError: If `values` is not floating point or `mask` not boolean.
        ValueError: If the shape of `mask` does not fit that of `values`, or an axis is missing.

    Examples:
        >>> total_variation_loss(torch.tensor([[0.0, 1.0, 3.0]]))
        tensor(1.5000)
    """
    check_floating(2, values=values)
    if mask is None:
        mask = torch.ones_like(values, dtype=torch.bool)
    else:
        check_boolean("mask", mask)
        mask = _fitted(mask, values)
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    # Selecting before the difference keeps NaN outside the mask out of the gradients.
    wide = torch.where(mask, wide, 0)
    horizontal = _masked_mean(wide.diff(dim=-1).abs(), mask[..., :, 1:] & mask[..., :, :-1])
    vertical = _masked_mean(wide.diff(dim=-2).abs(), mask[..., 1:, :] & mask[..., :-1, :])
    return (horizontal + vertical).to(values.dtype)


def _fitted(mask: Tensor, values: Tensor) -> Tensor:
    """Mask in the shape of `values`."""
    # Masks with fewer axes are refused: a batch of three masks would be taken for those of three channels.
    pairs = zip(mask.shape[:-2], values.shape[:-2], strict=False)
    same_grid = mask.ndim == values.ndim and mask.shape[-2:] == values.shape[-2:]
    if not same_grid or any(size not in (1, whole) for size, whole in pairs):
        raise ValueError(
            f"mask must have the shape of values {tuple(values.shape)}, or 1 in place of a length before the "
            f"last two, got {tuple(mask.shape)}."
        )
    return mask.expand_as(values)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0).sum((-2, -1)) / mask.sum((-2, -1)).clamp_min(1)
