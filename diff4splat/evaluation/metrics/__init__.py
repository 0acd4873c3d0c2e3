"""Metrics: tensors and features in, numbers out; nothing here loads weights."""

from diff4splat.evaluation.metrics.consistency import MaskFill, masked_frames, temporal_consistency
from diff4splat.evaluation.metrics.cycle import cycle_consistency_psnr, is_closed
from diff4splat.evaluation.metrics.depth import (
    DepthAlignment,
    absolute_relative_error,
    align_depth,
    depth_correlation,
    depth_delta1,
)
from diff4splat.evaluation.metrics.distributions import (
    FrechetExtrapolation,
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    kernel_subset_deviation,
)
from diff4splat.evaluation.metrics.flow import flow_magnitude
from diff4splat.evaluation.metrics.images import check_image_range, psnr
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
from diff4splat.evaluation.metrics.prompts import clip_score, clip_scores
from diff4splat.evaluation.metrics.quality import (
    AestheticHead,
    LevelScale,
    aesthetic_scores,
    fold_linear_layers,
    level_score,
)
from diff4splat.evaluation.metrics.structural_similarity import ssim
from diff4splat.evaluation.metrics.tracking import (
    METRIC_THRESHOLDS,
    PIXEL_THRESHOLDS,
    TrackingScores,
    TrackScaling,
    average_points_within_distance,
    track_end_point_error,
    tracking_scores,
)

__all__ = [
    "AestheticHead",
    "DepthAlignment",
    "FrechetExtrapolation",
    "LevelScale",
    "METRICS",
    "METRIC_THRESHOLDS",
    "MaskFill",
    "Metric",
    "PIXEL_THRESHOLDS",
    "PathScale",
    "PathScores",
    "RelativePoseErrors",
    "TrackScaling",
    "TrackingScores",
    "absolute_relative_error",
    "absolute_trajectory_errors",
    "aesthetic_scores",
    "align_depth",
    "average_points_within_distance",
    "check_image_range",
    "clip_score",
    "clip_scores",
    "cycle_consistency_psnr",
    "depth_correlation",
    "depth_delta1",
    "end_point_error",
    "epipolar_distances",
    "epipolar_inliers",
    "flow_magnitude",
    "fold_linear_layers",
    "frechet_distance",
    "frechet_infinity",
    "is_closed",
    "kernel_distance",
    "kernel_subset_deviation",
    "level_score",
    "masked_frames",
    "mutual_nearest_neighbours",
    "path_scores",
    "psnr",
    "relative_pose_errors",
    "ssim",
    "temporal_consistency",
    "track_end_point_error",
    "tracking_scores",
]
