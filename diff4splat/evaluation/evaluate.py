"""From a model, or from anybody's videos, to a folder with scores and a report."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.cache import FeatureCache
from diff4splat.evaluation.extractors.suite import ExtractorSuite
from diff4splat.evaluation.metrics.poses import PathScale
from diff4splat.evaluation.protocol.making import ClipMaker
from diff4splat.evaluation.protocol.manifest import Manifest
from diff4splat.evaluation.protocol.score_files import save_evaluation
from diff4splat.evaluation.protocol.score_log import ScoreLog
from diff4splat.evaluation.protocol.scores import REAL_CLIPS, Evaluation
from diff4splat.evaluation.protocol.scoring import score_references, score_videos
from diff4splat.evaluation.protocol.summary import EvaluationSummary, summarize
from diff4splat.evaluation.protocol.video_folder import METHOD_FILE, make_videos, read_method
from diff4splat.evaluation.protocol.videos import find_video, load_clip
from diff4splat.evaluation.reports import Section, write_report
from diff4splat.files import folder_lock

__all__ = ["VIDEOS", "Evaluated", "evaluate_method", "evaluate_videos"]

VIDEOS = "videos"
"""Folder of the videos that `evaluate_method` makes."""
_REAL, _WORK = "real", "work"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What an evaluation came to.

    Args:
        evaluation: Scores of the method.
        summary: The same, one line per metric.
        others: Other methods in the report: those asked for, and the real clips, where the protocol has them.
        files: What was written.
    """

    evaluation: Evaluation
    summary: EvaluationSummary
    others: tuple[EvaluationSummary, ...]
    files: tuple[Path, ...]


def evaluate_method(
    maker: ClipMaker,
    manifest: Manifest,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    method: str,
    extractors: ExtractorSuite,
    settings: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    capabilities: Mapping[str, bool] | None = None,
    device: torch.device | None = None,
    callback: Progress | None = None,
    **options: Any,
) -> Evaluated:
    """Make the clips of a protocol with a method, score them, and write the report.

    The same call with the same folder goes on where a run was stopped.

    Args:
        maker: The method, for instance a `PipelineMaker`.
        manifest: What is asked for.
        source: Folder of the manifest, from which its paths count.
        output: Folder of the evaluation; the videos go to `videos` in it.
        method: Name of the method.
        extractors: What is measured with.
        settings: What is run, JSON values; videos of other settings are not mixed.
        machine: What it runs on, JSON values.
        capabilities: What the method can be used for, by keys of `CAPABILITIES`.
        device: Where the method works; the CPU when omitted.
        callback: Called as `callback(stage, done, total)`.
        **options: Of `evaluate_videos`.

    Returns:
        Scores, summary and files.

    Raises:
        ValueError: If the folder holds videos of other settings.
        FileNotFoundError: If files of the manifest are missing.
    """
    report = callback or _silent
    videos = Path(output) / VIDEOS
    manifest.check_files(source)
    make_videos(
        maker,
        manifest,
        source,
        videos,
        method=method,
        settings={**(settings or {}), "protocol": manifest.fingerprint},
        machine=machine,
        capabilities=capabilities,
        device=device,
        callback=lambda done, total: report("make clips", done, total),
    )
    return evaluate_videos(
        videos,
        manifest,
        source,
        output,
        method=method,
        extractors=extractors,
        callback=callback,
        **options,
    )


def evaluate_videos(
    videos: str | os.PathLike[str],
    manifest: Manifest,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    extractors: ExtractorSuite,
    method: str | None = None,
    pose_scale: PathScale = "steps",
    beside: Sequence[EvaluationSummary] = (),
    more: Callable[[], Sequence[Section]] | None = None,
    num_examples: int = 6,
    command: str = "",
    callback: Progress | None = None,
) -> Evaluated:
    """Score a folder of videos of any method, and write the report.

    Args:
        videos: The videos, see `score_videos`.
        manifest: What was asked for.
        source: Folder of the manifest, from which its paths count.
        output: Folder of the evaluation: `report.html`, `report.md`, `report.tex`, the scores (see
            `save_evaluation`), the real clips scored in the same way in `real`, and `work`, by which a run
            that was stopped goes on, and which may be removed.
        extractors: What is measured with.
        method: Name of the method; found in the folder of the videos when omitted.
        pose_scale: How estimated paths get their scale, see `relative_pose_errors`.
        beside: Other methods to print in the tables.
        more: Makes further parts of the report; called when the clips are scored.
        num_examples: Clips that the report shows frames of.
        command: What was typed, for the report.
        callback: Called as `callback(stage, done, total)`.

    Returns:
        Scores, summary and files.

    Raises:
        FileNotFoundError: If there is no such folder of videos, or files of the manifest are missing.
        ValueError: If there is a video of no clip at all, `output` holds scores of another method or another
            process is working in it, or a file is damaged in a way that is no problem of a single clip.
    """
    report = callback or _silent
    source, output, videos = Path(source), Path(output), Path(videos)
    manifest.check_files(source)
    name = _method_name(videos, manifest, method)
    _check_other_method(output, name)
    work = output / _WORK
    work.mkdir(parents=True, exist_ok=True)
    with folder_lock(work):
        cache = FeatureCache(work / "features")
        shared: dict[str, Any] = {"extractors": extractors, "pose_scale": pose_scale, "cache": cache}
        evaluation = score_videos(
            manifest,
            source,
            videos,
            method=name,
            log=ScoreLog(work / "scores.jsonl"),
            command=command,
            callback=lambda done, total: report("score clips", done, total),
            **shared,
        )
        real = None
        if any(clip.reference for clip in manifest.clips):
            scored = score_references(
                manifest,
                source,
                log=ScoreLog(work / "real.jsonl"),
                callback=lambda done, total: report("score real clips", done, total),
                **shared,
            )
            save_evaluation(scored, output / _REAL)
            real = summarize(scored)
        files = list(save_evaluation(evaluation, output).files)
        summary = summarize(evaluation)
        examples = _examples(manifest, source, videos, evaluation.method, num_examples)
        others = (*beside, *(() if real is None else (real,)))
        files += write_report(
            output, evaluation, summary, frames=examples, others=others, more=() if more is None else more()
        )
        return Evaluated(evaluation, summary, others, tuple(files))


def _method_name(videos: Path, manifest: Manifest, given: str | None) -> str:
    """Name of the method, once there is something to score."""
    if not videos.is_dir():
        raise FileNotFoundError(f"no such folder of videos: {videos}")
    facts = read_method(videos)
    names = [clip.name for clip in manifest.clips]
    if not any(name in facts.missing or _is_there(videos, name) for name in names):
        raise ValueError(
            f"videos must hold a video per clip, such as {names[0]}.mp4 or a folder of pictures {names[0]}, "
            f"got {videos}, which has none of the {len(names)} clips of the manifest."
        )
    if facts.seconds and not facts.seconds.keys() & set(names):
        raise ValueError(
            f"seconds of {videos / METHOD_FILE} must name clips, such as {names[0]!r}, "
            f"got {next(iter(facts.seconds))!r}."
        )
    return given or facts.method or videos.resolve().name


def _is_there(videos: Path, name: str) -> bool:
    """Whether there is a video of a clip, or several."""
    try:
        find_video(videos, name)
    except FileNotFoundError:
        return False
    except ValueError:
        pass
    return True


def _check_other_method(output: Path, method: str) -> None:
    """Scores of another method are not replaced."""
    try:
        there = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))["method"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # there are none that can be read
    if there != method:
        raise ValueError(
            f"output must be a folder for {method!r}, got {output}, which holds the scores of {there!r}: "
            f"choose another folder, or remove {output / 'evaluation.json'}."
        )


def _examples(
    manifest: Manifest, source: Path, videos: Path, method: str, count: int
) -> dict[str, dict[str, UInt8[Tensor, "frame rgb=3 height width"]]]:
    """Frames of some clips, one scene and path after another: real and made."""
    chosen = [clip for clip in manifest.clips if not clip.closed]
    step = max(1, len(chosen) // max(1, count))
    found: dict[str, dict[str, Tensor]] = {}
    for clip in chosen[::step][:count]:
        places = {method: (videos, clip.name)}
        if clip.reference:
            places[REAL_CLIPS] = (source, clip.reference)
        for name, (folder, video) in places.items():
            loaded = load_clip(
                folder, video, num_frames=manifest.num_frames, height=manifest.height, width=manifest.width
            )
            if loaded.frames is not None:
                found.setdefault(clip.name, {})[name] = loaded.frames
    return found


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
