"""Evaluation: metrics, extractors, the protocol on clips, and the one on held-out scenes."""

from diff4splat.evaluation.held_out import (
    HeldOutProtocol,
    HeldOutScenes,
    Report,
    evaluate_held_out,
    flat_depth_warp,
    held_out_scenes,
)
from diff4splat.evaluation.metrics import (
    PathScale,
    RelativePoseErrors,
    absolute_relative_error,
    depth_correlation,
    end_point_error,
    psnr,
    relative_pose_errors,
)
from diff4splat.evaluation.reports import (
    PUBLISHED_TABLES,
    paper_tables,
    table_text,
    write_comparison,
    write_report,
)
from diff4splat.evaluation.statistics import (
    Estimate,
    least_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
)

__all__ = [
    "PUBLISHED_TABLES",
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
    "paper_tables",
    "psnr",
    "ratio_estimate",
    "relative_pose_errors",
    "share_estimate",
    "table_text",
    "write_comparison",
    "write_report",
]
