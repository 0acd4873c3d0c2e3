"""A field stored at other times."""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from diff4splat.editing.arguments import to_times
from diff4splat.editing.deltas_at import deltas_at
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["resample_times"]


def resample_times(
    field: DeformableGaussianField, times: Float[Tensor, " time"] | Sequence[float]
) -> DeformableGaussianField:
    """The same clip, stored at other times.

    At the new times nothing changes, and where they include all the old ones nothing changes in between
    either, to rounding: a straight line and an arc at constant speed, cut in two, are the same line and arc.
    What happens between two new times is lost where an old time lay there.

    Args:
        field: Any field.
        times: Times to store, strictly ascending in [0, 1].

    Returns:
        Field with the canonical Gaussians of `field`; gradients flow to its deltas.

    Raises:
        ValueError: If `times` is empty, does not ascend, or leaves [0, 1].
    """
    moments = to_times("times", times, field)
    if (moments.diff() <= 0).any():
        raise ValueError(f"times must ascend strictly, got {moments.tolist()}.")
    means, quaternions, scales = deltas_at(field, moments)
    return replace(
        field, times=moments, delta_means=means, delta_quaternions=quaternions, delta_scales=scales
    )
