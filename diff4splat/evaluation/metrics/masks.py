"""Means over the pixels that count."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["masked_mean"]


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
