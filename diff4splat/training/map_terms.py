"""Losses of the maps of the reconstruction model against the truth, one value per clip."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.losses import motion_loss, pearson_depth_loss
from diff4splat.models import map_depth, map_rotation
from diff4splat.training.targets import MotionTargets, is_known, motion_targets, track_targets

__all__ = [
    "balanced_error",
    "depth_terms",
    "error_beside_movers",
    "log_depth_error",
    "log_depth_slope_error",
    "motion_terms",
]

_FEWEST = 0.005
"""Smallest share of the pixels by which a mean over some of them is divided: a few pixels are not a scene."""


def log_depth_error(
    error: Float[Tensor, "batch map_frame height width"], known: Bool[Tensor, "batch map_frame height width"]
) -> Float[Tensor, " batch"]:
    r"""Mean absolute error of log-depth, $\overline{|\log d - \log d^*|}$, where the truth is known.

    Args:
        error: Difference of the two logarithms $\log d - \log d^*$; may be NaN where unknown. Receives
            gradients.
        known: Where the truth is known.

    Returns:
        One value per clip; 0 where nothing is known. Where less than half a percent of the map is known, it
        counts as half a percent.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_shape("known", known, error.shape)
    return _mean(torch.where(known, error, 0).abs(), known)


def log_depth_slope_error(
    error: Float[Tensor, "batch map_frame height width"], known: Bool[Tensor, "batch map_frame height width"]
) -> Float[Tensor, " batch"]:
    r"""Mean absolute slope of the error of log-depth along rows and columns, over one and four places.

    $$\sum_{k \in \{1, 4\}} \overline{|e_{i, j + k} - e_{i, j}|} + \overline{|e_{i + k, j} - e_{i, j}|}$$

    with rows and columns $i, j$ of the map for $k = 1$, and every fourth of them for $k = 4$.

    Args:
        error: Difference $e$ of the two logarithms; may be NaN where unknown. Receives gradients.
        known: Where the truth is known; a slope counts where it is at both ends.

    Returns:
        Four means as in `log_depth_error`, added up, one value per clip.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_shape("known", known, error.shape)
    # Selecting before the difference keeps NaN out of the gradients.
    error = torch.where(known, error, 0)
    total = error.new_zeros(error.shape[0])
    for step in (1, 4):
        coarse, sure = error[..., ::step, ::step], known[..., ::step, ::step]
        across = sure[..., 1:] & sure[..., :-1]
        down = sure[..., 1:, :] & sure[..., :-1, :]
        total = total + _mean(coarse.diff(dim=-1).abs(), across) + _mean(coarse.diff(dim=-2).abs(), down)
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

    with $M$ the known pixels where `moving` holds and $R$ the other known ones, of all times, each set
    counted as half a percent of the map at least: a few pixels are not a scene. Most pixels rest: counted
    alike, or with a kink at zero, they would hold a fresh model at "no motion" before it can tell movers
    apart.

    Args:
        predicted: Displacement $\hat x$, units of depth; receives gradients.
        target: True displacement $x$, units of depth; may be NaN where unknown.
        moving: Pixels on objects that move.
        known: Where the truth is known.
        rest_weight: $\lambda$, at least 0.
        softness: $\delta$, units of depth, > 0; errors below it count quadratically.

    Returns:
        The loss, one value per clip; and, detached, the sums over moving pixels of the error and of the error
        of no motion, whose ratio is below 1 where the prediction is better than none.

    Raises:
        ValueError: If the shapes do not fit each other, or an option is out of range.
    """
    _check_motion(predicted, target, moving, known, softness)
    if not rest_weight >= 0:
        raise ValueError(f"rest_weight must be >= 0, got {rest_weight}.")
    target = torch.where(known[:, :, :, None], target, 0)
    square, error = _soft_error(predicted, target, known, softness)
    moves = moving[:, None] & known
    loss = _mean(error, moves) + rest_weight * _mean(error, known & ~moving[:, None])
    made = torch.where(moves, square.detach().sqrt(), 0).flatten(1).sum(1)
    # as `norm(dim=3)`, which takes many times as long over an axis that is not the last one
    length = target.detach().square().sum(3).sqrt()
    still = torch.where(moves, length, 0).flatten(1).sum(1)
    return loss, (made, still)


def error_beside_movers(
    predicted: Float[Tensor, "batch time map_frame xyz=3 height width"],
    target: Float[Tensor, "batch time map_frame xyz=3 height width"],
    moving: Bool[Tensor, "batch map_frame height width"],
    known: Bool[Tensor, "batch time map_frame height width"],
    *,
    reach: int = 4,
    softness: float = 0.03,
) -> Float[Tensor, " batch"]:
    r"""Mean end-point error at pixels that rest next to something that moves.

    $$\mathcal{L} = \frac{1}{|B|} \sum_{i \in B} \rho(\hat x_i - x_i)$$

    with $\rho$ as in `balanced_error` and $B$ the known pixels that rest and lie within `reach` rows and
    columns of one that moves. Ground that is dragged along with what moves over it is a small share of all
    that rests, and the first thing that one sees.

    Args:
        predicted: Displacement $\hat x$, units of depth; receives gradients.
        target: True displacement $x$, units of depth; may be NaN where unknown.
        moving: Pixels on objects that move.
        known: Where the truth is known.
        reach: Places on the map, at least 1.
        softness: As in `balanced_error`, > 0.

    Returns:
        One value per clip; 0 where nothing moves.

    Raises:
        ValueError: If the shapes do not fit each other, or an option is out of range.
    """
    _check_motion(predicted, target, moving, known, softness)
    if reach < 1:
        raise ValueError(f"reach must be at least 1, got {reach}.")
    near = F.max_pool2d(moving.to(predicted.dtype), 2 * reach + 1, stride=1, padding=reach) > 0
    _, error = _soft_error(predicted, target, known, softness)
    return _mean(error, known & (near & ~moving)[:, None])


def depth_terms(
    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"], truth: dict[str, Tensor]
) -> dict[str, Float[Tensor, " batch"]]:
    """Losses of the depth on a map.

    Args:
        gaussian_map: Raw Gaussian map of the key frames; receives gradients.
        truth: Batch on the grid of the map, see `on_coarser_grid`.

    Returns:
        "depth" and "depth_slope"; and "correlation" of log-depth, mean over the frames, detached. Nothing
        where clips come without depth.
    """
    if "depth" not in truth:
        return {}
    true_depth = truth["depth"].float()
    known = is_known(true_depth)
    log_depth = map_depth(gaussian_map.float()).log()
    log_truth = torch.where(known, true_depth.clamp_min(1e-2), 1).log()
    error = log_depth - log_truth
    correlation = 1 - pearson_depth_loss(log_depth.detach(), log_truth, mask=known)
    return {
        "depth": log_depth_error(error, known),
        "depth_slope": log_depth_slope_error(error, known),
        "correlation": correlation.mean(1),
    }


def motion_terms(
    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"],
    deformation: Float[Tensor, "batch time map_frame channel2=10 height width"],
    truth: dict[str, Tensor],
    picks: Int[Tensor, " time"],
    cameras: Cameras,
) -> tuple[dict[str, Float[Tensor, " batch"]], dict[str, Float[Tensor, "sums=2"]]]:
    """Losses of the motion on a map.

    Args:
        gaussian_map: Raw Gaussian map of the key frames, whose orientation is used; detached.
        deformation: Raw deformation from there to the target frames; receives gradients.
        truth: Batch on the grid of the map, see `on_coarser_grid`.
        picks: Target frames.
        cameras: Cameras of the key frames, relative to the first.

    Returns:
        "motion", "motion_beside", "rotation" (0 where clips come with tracks, which do not tell it) and
        "point_motion"; and, detached, sums of `balanced_error` over the clips, for "motion" and "rotation".
    """
    when = picks.expand(len(gaussian_map), -1)
    if "object_motion" in truth:
        targets = motion_targets(truth, when)
    else:
        targets = track_targets(truth, when, size=(gaussian_map.shape[-2], gaussian_map.shape[-1]))
    predicted = deformation[:, :, :, :3].float()
    terms, ratios = {}, {}
    terms["motion"], sums = balanced_error(predicted, targets.displacement, targets.moving, targets.known)
    ratios["motion"] = torch.stack([v.sum() for v in sums])
    terms["motion_beside"] = error_beside_movers(
        predicted, targets.displacement, targets.moving, targets.known
    )
    if targets.rotation is None:
        terms["rotation"] = torch.zeros_like(terms["motion"])
        ratios["rotation"] = torch.zeros_like(ratios["motion"])  # as many numbers whatever the clips are
    else:
        turn = map_rotation(gaussian_map.detach().float(), deformation.float())
        terms["rotation"], sums = balanced_error(turn, targets.rotation, targets.moving, targets.known)
        ratios["rotation"] = torch.stack([v.sum() for v in sums])
    terms["point_motion"] = _point_motion(predicted, targets, truth["depth"].float(), cameras)
    return terms, ratios


def _point_motion(predicted: Tensor, targets: MotionTargets, depth: Tensor, cameras: Cameras) -> Tensor:
    """Diff4Splat, Eq. 5: displacements in scene units, along the axes of the first camera."""
    known = targets.known & is_known(depth)[:, None]
    depth = torch.where(is_known(depth), depth, 0)[:, None, :, None]
    rotation = cameras.camera_to_world[..., :3, :3].to(predicted.dtype)
    moved = [
        rearrange(torch.einsum("bfij,btfjhw->btfhwi", rotation, v * depth), "b t f h w i -> b (t f h w) i")
        for v in (predicted, targets.displacement)
    ]
    return motion_loss(*moved, visibility=known.flatten(1))


def _soft_error(predicted: Tensor, target: Tensor, known: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Squared end-point error, and its root with a round tip; errors where nothing is known mean nothing."""
    square = (predicted - torch.where(known[:, :, :, None], target, 0)).square().sum(3)
    return square, (square + softness**2).sqrt() - softness


def _check_motion(predicted: Tensor, target: Tensor, moving: Tensor, known: Tensor, softness: float) -> None:
    batch, time, frame, _, height, width = predicted.shape
    _check_shape("target", target, predicted.shape)
    _check_shape("moving", moving, (batch, frame, height, width))
    _check_shape("known", known, (batch, time, frame, height, width))
    if not softness > 0:
        raise ValueError(f"softness must be > 0, got {softness}.")


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean per clip where a mask holds, over a share of all places and over one at least."""
    kept, mask = torch.where(mask, values, 0).flatten(1), mask.flatten(1)
    return kept.sum(1) / mask.sum(1).to(kept.dtype).clamp_min(max(_FEWEST * mask.shape[1], 1))


def _check_shape(name: str, values: Tensor, expected: tuple[int, ...]) -> None:
    if values.shape != expected:
        raise ValueError(f"{name} must have shape {tuple(expected)}, got {tuple(values.shape)}.")
