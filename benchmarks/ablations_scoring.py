"""The clips of a variant on procedural scenes that training never saw, and their scores."""

from dataclasses import dataclass, replace
from pathlib import Path

from diff4splat import Diff4SplatPipeline
from diff4splat.evaluation.extractors import FeatureCache, default_suite
from diff4splat.evaluation.protocol import (
    PAPER_TRAJECTORIES,
    Evaluation,
    PipelineMaker,
    ScoreLog,
    Shown,
    make_videos,
    score_videos,
    write_procedural_protocol,
)

PATHS = (*PAPER_TRAJECTORIES, "closed-frozen")
"""Those of the paper, and one with time frozen, on which nothing moves that could mislead pose estimators."""


@dataclass(frozen=True)
class Asked:
    """What clips are made and how large they are."""

    scenes: int = 16
    paths: tuple[str, ...] = PATHS
    size: int = 128
    """Image side, pixels; the models themselves work at their own size."""
    num_frames: int = 9
    num_steps: int = 30
    """Sampling steps of the video model."""


def score_variant(
    pipe: Diff4SplatPipeline, output: Path, asked: Asked, *, shown: Shown = "scene", method: str = ""
) -> Evaluation:
    """Make the clips of a variant, and score them against the true ones, without trained networks.

    Args:
        pipe: The variant.
        output: Where the clips are written, to look at; the protocol is written beside its folder.
        asked: The clips.
        shown: What of the pipeline is scored.
        method: Name of the variant.

    Returns:
        Rows for every clip.
    """
    source = output.parent.parent / f"protocol-{asked.scenes}-{asked.size}-{asked.num_frames}"
    source.mkdir(parents=True, exist_ok=True)
    whole = write_procedural_protocol(
        source, num_scenes=asked.scenes, num_frames=asked.num_frames, height=asked.size, width=asked.size
    )
    manifest = replace(whole, clips=tuple(clip for clip in whole.clips if clip.trajectory in asked.paths))
    settings = {"shown": shown, "steps": asked.num_steps, "paths": list(asked.paths)}
    maker = PipelineMaker(pipe, shown=shown, num_steps=asked.num_steps)
    make_videos(maker, manifest, source, output, method=method, settings=settings)
    return score_videos(
        manifest,
        source,
        output,
        extractors=default_suite(poses="two-view"),
        log=ScoreLog(output / "scores.jsonl"),
        cache=FeatureCache(source / "features"),
    )
