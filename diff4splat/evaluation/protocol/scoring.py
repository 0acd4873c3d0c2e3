"""Videos of any method to numbers: each clip by every metric that its frames, prompt and cameras allow."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.cameras import Cameras, load_cameras
from diff4splat.evaluation.extractors.cache import FeatureCache, cached
from diff4splat.evaluation.extractors.protocols import ClipFeatures, check_clip_features
from diff4splat.evaluation.extractors.suite import ExtractorSuite
from diff4splat.evaluation.metrics.distributions import SET_DISTANCES
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.metrics.poses import PathScale
from diff4splat.evaluation.protocol.clip_tasks import clip_tasks, rows_without_reference, score_row, task_rows
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.score_log import ScoredClip, ScoreLog
from diff4splat.evaluation.protocol.scores import (
    FEATURELESS,
    REAL_CLIPS,
    ClipFeatureSet,
    Evaluation,
    Score,
    SetScore,
)
from diff4splat.evaluation.protocol.video_folder import MethodFacts, read_method
from diff4splat.evaluation.protocol.videos import load_clip

__all__ = ["score_references", "score_videos"]

_Frames = UInt8[Tensor, "frame rgb=3 height width"]


def score_videos(
    manifest: Manifest,
    source: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    *,
    extractors: ExtractorSuite,
    method: str | None = None,
    pose_scale: PathScale = "steps",
    log: ScoreLog | None = None,
    cache: FeatureCache | None = None,
    command: str = "",
    callback: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a folder of videos, whoever made them.

    A clip that is missing or not as asked for is a row without a number and with the reason; nothing is left
    out in silence. Closed paths give cycle consistency, and pose errors where time stands still, and no more;
    everything else comes from the others.

    Args:
        manifest: What was asked for.
        source: Folder of the manifest, from which its paths count.
        videos: Folder of the videos: `<clip>.mp4` or a folder of pictures `<clip>/`, and `method.json` where
            there is one.
        extractors: What is measured with.
        method: Name of the method; that of `method.json`, or of the folder, when omitted.
        pose_scale: How estimated paths get their scale, see `relative_pose_errors`.
        log: Where clips that are done are noted, so that a run that was stopped goes on. A clip of which a
            metric broke down is not noted, and measured anew next time.
        cache: Where features are kept.
        command: What was typed, for reports.
        callback: Called with the clips done and of all, after each.

    Returns:
        Rows for every clip, and FVD and KVD of the whole.

    Raises:
        FileNotFoundError: If there is no folder of videos, or a file of the manifest is missing.
        ValueError: If `method.json` is damaged.
    """
    videos = Path(videos)
    if not videos.is_dir():
        raise FileNotFoundError(f"no such folder of videos: {videos}")
    facts = read_method(videos)
    name = method or facts.method or videos.resolve().name

    def load(clip: EvaluationClip) -> tuple[_Frames | None, str]:
        if clip.name in facts.missing:
            return None, facts.missing[clip.name]
        return _load(videos, clip.name, manifest)

    found = _score(manifest, Path(source), load, name, facts, extractors, pose_scale, log, cache, callback)
    return replace(found, facts={**found.facts, "command": command}) if command else found


def score_references(
    manifest: Manifest,
    source: str | os.PathLike[str],
    *,
    extractors: ExtractorSuite,
    pose_scale: PathScale = "steps",
    log: ScoreLog | None = None,
    cache: FeatureCache | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score the real clips of a protocol as if they were those of a method.

    What they reach is what the extractors allow: the pose errors of real clips are those of the pose
    estimator alone.

    Args:
        manifest: What was asked for.
        source: Folder of the manifest.
        extractors: What is measured with.
        pose_scale: As in `score_videos`.
        log: As in `score_videos`.
        cache: As in `score_videos`.
        callback: As in `score_videos`.

    Returns:
        As `score_videos`; distances to the real clips, which would be to themselves, are left out.
    """
    source = Path(source)

    def load(clip: EvaluationClip) -> tuple[_Frames | None, str]:
        return _reference(clip, source, manifest)

    facts = MethodFacts(method=REAL_CLIPS)
    return _score(
        manifest, source, load, REAL_CLIPS, facts, extractors, pose_scale, log, cache, callback, real=True
    )


def _score(
    manifest: Manifest,
    source: Path,
    load: Callable[[EvaluationClip], tuple[_Frames | None, str]],
    method: str,
    facts: MethodFacts,
    extractors: ExtractorSuite,
    pose_scale: PathScale,
    log: ScoreLog | None,
    cache: FeatureCache | None,
    callback: Callable[[int, int], None] | None,
    real: bool = False,
) -> Evaluation:
    paths = _cameras(manifest, source)
    used = extractors if cache is None else _with_cache(extractors, cache)
    scores: list[Score] = []
    features = _Features("" if used.clips is None else used.clips.spec.key)
    timed: set[tuple[object, ...]] = set()
    for done, clip in enumerate(manifest.clips):
        frames, problem = load(clip)
        compared = bool(clip.reference) and not (real or clip.closed)
        reference, lost = _reference(clip, source, manifest) if compared else (None, "")
        cameras = paths[clip.cameras]
        fingerprint = _fingerprint(clip, frames, reference, cameras, extractors, pose_scale, problem + lost)
        if log is not None and log.done(clip.name, fingerprint):
            found = log.scored(clip.name, fingerprint)
        else:
            tasks = clip_tasks(clip, frames, reference, cameras, used, pose_scale)
            outcomes = [task_rows(clip, task, frames is not None, problem) for task in tasks]
            rows = [score for part, _ in outcomes for score in part]
            if lost:
                rows += rows_without_reference(clip, extractors, problem or f"real clip: {lost}")
            pair = [({}, "") if clip.closed else _vector(used, shown) for shown in (frames, reference)]
            found = ScoredClip(clip.name, fingerprint, tuple(rows), *(vectors for vectors, _ in pair))
            failed = next((why for _, why in pair if why), "")
            if failed:
                features.lost[clip.name] = failed
            if log is not None and not (failed or any(broken for _, broken in outcomes)):
                log.add(found)
        scores += found.scores
        features.add(found)
        # two clips rendered from one scene have its time twice, see `PipelineMaker`; it counts once
        made = (clip.image, clip.cameras, clip.prompt, clip.seed, facts.seconds.get(clip.name))
        if clip.name in facts.seconds and made not in timed:
            timed.add(made)
            scores.append(score_row(clip, "reconstruction_seconds", facts.seconds[clip.name]))
        if callback is not None:
            callback(done + 1, len(manifest.clips))
    sets = [] if real else _distances(features.made, features.real, manifest, used.clips)
    for metric, value in (("latency_ms", facts.latency_ms), ("memory_gib", facts.memory_gib)):
        if value is not None:
            sets.append(SetScore(metric, value, len(facts.seconds)))
    return Evaluation(
        method=method,
        manifest=manifest.fingerprint,
        clips=tuple(clip.name for clip in manifest.clips),
        scores=tuple(scores),
        set_scores=tuple(sets),
        extractors=extractors.specs(),
        features={features.key: _feature_set(features.made)} if features.made else {},
        references={features.key: _feature_set(features.real)} if features.real else {},
        facts=_facts(manifest, facts, pose_scale) | ({FEATURELESS: features.lost} if features.lost else {}),
    )


class _Features:
    """Clip features of the method and of the real clips, and why clips have none that can be used."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.made: dict[str, Tensor] = {}
        self.real: dict[str, Tensor] = {}
        self.lost: dict[str, str] = {}
        self._width: int | None = None  # of the first clip that has any

    def add(self, found: ScoredClip) -> None:
        """Keep what can be used of a clip."""
        for kept, vectors in ((self.made, found.features), (self.real, found.references)):
            vector = vectors.get(self.key)
            if vector is None:
                continue
            if not vector.isfinite().all():
                self.lost[found.clip] = "features are not finite"
            elif self._width not in (None, len(vector)):
                self.lost[found.clip] = f"{len(vector)} features, clips before had {self._width}"
            else:
                self._width = len(vector)
                kept[found.clip] = vector


def _vector(extractors: ExtractorSuite, frames: _Frames | None) -> tuple[dict[str, Tensor], str]:
    """Features of a clip, where it has as many frames as they need, and why the network failed."""
    network = extractors.clips
    if frames is None or network is None or len(frames) < network.min_frames:
        return {}, ""
    try:
        found = network(frames[None])
        check_clip_features(network.spec, found, 1)
    except (ValueError, RuntimeError, ArithmeticError) as error:
        return {}, str(error).strip() or type(error).__name__
    return {network.spec.key: found[0] if found.dtype == torch.float64 else found[0].float()}, ""


def _with_cache(extractors: ExtractorSuite, cache: FeatureCache) -> ExtractorSuite:
    """The same extractors, those of features asking the cache first."""
    names = ("clips", "subject", "background", "prompts", "levels")
    kept = {name: getattr(extractors, name) for name in names}
    return replace(extractors, **{name: cached(e, cache) for name, e in kept.items() if e is not None})


def _distances(
    features: Mapping[str, Tensor],
    references: Mapping[str, Tensor],
    manifest: Manifest,
    network: ClipFeatures | None,
) -> list[SetScore]:
    """FVD and KVD over the clips that both sides have."""
    if network is None:
        return []
    names = [clip.name for clip in manifest.clips if clip.name in features and clip.name in references]
    rows = []
    for metric, distance in SET_DISTANCES.items():
        value, problem = math.nan, ""
        if not any(clip.reference for clip in manifest.clips):
            problem = "the manifest names no real clips"
        elif manifest.num_frames < network.min_frames:
            problem = f"clips have {manifest.num_frames} frames, the network needs {network.min_frames}"
        elif len(names) < 2:
            problem = f"two clips and their real ones must have features, {len(names)} have"
        else:
            pair = [torch.stack([side[name] for name in names]) for side in (features, references)]
            value = float(distance(*pair))
        rows.append(SetScore(metric, value, len(names), len(names), network.spec.key, problem))
    return rows


def _reference(clip: EvaluationClip, source: Path, manifest: Manifest) -> tuple[_Frames | None, str]:
    """Real frames of a clip."""
    if not clip.reference:
        return None, "there is no real clip"
    return _load(source, clip.reference, manifest)


def _load(folder: Path, name: str, manifest: Manifest) -> tuple[_Frames | None, str]:
    """Frames, or the reason in words that are the same for all clips with this problem, on any machine."""
    found = load_clip(
        folder, name, num_frames=manifest.num_frames, height=manifest.height, width=manifest.width
    )
    problem = found.problem
    if found.path is not None:
        problem = problem.replace(str(found.path), "the video")
    for part in (f" of clip {name!r}", f" in {folder}", f"{folder}{os.sep}"):
        problem = problem.replace(part, "")
    return found.frames, problem.rstrip(".")


def _fingerprint(
    clip: EvaluationClip,
    frames: _Frames | None,
    reference: _Frames | None,
    cameras: Cameras,
    extractors: ExtractorSuite,
    pose_scale: PathScale,
    problem: str,
) -> str:
    """Stands for everything that the rows of a clip follow from."""
    digest = hashlib.sha256()
    used = {part.name: getattr(extractors, part.name) for part in fields(extractors)}
    purposes = [f"{name} {one.spec.key}" for name, one in used.items() if one is not None]
    facts = (repr(clip), pose_scale, problem, f"{cameras.height} x {cameras.width}")
    for text in (*facts, *purposes, *METRICS):  # a version that measures more measures anew
        digest.update(text.encode() + b"\0")
    for tensor in (frames, reference, cameras.camera_to_world, cameras.intrinsics):
        digest.update(b"none" if tensor is None else str(tuple(tensor.shape)).encode())
        if tensor is not None:
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _cameras(manifest: Manifest, source: Path) -> dict[str, Cameras]:
    """Cameras by file, read before any work: there must be one for each frame."""
    paths = {}
    for file in dict.fromkeys(clip.cameras for clip in manifest.clips):
        paths[file] = load_cameras(source / file)
        if (found := paths[file].num_frames) != manifest.num_frames:
            raise ValueError(
                f"{source / file} must have a camera per frame, {manifest.num_frames}, got {found}."
            )
    return paths


def _feature_set(features: Mapping[str, Tensor]) -> ClipFeatureSet:
    return ClipFeatureSet(tuple(features), torch.stack(list(features.values())))


def _facts(manifest: Manifest, facts: MethodFacts, pose_scale: PathScale) -> dict[str, Any]:
    """What a reader should know beside the numbers."""
    return {
        "protocol": manifest.name,
        "frames": manifest.num_frames,
        "size": f"{manifest.width} x {manifest.height}",
        "scale of estimated paths": pose_scale,
        "settings": dict(facts.settings),
        "machine": dict(facts.machine),
        "latency": facts.latency_note,
        "memory": facts.memory_note,
        "capabilities": dict(facts.capabilities),
    }
