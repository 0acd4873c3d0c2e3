"""Choice of Gaussians by how far they travel."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.editing.arguments import check_number
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["moving_gaussians", "travel_distances"]


def travel_distances(field: DeformableGaussianField) -> Float[Tensor, "*batch gaussian"]:
    """The farthest that each Gaussian is ever from where it is at the first stored time.

    Centres move on straight lines between stored times, so that the farthest place is at a stored one: the
    value is exact for the whole clip.

    Args:
        field: Any field.

    Returns:
        Distances in scene units, >= 0; zero for what holds still, and for what only turns or grows.
    """
    start = field.delta_means[..., :1, :, :]
    return torch.linalg.vector_norm(field.delta_means - start, dim=-1).amax(dim=-2)


def moving_gaussians(
    field: DeformableGaussianField, threshold: float | int
) -> Bool[Tensor, "*batch gaussian"]:
    """Which Gaussians travel, rather than stay about where they are.

    Args:
        field: Any field.
        threshold: Distance from the first place, scene units, at least 0; see `travel_distances`.

    Returns:
        Mask over the Gaussians that get farther than `threshold`; its complement is the static part. Not
        differentiable.

    Raises:
        ValueError: If `threshold` is negative or not a number.
    """
    check_number("threshold", threshold, least=0)
    return travel_distances(field).detach() > threshold
