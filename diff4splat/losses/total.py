"""The total of several losses."""

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

__all__ = ["PAPER_WEIGHTS", "weighted_sum"]

PAPER_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"flow_matching": 1.0, "photometric": 1.0, "geometric": 1.0, "total_variation": 1.0, "motion": 1.0}
)
"""Weights of the terms of Diff4Splat, Sec. 3.4.

The paper states two weights, and both stand inside a term: 0.5 before LPIPS (Eq. 3, `PhotometricLoss`) and 2
before the distance of motions (Eq. 5, `motion_loss`). It gives none for the terms themselves, so they are
added as they are.
"""


def weighted_sum(
    losses: Mapping[str, Float[Tensor, "*batch"]], weights: Mapping[str, float] = PAPER_WEIGHTS
) -> Float[Tensor, "*batch"]:
    r"""Weighted sum of losses, $\mathcal{L} = \sum_i \lambda_i \mathcal{L}_i$.

    Args:
        losses: Terms by name, all of one shape; those that a stage does not use are left out.
        weights: Weight $\lambda_i$ of each name; may hold more names than `losses`.

    Returns:
        Total, not reduced over `*batch`.

    Raises:
        ValueError: If there is no term, a term has no weight, or shapes differ.

    Examples:
        >>> import torch
        >>> terms = {"photometric": torch.tensor([1.0, 2.0]), "motion": torch.tensor([0.0, 3.0])}
        >>> weighted_sum(terms, {"photometric": 1.0, "motion": 0.5}).tolist()
        [1.0, 3.5]
    """
    if not losses:
        raise ValueError("losses must hold at least one term, got none.")
    first_name, first = next(iter(losses.items()))
    total = first.new_zeros(first.shape)
    for name, loss in losses.items():
        if name not in weights:
            raise ValueError(f"weights must hold {name!r}, got weights for {', '.join(sorted(weights))}.")
        if loss.shape != first.shape:
            raise ValueError(
                f"losses must have one shape, got {list(first.shape)} for {first_name!r} "
                f"and {list(loss.shape)} for {name!r}."
            )
        total = total + weights[name] * loss
    return total
