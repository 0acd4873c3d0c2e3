"""Means over the pixels that count, of maps that belong together."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["check_compared", "masked_mean"]


def masked_mean(
    values: Float[Tensor, "*batch height width"], mask: Bool[Tensor, "*batch height width"] | None
) -> Float[Tensor, " *batch"]:
    """Mean over the pixels of each map where a mask holds.

    Args:
        values: One number per pixel; may be NaN where the mask does not hold.
        mask: Pixels that count; all when None.

    Returns:
        One mean per map; NaN where no pixel counts.
    """
    values = rearrange(values, "... h w -> ... (h w)")
    if mask is None:
        return values.mean(-1)
    chosen = rearrange(mask, "... h w -> ... (h w)")
    return torch.where(chosen, values, torch.zeros_like(values)).sum(-1) / chosen.sum(-1)


def check_compared(
    name: str, values: Tensor, target: Tensor, mask: Tensor | None, mask_shape: Sequence[int]
) -> None:
    """Refuse what would be broadcast against each other.

    Args:
        name: What to call the values.
        values: What is measured.
        target: What it should be.
        mask: What counts.
        mask_shape: Shape that the mask has to have.

    Raises:
        TypeError: If the values or the target are no floats, or the mask is not boolean.
        ValueError: If the shapes disagree.
    """
    for label, given in ((name, values), ("target", target)):
        if not given.is_floating_point():  # the result has their type
            raise TypeError(f"{label} must hold floats, got {given.dtype}.")
    if values.shape != target.shape:
        raise ValueError(
            f"target must have the shape of {name} {tuple(values.shape)}, got {tuple(target.shape)}."
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, got {mask.dtype}.")
    if mask.shape != torch.Size(mask_shape):
        raise ValueError(f"mask must have shape {tuple(mask_shape)}, got {tuple(mask.shape)}.")
