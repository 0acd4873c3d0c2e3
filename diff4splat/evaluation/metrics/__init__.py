"""Metrics: tensors and features in, numbers out; nothing here loads weights."""

from diff4splat.evaluation.metrics.depth import absolute_relative_error, depth_correlation
from diff4splat.evaluation.metrics.images import psnr
from diff4splat.evaluation.metrics.metric import METRICS, Metric
from diff4splat.evaluation.metrics.motion import end_point_error
from diff4splat.evaluation.metrics.poses import PathScale, RelativePoseErrors, relative_pose_errors

__all__ = [
    "METRICS",
    "Metric",
    "PathScale",
    "RelativePoseErrors",
    "absolute_relative_error",
    "depth_correlation",
    "end_point_error",
    "psnr",
    "relative_pose_errors",
]
