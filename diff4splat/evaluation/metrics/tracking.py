"""How far tracked points are from the true ones, in space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diff4splat.evaluation.metrics.masks import check_compared

__all__ = [
    "PIXEL_THRESHOLDS",
    "METRIC_THRESHOLDS",
    "TrackScaling",
    "TrackingScores",
    "average_points_within_distance",
    "track_end_point_error",
    "tracking_scores",
]

TrackScaling = Literal["none", "median", "mean", "per_trajectory"]
"""What predicted points are multiplied by: nothing, one factor per clip by norms, one per track by depth."""

PIXEL_THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Distances of TAPVid-3D, pixels."""

METRIC_THRESHOLDS = (0.01, 0.04, 0.16, 0.64, 2.56)
"""Distances of TAPVid-3D where they do not grow with depth, metres."""


@dataclass(frozen=True, eq=False)
class TrackingScores:
    """How good tracks and the visibility that comes with them are; one number per clip each.

    Args:
        within_distance: Share of truly visible points within each distance.
        points_within_distance: Mean of these over distances (APD).
        jaccard: Mean over distances of true positives by true positives, false ones and misses (AJ).
        occlusion_accuracy: Share of points whose visibility is right (OA).
    """

    within_distance: Float[Tensor, "*batch distance"]
    points_within_distance: Float[Tensor, " *batch"]
    jaccard: Float[Tensor, " *batch"]
    occlusion_accuracy: Float[Tensor, " *batch"]


def average_points_within_distance(
    points: Float[Tensor, "*batch track frame xyz=3"],
    target: Float[Tensor, "*batch track frame xyz=3"],
    *,
    visible: Bool[Tensor, "*batch track frame"],
    intrinsics: Float[Tensor, "*batch 3 3"] | None,
    scaling: TrackScaling,
    predicted_visible: Bool[Tensor, "*batch track frame"] | None = None,
    query_frames: Int64[Tensor, "*batch track"] | None = None,
    thresholds: Sequence[float] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean over distances of the share of visible points that are nearer to the truth than that (APD).

    $$\mathrm{APD} = \frac{1}{5} \sum_\delta \frac{\sum_i v_i \, [\lVert s p_i - q_i \rVert <
      \delta z_i / \sqrt{f_x f_y}]}{\sum_i v_i}, \qquad \delta = 1, 2, 4, 8, 16$$

    with $p$ = `points`, $q$ = `target` with depths $z$, and $v$ = `visible`: what a point may be off is
    $\delta$ pixels at its true depth. Whether a point is *said* to be visible does not matter, except to the
    factor $s$: see `scaling`. Source: Koppula et al. 2024, TAPVid-3D; it multiplies by 100, and averages over
    clips, not over points.

    Differs: Its code also knows scales of local neighbourhoods, of query points and of each point; these are
    left out. A depth of 0 or below in a query frame has no scale here, and a huge or tiny one there.

    Args:
        points: Predicted points in the axes of the camera of each frame.
        target: True points in the same axes, z forward and above 0 where `visible`; may be NaN elsewhere.
        visible: Points that are truly visible.
        intrinsics: Lens, pixels of the images in which distances are meant (TAPVid-3D: as large as they
            come). None for distances in the unit of `target`.
        scaling: "median" and "mean" take $s$ as the ratio of the true and predicted medians, or means, of the
            norms of all points that are visible both truly and as predicted; "per_trajectory" brings each
            track to the true depth in its query frame; "none" is for metric predictions.
        predicted_visible: Points that are said to be visible; all when omitted.
        query_frames: Frame in which each track was asked for, for "per_trajectory".
        thresholds: Distances; `PIXEL_THRESHOLDS` when omitted, or `METRIC_THRESHOLDS` without `intrinsics`.

    Returns:
        One value in [0, 1] per clip; NaN where no point is visible or the scale cannot be found.

    Raises:
        ValueError: If shapes disagree, `scaling` is none of these, it lacks `query_frames` or these are not
            frames, a visible point is not finite, or `thresholds` are not above 0.
    """
    known = torch.ones_like(visible) if predicted_visible is None else predicted_visible
    distance, unit = _distances(points, target, visible, known, intrinsics, scaling, query_frames)
    return _within(distance, unit, visible, _distances_or_default(thresholds, intrinsics)).mean(-1)


def tracking_scores(
    points: Float[Tensor, "*batch track frame xyz=3"],
    target: Float[Tensor, "*batch track frame xyz=3"],
    *,
    visible: Bool[Tensor, "*batch track frame"],
    predicted_visible: Bool[Tensor, "*batch track frame"],
    intrinsics: Float[Tensor, "*batch 3 3"] | None,
    scaling: TrackScaling,
    query_frames: Int64[Tensor, "*batch track"] | None = None,
    thresholds: Sequence[float] | None = None,
) -> TrackingScores:
    r"""The three scores of TAPVid-3D: points (APD), points and visibility (AJ), visibility (OA).

    $$\mathrm{AJ} = \frac{1}{5} \sum_\delta \frac{\mathrm{TP}_\delta}{\sum_i v_i + \mathrm{FP}_\delta}$$

    A true positive is visible, said to be, and within the distance; a false one is said to be visible, and is
    not or is too far away.

    Args:
        points: As in `average_points_within_distance`; finite where said to be visible.
        target: As there.
        visible: As there.
        predicted_visible: Points that are said to be visible.
        intrinsics: As there.
        scaling: As there.
        query_frames: As there.
        thresholds: As there.

    Returns:
        Scores of each clip; APD and its parts are NaN where no point is visible, AJ where none is visible nor
        said to be, and both where the scale cannot be found.

    Raises:
        ValueError: As in `average_points_within_distance`.
    """
    distance, unit = _distances(points, target, visible, predicted_visible, intrinsics, scaling, query_frames)
    limits = _distances_or_default(thresholds, intrinsics)
    within = _within(distance, unit, visible, limits)
    unknown = (visible & distance.isnan()).any((-2, -1))
    jaccards = []
    for limit in limits:
        near = distance < limit * unit
        true = (near & visible & predicted_visible).sum((-2, -1)).double()
        false = (predicted_visible & ~(near & visible)).sum((-2, -1))
        jaccards.append(torch.where(unknown, torch.nan, true / (visible.sum((-2, -1)) + false)))
    agreed = (visible == predicted_visible).double().mean((-2, -1))
    return TrackingScores(within, within.mean(-1), torch.stack(jaccards, -1).mean(-1), agreed)


def track_end_point_error(
    points: Float[Tensor, "*batch track frame xyz=3"],
    target: Float[Tensor, "*batch track frame xyz=3"],
    *,
    visible: Bool[Tensor, "*batch track frame"],
    scaling: TrackScaling,
    predicted_visible: Bool[Tensor, "*batch track frame"] | None = None,
    query_frames: Int64[Tensor, "*batch track"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean distance of visible points from the true ones (EPE3D), $\lVert s p_i - q_i \rVert_2$.

    Args:
        points: As in `average_points_within_distance`.
        target: As there; its unit is that of the error.
        visible: As there.
        scaling: As there; numbers with different ones cannot be compared.
        predicted_visible: As there.
        query_frames: As there.

    Returns:
        One value per clip; NaN where no point is visible or the scale cannot be found.

    Raises:
        ValueError: As in `average_points_within_distance`.
    """
    known = torch.ones_like(visible) if predicted_visible is None else predicted_visible
    distance, _ = _distances(points, target, visible, known, None, scaling, query_frames)
    return distance.masked_fill(~visible, 0).sum((-2, -1)) / visible.sum((-2, -1))


def _distances_or_default(thresholds: Sequence[float] | None, intrinsics: Tensor | None) -> tuple[float, ...]:
    if thresholds is None:
        return PIXEL_THRESHOLDS if intrinsics is not None else METRIC_THRESHOLDS
    if len(thresholds) == 0 or not all(threshold > 0 for threshold in thresholds):
        raise ValueError(f"thresholds must be above 0, at least one, got {tuple(thresholds)}.")
    return tuple(thresholds)


def _within(distance: Tensor, unit: Tensor, visible: Tensor, limits: Sequence[float]) -> Tensor:
    """Share of the visible points below each distance; NaN where there is none."""
    shares = []
    for limit in limits:
        near = (distance < limit * unit).double().masked_fill(distance.isnan(), torch.nan)
        shares.append(near.masked_fill(~visible, 0).sum((-2, -1)) / visible.sum((-2, -1)))
    return torch.stack(shares, dim=-1)


def _distances(
    points: Tensor,
    target: Tensor,
    visible: Tensor,
    predicted_visible: Tensor,
    intrinsics: Tensor | None,
    scaling: TrackScaling,
    query_frames: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Distance of each scaled point from the truth, and the length of one unit of the thresholds there."""
    if scaling not in get_args(TrackScaling):
        raise ValueError(f"scaling must be one of {', '.join(get_args(TrackScaling))}, got {scaling!r}.")
    check_compared("points", points, target, None, ())
    for name, given in (("visible", visible), ("predicted_visible", predicted_visible)):
        if given.shape != points.shape[:-1]:
            raise ValueError(f"{name} must have shape {tuple(points.shape[:-1])}, got {tuple(given.shape)}.")
    points, target = points.double(), target.double()
    for name, values in (("points", points), ("target", target)):
        if not values.masked_fill(~visible[..., None], 0).isfinite().all():
            raise ValueError(f"{name} must be finite where visible, got NaN or infinity.")
    if scaling == "per_trajectory":
        scale = _ratio_in_query_frames(points, target, query_frames)
    elif scaling == "none":
        scale = torch.ones_like(points[..., :1, :1])
    else:
        scale = _ratio_of_norms(points, target, visible & predicted_visible, scaling)
    distance = torch.linalg.vector_norm(scale * points - target, dim=-1)
    if intrinsics is None:
        return distance, torch.ones_like(distance)
    focal = (intrinsics[..., 0, 0].double() * intrinsics[..., 1, 1].double()).sqrt()
    return distance, target[..., 2] / focal[..., None, None]


def _ratio_of_norms(points: Tensor, target: Tensor, both: Tensor, scaling: TrackScaling) -> Tensor:
    """True by predicted median, or mean, of the norms of points visible in both; NaN without any."""
    middles = []
    for part in (target, points):
        norms = torch.linalg.vector_norm(part, dim=-1).masked_fill(~both, torch.nan).flatten(-2)
        if scaling == "mean" or not norms.numel():  # of nothing there is no quantile, but a mean, NaN
            middles.append(norms.nanmean(-1))
        else:
            middles.append(norms.nanquantile(0.5, dim=-1))
    theirs, ours = middles
    return torch.where(ours > 0, theirs / ours, torch.nan)[..., None, None, None]


def _ratio_in_query_frames(points: Tensor, target: Tensor, query_frames: Tensor | None) -> Tensor:
    """True by predicted depth of each track in its query frame; NaN where one of them is not above 0."""
    if query_frames is None:
        raise ValueError('query_frames must be given for scaling "per_trajectory".')
    frames = points.shape[-2]
    if query_frames.numel() and not 0 <= int(query_frames.min()) <= int(query_frames.max()) < frames:
        raise ValueError(f"query_frames must be from 0 to {frames - 1}, got others.")
    theirs, ours = (part[..., 2].gather(-1, query_frames[..., None]) for part in (target, points))
    return torch.where((ours > 0) & (theirs > 0), theirs / ours, torch.nan)[..., None]
