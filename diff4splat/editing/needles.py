"""Choice of Gaussians that are far too long for their width."""

from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import Moment, check_number, over_moments
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["needles"]


def needles(
    field: DeformableGaussianField, *, aspect: float = 20.0, length: float = 5.0, time: Moment = None
) -> Bool[Tensor, "*batch gaussian"]:
    """Which Gaussians are long spikes: one axis far longer than both others, and longer than usual.

    Discs have two long axes and are none: surfaces are made of them.

    Args:
        field: Any field.
        aspect: The longest scale is more than this times the middle one, at least 1.
        length: The longest scale is more than this times the median of the longest scales, above 0.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If `aspect` or `length` is NaN or out of range, or `time` is none.
    """
    check_number("aspect", aspect, least=1)
    check_number("length", length, above=0)

    def spiky(gaussians: Gaussians) -> Tensor:
        middle, longest = gaussians.scales.detach().sort(dim=-1).values[..., 1:].unbind(dim=-1)
        usual = longest.median(dim=-1, keepdim=True).values
        return (longest > aspect * middle) & (longest > length * usual)

    return over_moments(field, time, spiky)
