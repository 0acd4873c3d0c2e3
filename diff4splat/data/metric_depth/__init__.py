"""Metric depth of a clip: anchors, one scale and shift, and whether they can be trusted (Algorithm 1)."""

from diff4splat.data.metric_depth.align_recording import align_recording
from diff4splat.data.metric_depth.alignment import (
    AlignmentSpace,
    DepthAlignment,
    apply_alignment,
    check_on_map,
    metric_scale,
)
from diff4splat.data.metric_depth.anchors import (
    Anchors,
    anchors_from_masks,
    anchors_from_points,
    mask_medians,
)
from diff4splat.data.metric_depth.fit import AlignmentMethod, fit_scale_and_shift

__all__ = [
    "AlignmentMethod",
    "AlignmentSpace",
    "Anchors",
    "DepthAlignment",
    "align_recording",
    "anchors_from_masks",
    "anchors_from_points",
    "apply_alignment",
    "check_on_map",
    "fit_scale_and_shift",
    "mask_medians",
    "metric_scale",
]
