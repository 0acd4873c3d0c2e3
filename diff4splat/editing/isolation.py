"""Choice of Gaussians that are alone."""

from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import Moment, check_number, check_single, over_moments
from diff4splat.editing.neighbors import room_and_neighbors
from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["isolated_gaussians"]


def isolated_gaussians(
    field: DeformableGaussianField, *, num_neighbors: int = 8, ratio: float = 4.0, time: Moment = None
) -> Bool[Tensor, " gaussian"]:
    r"""Which Gaussians have far more room around them, for their size, than is usual in the scene.

    $$e_i = \frac{1}{k \, \sigma_i} \sum_{j \in N_k(i)} \lVert \mu_i - \mu_j \rVert, \qquad
      e_i > r \, \operatorname{median}_j e_j$$

    with $k$ = `num_neighbors`, $N_k(i)$ the $k$ nearest neighbours of Gaussian $i$, $\sigma_i$ its largest
    scale and $r$ = `ratio`; of an even number of values the median is the lower one of the middle. Distances
    count in sizes, so that a background of few large Gaussians is no different from a dense foreground.
    Groups of more than $k$ are not found; `small_clusters` finds them.

    Args:
        field: One field without batch axes.
        num_neighbors: Neighbours of each Gaussian that count, below the number of Gaussians.
        ratio: How many times more room than usual, above 1.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If the field has batch axes, too few Gaussians or centres that are not finite, `ratio` is
            not above 1, or `time` is none.
    """
    check_single("isolated_gaussians", field)
    check_number("ratio", ratio, above=1)

    def alone(gaussians: Gaussians) -> Tensor:
        room, _, _ = room_and_neighbors(gaussians, num_neighbors)
        return room > ratio * room.median()

    return over_moments(field, time, alone)
