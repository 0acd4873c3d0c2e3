"""The median of numbers that count differently."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["weighted_median"]

_ROUNDING = 1e-9  # of the total weight


def weighted_median(
    values: Float[Tensor, "*#batch value"], weights: Float[Tensor, "*#batch value"] | None = None
) -> Float[Tensor, " *batch"]:
    """The value with half of the weight on either side; the mean of the two middle ones where there are two.

    Args:
        values: Finite wherever the weight is not 0.
        weights: At least 0; all 1 when omitted.

    Returns:
        The median over the last axis; NaN where nothing counts. Unlike `torch.median`, of an even number of
        values it is the mean of the two in the middle.
    """
    weights = torch.ones_like(values) if weights is None else weights
    values, weights = torch.broadcast_tensors(values, weights)
    if not values.shape[-1]:
        return values.new_full(values.shape[:-1], torch.nan)
    ordered, order = torch.where(weights > 0, values, torch.inf).sort(-1)
    sums = weights.double().gather(-1, order).cumsum(-1)
    total = sums[..., -1:]
    last = values.shape[-1] - 1
    low = torch.searchsorted(sums, total * (0.5 - _ROUNDING)).clamp_max(last)
    high = torch.searchsorted(sums, total * (0.5 + _ROUNDING)).clamp_max(last)
    middle = (ordered.gather(-1, low) + ordered.gather(-1, high)) / 2
    return torch.where(total > 0, middle, torch.nan)[..., 0]
