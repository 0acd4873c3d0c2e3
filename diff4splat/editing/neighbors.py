"""Nearest neighbours among points, exactly."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.gaussians import Gaussians

__all__ = ["nearest_neighbors", "room_and_neighbors"]


def nearest_neighbors(
    points: Float[Tensor, "point xyz=3"], num_neighbors: int
) -> tuple[Float[Tensor, "point neighbor"], Int[Tensor, "point neighbor"]]:
    """The nearest other points of each point, nearest first: exact, by the k-d tree of SciPy.

    Memory grows with the result alone. Where several points are equally far, which ones are listed is the
    tree's choice, the same in every run.

    Args:
        points: Any points, on any device; the search runs on the CPU in float64.
        num_neighbors: How many, from 1 to the number of points less one.

    Returns:
        Distances, ascending, in the type and on the device of `points`; and the indices of the points. Not
        differentiable.

    Raises:
        ValueError: If there are too few points, or one is not finite.
    """
    from scipy.spatial import cKDTree

    count = points.shape[0]
    if not 1 <= num_neighbors < count:
        raise ValueError(
            f"num_neighbors must be from 1 to {count - 1}, the number of points less one, "
            f"got {num_neighbors}."
        )
    places = points.detach().cpu().double().numpy()
    if not torch.isfinite(points).all():
        raise ValueError("points must be finite, got NaN or infinity.")
    found = cKDTree(places).query(places, k=num_neighbors + 1)
    distances, indices = (torch.from_numpy(values) for values in found)
    # A point is its own nearest one; among points in the same place it may be any, or none, of the list.
    itself = indices == torch.arange(count)[:, None]
    itself[:, -1] |= ~itself.any(dim=-1)
    distances, indices = (values[~itself].reshape(count, num_neighbors) for values in (distances, indices))
    return distances.to(points), indices.to(points.device)


def room_and_neighbors(
    gaussians: Gaussians, num_neighbors: int
) -> tuple[Float[Tensor, " gaussian"], Float[Tensor, "gaussian neighbor"], Int[Tensor, "gaussian neighbor"]]:
    """Mean distance of each Gaussian to its neighbours over its largest scale; and `nearest_neighbors`."""
    distances, neighbors = nearest_neighbors(gaussians.means, num_neighbors)
    return distances.mean(dim=-1) / gaussians.scales.detach().amax(dim=-1), distances, neighbors
