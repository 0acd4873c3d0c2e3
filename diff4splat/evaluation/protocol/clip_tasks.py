"""What is measured of one clip: pieces of work by metric, and their rows, with the reason where one fails."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors.flow import clip_motion
from diff4splat.evaluation.extractors.match_counts import average_matches
from diff4splat.evaluation.extractors.protocols import FrameFeatures, Matcher, PoseEstimator
from diff4splat.evaluation.extractors.suite import ExtractorSuite
from diff4splat.evaluation.metrics.consistency import temporal_consistency
from diff4splat.evaluation.metrics.cycle import cycle_consistency_psnr, is_closed
from diff4splat.evaluation.metrics.images import psnr
from diff4splat.evaluation.metrics.poses import PathScale, path_scores
from diff4splat.evaluation.metrics.prompts import clip_score
from diff4splat.evaluation.metrics.quality import level_score
from diff4splat.evaluation.metrics.structural_similarity import ssim
from diff4splat.evaluation.protocol.manifest import EvaluationClip
from diff4splat.evaluation.protocol.scores import Score

__all__ = ["ClipTask", "clip_tasks", "rows_without_reference", "score_row", "task_rows"]

_Frames = UInt8[Tensor, "frame rgb=3 height width"]
_MATCHES = ("matches_first", "matches_next", "match_inliers")
_POSES = (
    "rpe_translation_mean",
    "rpe_translation_rmse",
    "rpe_rotation_mean_deg",
    "rpe_rotation_rmse_deg",
    "registered",
)
_FROZEN_POSES = {
    "rpe_translation_frozen": "rpe_translation_mean",
    "rpe_rotation_frozen_deg": "rpe_rotation_mean_deg",
    "registered_frozen": "registered",
}


@dataclass(frozen=True)
class ClipTask:
    """Metrics that are found by one piece of work.

    Args:
        metrics: Keys of `METRICS`.
        work: Gives a number, or several under the names of metrics, or those and in words why some of them
            are NaN.
        extractor: Key of the spec of what the work is done with; empty where nothing is needed.
    """

    metrics: tuple[str, ...]
    work: Callable[[], Any]
    extractor: str = ""


def clip_tasks(
    clip: EvaluationClip,
    frames: _Frames | None,
    reference: _Frames | None,
    cameras: Cameras,
    extractors: ExtractorSuite,
    pose_scale: PathScale,
) -> list[ClipTask]:
    """All that is to be measured of a clip; nothing is done yet.

    Args:
        clip: What was asked for. A closed path gives cycle consistency, and where time stands still pose
            errors, and no more.
        frames: What came; None where nothing did, so that the work cannot be done.
        reference: Real frames; None where there are none to compare with.
        cameras: Commanded cameras.
        extractors: What is measured with.
        pose_scale: How an estimated path gets its scale.

    Returns:
        The pieces of work, in the order of tables.
    """
    shown = torch.zeros(0, 3, 1, 1, dtype=torch.uint8) if frames is None else frames
    if clip.closed:
        metric = "cycle_psnr_frozen" if clip.frozen else "cycle_psnr_running"
        closed = [ClipTask((metric,), lambda: _closure(shown, cameras))]
        if clip.frozen and (still := extractors.poses) is not None:
            closed.append(
                ClipTask(
                    tuple(_FROZEN_POSES),
                    lambda: _frozen_poses(still, shown, cameras, pose_scale),
                    still.spec.key,
                )
            )
        return closed
    tasks: list[ClipTask] = []

    def add(metrics: str | tuple[str, ...], work: Callable[[], Any], extractor: Any = None) -> None:
        names = (metrics,) if isinstance(metrics, str) else metrics
        tasks.append(ClipTask(names, work, "" if extractor is None else extractor.spec.key))

    e = extractors
    if (p := e.prompts) is not None and clip.prompt:
        add("clip_score", lambda: clip_score(_per_frame(p, shown), p.text([clip.prompt])[0]), p)
    if (b := e.beauty) is not None:
        add("clip_aesthetic", lambda: b(shown).mean(), b)
    if (q := e.levels) is not None:
        add("qa_quality", lambda: level_score(q(shown), scale="one_to_five"), q)
    if (m := e.matcher) is not None:
        add(_MATCHES, lambda: _matching(m, shown, cameras), m)
    if (s := e.subject) is not None:
        add("subject_consistency", lambda: temporal_consistency(_per_frame(s, shown)), s)
    if (g := e.background) is not None:
        add("background_consistency", lambda: temporal_consistency(_per_frame(g, shown)), g)
    if (f := e.flow) is not None:
        add("dynamic_degree", lambda: clip_motion(shown, f).mean_px, f)
    if (o := e.poses) is not None:
        add(_POSES, lambda: _poses(o, shown, cameras, pose_scale), o)
    if reference is not None:
        image, real = _float(shown), _float(reference)
        add("psnr", lambda: psnr(image, real).mean())
        add("ssim", lambda: ssim(image, real).mean())
        if (d := e.distance) is not None:
            add("lpips", lambda: d(image, real).mean(), d)
    return tasks


def task_rows(clip: EvaluationClip, task: ClipTask, present: bool, problem: str) -> tuple[list[Score], bool]:
    """Do a piece of work.

    Args:
        clip: Whose it is.
        task: The work.
        present: Whether there are frames; without them nothing is done.
        problem: Why there are none.

    Returns:
        One row per metric, NaN with the reason where the work fails; and whether it broke down in a way that
        may not happen again, as for want of memory.
    """
    if not present:
        return [score_row(clip, metric, math.nan, task.extractor, problem) for metric in task.metrics], False
    broken = False
    try:
        result = task.work()
        found, why = result if isinstance(result, tuple) else (result, "")
        if not isinstance(found, Mapping):
            found = {task.metrics[0]: float(found)}
    except (ValueError, RuntimeError, ArithmeticError) as error:
        found, why = {}, str(error).strip() or type(error).__name__
        broken = isinstance(error, RuntimeError)  # a full memory, for instance
    rows = [
        score_row(clip, metric, float(found.get(metric, math.nan)), task.extractor, why)
        for metric in task.metrics
    ]
    return rows, broken


def rows_without_reference(clip: EvaluationClip, extractors: ExtractorSuite, why: str) -> list[Score]:
    """Rows of a clip that cannot be compared with its real one, because that cannot be read.

    Args:
        clip: The clip.
        extractors: What would have been measured with.
        why: The reason.

    Returns:
        One row per metric, without a number.
    """
    keys = {"psnr": "", "ssim": ""}
    if extractors.distance is not None:
        keys["lpips"] = extractors.distance.spec.key
    return [score_row(clip, metric, math.nan, key, why) for metric, key in keys.items()]


def score_row(
    clip: EvaluationClip, metric: str, value: float, extractor: str = "", problem: str = ""
) -> Score:
    """A row, which has either a finite number or a reason.

    Args:
        clip: The clip.
        metric: Key of `METRICS`.
        value: The number; one that is not finite becomes NaN.
        extractor: Key of the spec; empty where none is needed.
        problem: The reason, for a number that is not finite.

    Returns:
        The row.
    """
    finite = math.isfinite(value)
    told = "" if finite else problem or f"{metric} is {value}"
    return Score(
        clip.name, clip.scene, clip.trajectory, metric, value if finite else math.nan, extractor, told
    )


def _per_frame(extractor: FrameFeatures, frames: _Frames) -> Tensor:
    """Features, one vector for each frame."""
    found = extractor(frames)
    if len(found) != len(frames):
        raise ValueError(
            f"{extractor.spec.name} must give one vector per frame, {len(frames)}, got {len(found)}"
        )
    return found


def _closure(frames: _Frames, cameras: Cameras) -> Tensor:
    """Cycle consistency of a path that does end where it starts."""
    if not bool(is_closed(cameras)):
        raise ValueError("the path is no closed one: its last camera is not the first, or none leaves it")
    return cycle_consistency_psnr(_float(frames))


def _matching(matcher: Matcher, frames: _Frames, cameras: Cameras) -> tuple[dict[str, float], str]:
    """Matches of frame 0 with each later frame and of neighbours; how many agree with the cameras."""
    found = average_matches(matcher, frames, cameras)
    numbers = (found.first_mean, found.next_mean, found.inlier_share)
    return dict(zip(_MATCHES, numbers, strict=True)), "no later frame has a match with frame 0"


def _poses(
    estimator: PoseEstimator, frames: _Frames, cameras: Cameras, scale: PathScale
) -> tuple[dict[str, float], str]:
    """Errors of the estimated path, and why some are missing."""
    expected, got = tuple(frames.shape[-2:]), (cameras.height, cameras.width)
    if got != expected:  # the lens of other frames would give a path that looks like one
        raise ValueError(f"cameras must be those of frames of {expected} pixels, got {got}.")
    path = estimator(frames, cameras.intrinsics[0])
    found = path_scores(path.cameras, cameras, registered=path.registered, scale=scale)
    why = "; ".join(part for part in (path.note, found.problem) if part)
    return {name: getattr(found, name) for name in _POSES}, why


def _frozen_poses(
    estimator: PoseEstimator, frames: _Frames, cameras: Cameras, scale: PathScale
) -> tuple[dict[str, float], str]:
    """The same of a scene at rest, under the names of its own."""
    found, why = _poses(estimator, frames, cameras, scale)
    return {name: found[of] for name, of in _FROZEN_POSES.items()}, why


def _float(frames: _Frames) -> Tensor:
    return frames.float() / 255
