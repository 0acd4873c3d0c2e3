"""Vectors of which only the direction counts."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["unit_vectors"]


def unit_vectors(
    vectors: Float[Tensor, "*batch feature"], *, name: str, kind: str
) -> Float[Tensor, "*batch feature"]:
    """The same directions with length 1.

    Args:
        vectors: Vectors along the last axis.
        name: What to call them.
        kind: What to call one of them that has no direction, as in "a vector that".

    Returns:
        float64 on the CPU, detached.

    Raises:
        ValueError: If a vector is zero or not finite.
    """
    points = vectors.detach().cpu().double()
    lengths = points.norm(dim=-1, keepdim=True)
    if not (torch.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"{name} must be finite and not zero, got {kind} is not.")
    return points / lengths
