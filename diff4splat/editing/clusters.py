"""Choice of Gaussians that hang together in small groups."""

import torch
from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import Moment, check_number, check_single, over_moments
from diff4splat.editing.neighbors import room_and_neighbors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["small_clusters"]


def small_clusters(
    field: DeformableGaussianField,
    *,
    min_size: int = 8,
    num_neighbors: int = 8,
    reach: float = 6.0,
    time: Moment = None,
) -> Bool[Tensor, " gaussian"]:
    r"""Which Gaussians belong to a group of fewer than some number, apart from all others.

    Two Gaussians are linked if one is among the nearest neighbours of the other and they are near for their
    size: at most `reach` times as far apart as is usual in the scene for a Gaussian of the size of the
    lonelier one, the one of more room $e$ (see `isolated_gaussians`):

    $$\lVert \mu_i - \mu_j \rVert \le a \, \sigma_l \operatorname{median}_m e_m, \qquad
      l = \operatorname{argmax}_{l \in \{i, j\}} e_l$$

    with $a$ = `reach` and $\sigma$ the largest scale. A cluster is all that links connect.

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
        cluster = _clusters(gaussians.detach(), num_neighbors, reach)
        return (torch.bincount(cluster)[cluster] < min_size).to(gaussians.device)

    return over_moments(field, time, in_small_group)


def _clusters(gaussians: Gaussians, num_neighbors: int, reach: float) -> Tensor:
    """Number of the cluster that each Gaussian belongs to, on the CPU."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    room, distances, neighbors = (values.cpu() for values in room_and_neighbors(gaussians, num_neighbors))
    size = gaussians.scales.amax(dim=-1).cpu()
    lonelier = torch.where(room[:, None] >= room[neighbors], size[:, None], size[neighbors])
    linked = distances <= reach * room.median() * lonelier
    count = len(room)
    first = torch.arange(count)[:, None].expand_as(neighbors)[linked].numpy()
    graph = coo_matrix((linked[linked].numpy(), (first, neighbors[linked].numpy())), shape=(count, count))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long()
