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
from diff4splat.evaluation.protocol import (
    PAPER_TRAJECTORIES,
    ClipVideo,
    EvaluationClip,
    Manifest,
    find_video,
    load_clip,
    manifest_of_images,
    read_video,
    write_frames,
    write_procedural_protocol,
)
from diff4splat.evaluation.statistics import (
    Estimate,
    least_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
)

__all__ = [
    "ClipVideo",
    "Estimate",
    "EvaluationClip",
    "HeldOutProtocol",
    "HeldOutScenes",
    "Manifest",
    "PAPER_TRAJECTORIES",
    "PathScale",
    "RelativePoseErrors",
    "Report",
    "absolute_relative_error",
    "depth_correlation",
    "end_point_error",
    "evaluate_held_out",
    "find_video",
    "flat_depth_warp",
    "held_out_scenes",
    "least_mean_estimate",
    "load_clip",
    "manifest_of_images",
    "mean_estimate",
    "psnr",
    "ratio_estimate",
    "read_video",
    "relative_pose_errors",
    "share_estimate",
    "write_frames",
    "write_procedural_protocol",
]
