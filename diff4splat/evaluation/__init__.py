"""Evaluation: metrics, baselines, and the protocol on held-out scenes with its report."""

from diff4splat.evaluation.baselines import flat_depth_warp
from diff4splat.evaluation.held_out import HeldOutProtocol, evaluate_held_out
from diff4splat.evaluation.metrics import absolute_relative_error, depth_correlation, end_point_error, psnr
from diff4splat.evaluation.pose_errors import PathScale, RelativePoseErrors, relative_pose_errors
from diff4splat.evaluation.report import Report
from diff4splat.evaluation.scenes import HeldOutScenes, held_out_scenes
from diff4splat.evaluation.statistics import (
    Estimate,
    least_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
)

__all__ = [
    "Estimate",
    "HeldOutProtocol",
    "HeldOutScenes",
    "PathScale",
    "RelativePoseErrors",
    "Report",
    "absolute_relative_error",
    "depth_correlation",
    "end_point_error",
    "evaluate_held_out",
    "flat_depth_warp",
    "held_out_scenes",
    "least_mean_estimate",
    "mean_estimate",
    "psnr",
    "ratio_estimate",
    "relative_pose_errors",
    "share_estimate",
]
