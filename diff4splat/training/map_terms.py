"""Losses of the maps of the reconstruction model against the truth, one value per clip."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["balanced_error", "log_depth_error", "log_depth_slope_error"]

_FEWEST = 0.005
"""Smallest share of the pixels by which a mean over some of them is divided: a few pixels are not a scene."""


def log_depth_error(
    error: Float[Tensor, "batch map_frame height width"], known: Bool[Tensor, "batch map_frame height width"]
) -> Float[Tensor, " batch"]:
    r"""Mean absolute error of log-depth, $\overline{|\log d - \log d^*|}$, where the truth is known.

    Args:
        error: Difference of the two logarithms; any finite value where unknown.
        known: Where the truth is known.

    Returns:
        One value per clip; 0 where nothing is known.
    """
    return _mean(error.abs(), known)


def log_depth_slope_error(
    error: Float[Tensor, "batch map_frame height width"], known: Bool[Tensor, "batch map_frame height width"]
) -> Float[Tensor, " batch"]:
    r"""Mean absolute slope of the error of log-depth along rows and columns, over one and four places.

    $$\sum_{k \in \{1, 4\}} \overline{|e_{i, j + k} - e_{i, j}|} + \overline{|e_{i + k, j} - e_{i, j}|}$$

    Args:
        error: Difference $e$ of the two logarithms; any finite value where unknown.
        known: Where the truth is known.

    Returns:
        One value per clip, of four means added up.
    """
    total = error.new_zeros(error.shape[0])
    for step in (1, 4):
        for axis in (-1, -2):
            both = [
                known[..., ::step, ::step].movedim(axis, -1)[..., side]
                for side in (slice(1, None), slice(-1))
            ]
            change = error[..., ::step, ::step].diff(dim=axis).movedim(axis, -1)
            total = total + _mean(change.abs(), both[0] & both[1])
    return total


def balanced_error(
    predicted: Float[Tensor, "batch time map_frame xyz=3 height width"],
    target: Float[Tensor, "batch time map_frame xyz=3 height width"],
    moving: Bool[Tensor, "batch map_frame height width"],
    known: Bool[Tensor, "batch time map_frame height width"],
    *,
    rest_weight: float = 0.3,
    softness: float = 0.03,
) -> tuple[Float[Tensor, " batch"], tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]]:
    r"""Mean end-point error where things move plus, weighted less, that where they rest.

    $$\mathcal{L} = \frac{1}{|M|} \sum_{i \in M} \rho(\hat x_i - x_i)
      + \lambda \frac{1}{|R|} \sum_{i \in R} \rho(\hat x_i - x_i), \qquad
      \rho(e) = \sqrt{\lVert e \rVert^2 + \delta^2} - \delta$$

    with $M$ the known pixels where `moving` holds and $R$ the other known ones, each set counted as half a
    percent of the map at least. Most pixels rest: counted alike, or with a kink at zero, they would hold a
    fresh model at "no motion" before it can tell movers apart.

    Args:
        predicted: Displacement $\hat x$, units of depth; receives gradients.
        target: True displacement $x$, units of depth; may be NaN where unknown.
        moving: Pixels on objects that move.
        known: Where the truth is known.
        rest_weight: $\lambda$.
        softness: $\delta$, units of depth; errors below it count quadratically.

    Returns:
        The loss, one value per clip; and, detached, the sums over moving pixels of the error and of the error
        of no motion, whose ratio is below 1 where the prediction is better than none.
    """
    target = torch.where(known[:, :, :, None], target, 0)
    square = (predicted - target).square().sum(3)
    error = (square + softness**2).sqrt() - softness
    moves = moving[:, None] & known
    loss = _mean(error, moves) + rest_weight * _mean(error, known & ~moving[:, None])
    made = torch.where(moves, square.detach().sqrt(), 0).flatten(1).sum(1)
    still = torch.where(moves, target.norm(dim=3), 0).flatten(1).sum(1)
    return loss, (made, still)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean per clip where a mask holds, over a share of all places at least."""
    kept, mask = torch.where(mask, values, 0).flatten(1), mask.flatten(1)
    return kept.sum(1) / mask.sum(1).clamp_min(_FEWEST * mask.shape[1])
