"""Choice of Gaussians that are alone."""

import torch
from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import Moment, check_number, check_single, over_moments
from diff4splat.editing.neighbors import nearest_neighbors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["isolated_gaussians"]


def isolated_gaussians(
    field: DeformableGaussianField,
    *,
    num_neighbors: int = 8,
    ratio: float = 5.0,
    touch: float = 3.0,
    time: Moment = None,
) -> Bool[Tensor, " gaussian"]:
    r"""Which Gaussians are much farther from their neighbours than these are from theirs.

    $$d_i = \frac1k \sum_{j \in N_k(i)} \lVert \mu_i - \mu_j \rVert, \qquad
      d_i > r \, \operatorname{median}_{j \in N_k(i)} d_j, \qquad
      \lVert \mu_i - \mu_j \rVert > \tau (\sigma_i + \sigma_j) \;\text{ for all } j \in N_k(i)$$

    with $k$ = `num_neighbors`, $N_k(i)$ the $k$ nearest neighbours of Gaussian $i$, $r$ = `ratio`, $\tau$ =
    `touch` and $\sigma$ the largest scale; of an even number of values the median is the lower one of the
    middle. Each Gaussian is held against its own surroundings, so that a background of few large Gaussians is
    no different from a dense foreground, and what is large enough to touch a neighbour is never alone. Groups
    of more than $k$ are not found; `small_clusters` finds them.

    Args:
        field: One field without batch axes.
        num_neighbors: Neighbours of each Gaussian that count, below the number of Gaussians.
        ratio: How many times farther, above 1.
        touch: Standard deviations at which two Gaussians touch, at least 0; at 0 centres alone count.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If the field has batch axes, too few Gaussians or centres that are not finite, `ratio` is
            not above 1, `touch` negative, or `time` is none.
    """
    check_single("isolated_gaussians", field)
    check_number("ratio", ratio, above=1)
    check_number("touch", touch, least=0)

    def alone(gaussians: Gaussians) -> Tensor:
        distances, neighbors = nearest_neighbors(gaussians.means, num_neighbors)
        spacing = distances.mean(dim=-1)
        size = gaussians.scales.detach().amax(dim=-1)
        free = (distances > touch * (size[:, None] + size[neighbors])).all(dim=-1)
        return free & (spacing > ratio * torch.median(spacing[neighbors], dim=-1).values)

    return over_moments(field, time, alone)
