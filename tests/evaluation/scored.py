"""Evaluations with numbers that are drawn, not measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from diff4splat.evaluation import ClipFeatureSet, Evaluation, Score
from diff4splat.evaluation.extractors import ExtractorSpec

PATHS = ("spiral", "forward", "upward")
SPEC = ExtractorSpec("drawn features", "all", "none", "seed 0", trained=False)
TRAINED = ExtractorSpec("a network", "logits", "224 x 224", "sha256:0", licence="free")


def clip_names(num_scenes: int, paths: Sequence[str] = PATHS) -> tuple[str, ...]:
    return tuple(f"scene{scene:02}/{path}" for scene in range(num_scenes) for path in paths)


def score(clip: str, metric: str, value: float, extractor: str = "", problem: str = "") -> Score:
    scene, _, path = clip.rpartition("/")
    return Score(clip, scene, path, metric, value, extractor, problem)


def scored(
    method: str,
    values: Mapping[str, Sequence[float]],
    *,
    num_scenes: int,
    paths: Sequence[str] = PATHS,
    extractors: Mapping[str, str] | None = None,
    **fields: object,
) -> Evaluation:
    """Scores of all clips, one list of numbers per metric; NaN comes with a problem."""
    clips = clip_names(num_scenes, paths)
    keys = extractors or {}
    scores = tuple(
        score(clip, metric, float(value), keys.get(metric, ""), "it failed" if math.isnan(value) else "")
        for metric, numbers in values.items()
        for clip, value in zip(clips, numbers, strict=True)
    )
    specs = {spec.key: spec for spec in (SPEC, TRAINED)}
    return replace(Evaluation(method, "sha256:1", clips, scores, extractors=specs), **fields)


def scene_effects(seed: int, num_scenes: int, spread: float, noise: float) -> np.ndarray:
    """Numbers of all clips in the order of `clip_names`, with a spread between scenes and one within."""
    draw = np.random.default_rng(seed)
    scenes = np.repeat(spread * draw.normal(size=num_scenes), len(PATHS))
    return scenes + noise * draw.normal(size=num_scenes * len(PATHS))


def feature_set(seed: int, num_scenes: int, *, shift: float = 0.0, width: int = 3) -> ClipFeatureSet:
    """Features of all clips around what their scenes show."""
    content = np.repeat(np.random.default_rng(99).normal(size=(num_scenes, width)), len(PATHS), axis=0)
    own = 0.3 * np.random.default_rng(seed).normal(size=content.shape)
    return ClipFeatureSet(clip_names(num_scenes), torch.from_numpy(content + own + shift))


def moments(features: torch.Tensor, real: torch.Tensor) -> float:
    """A cheap distance: of means and of spreads."""
    means, spreads = (f(features, 0) - f(real, 0) for f in (torch.mean, torch.std))
    return float((means * means).sum() + (spreads * spreads).sum())
