"""The deformation of a field at any moments."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.editing.arguments import to_times
from diff4splat.gaussians import DeformableGaussianField, Deltas, interpolate_deltas

__all__ = ["deltas_at"]


def deltas_at(field: DeformableGaussianField, times: Float[Tensor, " moment"] | Sequence[float]) -> Deltas:
    """Deformation at some moments, as `DeformableGaussianField.at` interpolates it.

    Args:
        field: Any field.
        times: Moments in [0, 1], in any order; a stored time may come more than once.

    Returns:
        Deltas with an axis of moments where the field has its stored times. At stored times they are the
        stored values, bit for bit; gradients flow to the deltas of `field`.

    Raises:
        ValueError: If a moment lies outside [0, 1] or there is none.
    """
    moments = to_times("times", times, field)
    lower, fractions = field.locate(moments)
    stored = Deltas(field.delta_means, field.delta_quaternions, field.delta_scales)

    def taken(index: Tensor) -> Deltas:
        return Deltas(*(values.index_select(-3, index) for values in stored))

    # Most moments that edits ask for are stored ones, and rotations take long to interpolate.
    (between,) = torch.nonzero(fractions, as_tuple=True)
    deltas = taken(lower)
    if not len(between):
        return deltas
    start, end = taken(lower[between]), taken(lower[between] + 1)
    moved = interpolate_deltas(start, end, fractions[between].to(field.dtype)[:, None])
    return Deltas(
        *(here.index_copy(here.ndim - 3, between, new) for here, new in zip(deltas, moved, strict=True))
    )
