"""Choice of Gaussians that hang together in small groups."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.editing.arguments import Moment, check_number, check_single, over_moments
from diff4splat.editing.neighbors import nearest_neighbors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["small_clusters"]


def small_clusters(
    field: DeformableGaussianField,
    *,
    min_size: int = 16,
    num_neighbors: int = 8,
    reach: float = 4.0,
    time: Moment = None,
) -> Bool[Tensor, " gaussian"]:
    """Which Gaussians belong to a group of fewer than some number, apart from all others.

    Two Gaussians are linked if one is among the nearest neighbours of the other and their distance is at most
    `reach` times the mean distance of either one to its own neighbours. A cluster is all that links connect.

    Args:
        field: One field without batch axes.
        min_size: Clusters of fewer Gaussians are chosen, at least 2.
        num_neighbors: Neighbours of each Gaussian that count, below the number of Gaussians.
        reach: How many times farther than usual a link may be, above 0.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If the field has batch axes, too few Gaussians or centres that are not finite, `min_size`
            is below 2, `reach` not above 0, or `time` is none.
    """
    check_single("small_clusters", field)
    check_number("reach", reach, above=0)
    if min_size < 2:
        raise ValueError(f"min_size must be at least 2, got {min_size}.")

    def in_small_group(gaussians: Gaussians) -> Tensor:
        cluster = _clusters(gaussians.means.detach(), num_neighbors, reach)
        return (torch.bincount(cluster)[cluster] < min_size).to(gaussians.device)

    return over_moments(field, time, in_small_group)


def _clusters(points: Float[Tensor, "point xyz=3"], num_neighbors: int, reach: float) -> Tensor:
    """Number of the cluster that each point belongs to, on the CPU."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    distances, neighbors = (values.cpu() for values in nearest_neighbors(points, num_neighbors))
    spacing = distances.mean(dim=-1)
    linked = distances <= reach * torch.minimum(spacing[:, None], spacing[neighbors])
    count = len(points)
    first = torch.arange(count)[:, None].expand_as(neighbors)[linked].numpy()
    graph = coo_matrix((linked[linked].numpy(), (first, neighbors[linked].numpy())), shape=(count, count))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long()
