"""Whether a clip is kept, and if not, why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from diff4splat.data.curation.flow import VideoFlow
from diff4splat.data.curation.measures import measure
from diff4splat.data.curation.thresholds import CurationThresholds
from diff4splat.data.recordings import Recording
from diff4splat.data.stages.item import Value

__all__ = ["Verdict", "judge", "judge_metrics"]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a clip.

    Args:
        accepted: Whether it is kept.
        reasons: Sentences that name what was measured and the limit; none where it is kept.
        metrics: What `measure` gave.
    """

    accepted: bool
    reasons: tuple[str, ...] = ()
    metrics: Mapping[str, Value] = field(default_factory=dict)


def judge(
    recording: Recording,
    thresholds: CurationThresholds | None = None,
    *,
    flow: VideoFlow | None = None,
) -> Verdict:
    """Measure a clip and hold it against the limits.

    Args:
        recording: Any.
        thresholds: The limits; the defaults when omitted.
        flow: As in `measure`.

    Returns:
        The verdict, with every reason there is.

    Raises:
        ValueError: If the flow is not that of these frames.
    """
    thresholds = thresholds or CurationThresholds()
    metrics = measure(recording, thresholds, flow=flow)
    missing = [name for name in thresholds.require if getattr(recording, name) is None]
    if "dynamic_mask" in missing and recording.static:
        missing.remove("dynamic_mask")
    return judge_metrics(metrics, thresholds, static=recording.static, missing=tuple(missing))


def judge_metrics(
    metrics: Mapping[str, Value],
    thresholds: CurationThresholds | None = None,
    *,
    static: bool = False,
    missing: tuple[str, ...] = (),
) -> Verdict:
    """Hold what was measured before against limits, so that these can change without measuring again.

    Args:
        metrics: As `measure` gives them; what is None or left out is not judged.
        thresholds: The limits; the defaults when omitted. Cuts were found with those given to `measure`.
        static: Whether the clip is of a dataset that says that nothing moves.
        missing: What is required and not there.

    Returns:
        The verdict.
    """
    limits = thresholds or CurationThresholds()
    reasons = [f"Required and missing: {name.replace('_', ' ')}." for name in missing]
    if metrics.get("camera_fault"):
        reasons.append(f"The cameras are none: {metrics['camera_fault']}.")
    if metrics.get("wrong_depth"):
        reasons.append(
            f"Depth that is said to be known is not finite and above 0 in {metrics['wrong_depth']} pixels."
        )
    if metrics.get("depth_fault"):
        reasons.append(f"There is a mark in the depth: {metrics['depth_fault']}.")
    if metrics.get("cut"):
        reasons.append(f"It is not one piece: {metrics['cut']}.")
    for name, side, limit_name, words, unit in _RULES:
        if limit_name == "max_dynamic_share" and static:
            limit_name = "max_dynamic_share_static"
        value, limit = metrics.get(name), getattr(limits, limit_name)
        if limit is None or not isinstance(value, int | float):
            continue
        good = value <= limit if side == "most" else value >= limit  # false for NaN
        if not good:
            than = "more than" if side == "most" else "less than"
            where = f" {metrics.get('worst_frame')}" if name == "frame_depth_error" else ""
            reasons.append(f"{words}{where} is {value:.4g}{unit}, {than} {limit:.4g}{unit}.")
    return Verdict(not reasons, tuple(reasons), dict(metrics))


_RULES: tuple[tuple[str, Literal["most", "least"], str, str, str], ...] = (
    ("num_frames", "least", "min_frames", "The number of frames", ""),
    ("min_brightness", "least", "min_brightness", "The mean of the darkest frame", ""),
    ("frozen_share", "most", "max_frozen_share", "The share of frames that repeat the one before", ""),
    ("camera_motion", "least", "min_camera_motion", "The camera's motion by the depth of the scene", ""),
    ("known_depth", "least", "min_known_depth", "The share of known depth in the frame with the least", ""),
    ("median_depth_m", "least", "min_depth", "The median depth", " m"),
    ("median_depth_m", "most", "max_depth", "The median depth", " m"),
    ("overlap", "least", "min_overlap", "The share of a frame that falls into its neighbours", ""),
    ("unit_ratio", "most", "max_unit_ratio", "The ratio of the units of depth and poses", ""),
    ("depth_error", "most", "max_depth_error", "The error of depth carried between frames", ""),
    ("inlier_share", "least", "min_inlier_share", "The share of pixels with depth within 5 %", ""),
    ("pixel_error", "most", "max_pixel_error", "The distance there and back between frames", " px"),
    (
        "frame_depth_error",
        "most",
        "max_frame_depth_error",
        "The error of depth carried to and from frame",
        "",
    ),
    ("color_ratio", "most", "max_color_ratio", "The colour error by that without cameras", ""),
    ("frame_color_ratio", "most", "max_frame_color_ratio", "The colour error of one frame by the usual", ""),
    ("flow_error", "most", "max_flow_error", "The distance of observed and ego flow", " px"),
    ("dynamic_share", "most", "max_dynamic_share", "The share of pixels that move", ""),
    ("unmasked_motion", "most", "max_unmasked_motion", "The share of pixels that move without a mask", ""),
    ("anchors", "least", "min_anchors", "The number of anchors of metric depth", ""),
    ("scale_variation", "most", "max_scale_variation", "The variation of the metric scale", ""),
    ("visible_tracks", "least", "min_visible_tracks", "The number of tracks seen in two frames", ""),
    ("track_pixel_error", "most", "max_track_pixel_error", "The distance of tracks from their pixels", " px"),
    ("track_depth_error", "most", "max_track_depth_error", "The distance of tracks from the depth", ""),
)
