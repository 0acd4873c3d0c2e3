"""Names, units and directions of everything that evaluation measures, in one table."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """A number that is measured of clips, or of a set of them.

    Args:
        key: Name in tables on disk.
        title: What people call it.
        unit: Unit, or empty.
        better: Whether larger or smaller numbers are better; None for numbers that only inform.
        level: "clip" for one number per clip, "set" for one per set of clips.
        digits: Digits after the point.
        meaning: What it is, in a sentence.
    """

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    level: Literal["clip", "set"]
    digits: int
    meaning: str


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.key: metric for metric in metrics}


METRICS: dict[str, Metric] = _table(
    Metric("fvd", "FVD", "", "lower", "set", 1, "Fréchet distance of clip features to those of real clips"),
    Metric("kvd", "KVD", "", "lower", "set", 3, "unbiased polynomial MMD² of the same features"),
    Metric("clip_score", "CLIP-Score", "", "higher", "clip", 2, "100 times the cosine of frame and prompt"),
    Metric(
        "clip_aesthetic",
        "CLIP-Aesthetic",
        "",
        "higher",
        "clip",
        2,
        "predicted beauty of the frames, about 1 to 10",
    ),
    Metric(
        "qa_quality",
        "QA-Quality",
        "",
        "higher",
        "clip",
        2,
        "quality in the words of a language model, 1 to 5",
    ),
    Metric(
        "matches_first",
        "Avg. matches",
        "",
        "higher",
        "clip",
        1,
        "points matched between frame 0 and each later frame",
    ),
    Metric(
        "matches_next",
        "Avg. matches, frame to frame",
        "",
        "higher",
        "clip",
        1,
        "points matched between neighbouring frames",
    ),
    Metric(
        "match_inliers",
        "Matches on commanded epipolar lines",
        "",
        "higher",
        "clip",
        3,
        "share of the matches with frame 0 that agree with the commanded cameras",
    ),
    Metric(
        "subject_consistency",
        "Subject consistency",
        "",
        "higher",
        "clip",
        4,
        "cosines of each frame with the one before and with the first",
    ),
    Metric(
        "background_consistency",
        "Background consistency",
        "",
        "higher",
        "clip",
        4,
        "the same with features of whole images",
    ),
    Metric(
        "dynamic_degree",
        "Flow magnitude",
        "px",
        None,
        "clip",
        2,
        "mean optical flow between neighbouring frames: a frozen video is consistent, too",
    ),
    Metric(
        "rpe_translation_mean",
        "RPE translation, mean",
        "scene units",
        "lower",
        "clip",
        4,
        "error of the way from frame to frame",
    ),
    Metric(
        "rpe_translation_rmse",
        "RPE translation, RMSE",
        "scene units",
        "lower",
        "clip",
        4,
        "the same, root of the mean square",
    ),
    Metric(
        "rpe_rotation_mean_deg",
        "RPE rotation, mean",
        "deg",
        "lower",
        "clip",
        3,
        "error of the turn from frame to frame",
    ),
    Metric(
        "rpe_rotation_rmse_deg",
        "RPE rotation, RMSE",
        "deg",
        "lower",
        "clip",
        3,
        "the same, root of the mean square",
    ),
    Metric(
        "registered", "Frames registered", "", "higher", "clip", 3, "share of the frames whose pose was found"
    ),
    Metric(
        "rpe_translation_frozen",
        "RPE translation, time frozen",
        "scene units",
        "lower",
        "clip",
        4,
        "mean error of the way along a closed path while nothing moves that could mislead an estimator",
    ),
    Metric(
        "rpe_rotation_frozen_deg",
        "RPE rotation, time frozen",
        "deg",
        "lower",
        "clip",
        3,
        "the same of the turn",
    ),
    Metric(
        "registered_frozen",
        "Frames registered, time frozen",
        "",
        "higher",
        "clip",
        3,
        "share of these frames whose pose was found",
    ),
    Metric(
        "cycle_psnr_frozen",
        "Cycle consistency, time frozen",
        "dB",
        "higher",
        "clip",
        2,
        "first against last frame of a closed path, nothing moves",
    ),
    Metric(
        "cycle_psnr_running",
        "Cycle consistency, time running",
        "dB",
        "higher",
        "clip",
        2,
        "first against last frame of a closed path, time goes on",
    ),
    Metric("psnr", "PSNR", "dB", "higher", "clip", 2, "frames against those of the reference clip"),
    Metric("ssim", "SSIM", "", "higher", "clip", 4, "the same, structural similarity"),
    Metric("lpips", "LPIPS", "", "lower", "clip", 4, "the same, distance of learned features"),
    Metric("depth_abs_rel", "Depth AbsRel", "", "lower", "clip", 3, "relative error of depth"),
    Metric(
        "depth_delta1", "Depth delta1", "", "higher", "clip", 3, "share of depths within a factor of 1.25"
    ),
    Metric("depth_pearson", "Depth Pearson", "", "higher", "clip", 3, "correlation of depth"),
    Metric(
        "apd",
        "APD",
        "",
        "higher",
        "clip",
        3,
        "share of tracked points within a distance, mean over distances",
    ),
    Metric("epe3d", "EPE3D", "", "lower", "clip", 4, "mean distance of tracked points from the true ones"),
    Metric(
        "reconstruction_seconds",
        "Rec. time",
        "s",
        "lower",
        "clip",
        2,
        "from inputs in memory to Gaussians on the device",
    ),
    Metric(
        "latency_ms", "Interactive latency", "ms", "lower", "set", 2, "from a new camera to its frame, median"
    ),
    Metric("memory_gib", "Peak memory", "GiB", "lower", "set", 2, "most memory in use while clips are made"),
)
"""All metrics by key, in the order of reports."""
