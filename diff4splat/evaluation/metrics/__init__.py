"""Metrics: tensors and features in, numbers out; nothing here loads weights."""

from diff4splat.evaluation.metrics.depth import absolute_relative_error, depth_correlation
from diff4splat.evaluation.metrics.flow import flow_magnitude
from diff4splat.evaluation.metrics.images import psnr
from diff4splat.evaluation.metrics.matching import (
    epipolar_distances,
    epipolar_inliers,
    mutual_nearest_neighbours,
)
from diff4splat.evaluation.metrics.metric import METRICS, Metric
from diff4splat.evaluation.metrics.motion import end_point_error
from diff4splat.evaluation.metrics.poses import (
    PathScale,
    PathScores,
    RelativePoseErrors,
    absolute_trajectory_errors,
    path_scores,
    relative_pose_errors,
)

__all__ = [
    "METRICS",
    "Metric",
    "PathScale",
    "PathScores",
    "RelativePoseErrors",
    "absolute_relative_error",
    "absolute_trajectory_errors",
    "depth_correlation",
    "end_point_error",
    "epipolar_distances",
    "epipolar_inliers",
    "flow_magnitude",
    "mutual_nearest_neighbours",
    "path_scores",
    "psnr",
    "relative_pose_errors",
]
