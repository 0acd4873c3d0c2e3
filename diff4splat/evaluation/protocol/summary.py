"""Scores of a method as one line per metric: the mean over scenes, how sure it is, and what is missing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from diff4splat.evaluation.metrics.distributions import SET_DISTANCES
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.cautions import cautions
from diff4splat.evaluation.protocol.score_groups import (
    UNBIASED_DISTANCES,
    ScoreGroup,
    clip_scenes,
    compared_features,
    counted,
    featureless_clips,
    score_groups,
    set_scores_by_metric,
)
from diff4splat.evaluation.protocol.scores import Evaluation, SetScore
from diff4splat.evaluation.statistics import Distance, Estimate, clustered_estimate, jackknife_estimate

__all__ = ["EvaluationSummary", "MetricSummary", "summarize"]


@dataclass(frozen=True)
class MetricSummary:
    """A metric of a method.

    Args:
        metric: Key of `METRICS`.
        estimate: Mean over scenes and its interval, `count` being scenes; for a number of the whole set the
            number itself, without an interval where none would be valid, `count` being clips.
        missing: Clips that have no number.
        problems: Why, in words, each with the number of clips; most frequent first.
        extractor: Key of the spec; empty where none is needed.
        trajectory: The path whose clips these are; empty for all of them.
    """

    metric: str
    estimate: Estimate
    missing: int = 0
    problems: tuple[tuple[str, int], ...] = ()
    extractor: str = ""
    trajectory: str = ""


@dataclass(frozen=True)
class EvaluationSummary:
    """All metrics of a method.

    Args:
        method: Its name.
        rows: Over all clips, in the order of `METRICS`.
        by_trajectory: The same for each path.
        warnings: What a reader must know before comparing, in words.
    """

    method: str
    rows: tuple[MetricSummary, ...]
    by_trajectory: tuple[MetricSummary, ...] = ()
    warnings: tuple[str, ...] = ()


def summarize(
    evaluation: Evaluation,
    *,
    distances: Mapping[str, Distance] = SET_DISTANCES,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> EvaluationSummary:
    """One line per metric, with intervals over scenes, what is missing, and what a reader must know.

    Numbers of clips are averaged per scene and then over scenes (`clustered_estimate`). Numbers of the whole
    set have no interval, but for KVD where its features are at hand (`jackknife_estimate`). A metric that was
    measured with two extractors has two lines.

    Args:
        evaluation: What was measured. Its fact "frames" is the number of frames of a clip.
        distances: Distance of a set of clips by metric, such as "fvd"; with it the warning about few clips
            says how far apart chance alone puts two sets.
        num_resamples: Resamples of the bootstrap, at least 1.
        seed: Seed of the bootstrap and of chance, >= 0.

    Returns:
        The summary.

    Raises:
        ValueError: If a score has an unknown metric, is of a clip that was not asked for, or is there twice.
    """
    groups = score_groups(evaluation)
    sets = set_scores_by_metric(evaluation)

    def line(group: ScoreGroup, trajectory: str = "") -> MetricSummary:
        estimate = clustered_estimate(group.values, group.scenes, num_resamples=num_resamples, seed=seed)
        return MetricSummary(
            group.metric, estimate, group.missing, group.counted_problems(), group.extractor, trajectory
        )

    lines = [line(group) for group in groups]
    lines += [_set_line(evaluation, score, distances) for scores in sets.values() for score in scores]
    order = list(METRICS)
    paths = dict.fromkeys(path for group in groups for path in group.trajectories)
    parts = [(path, group.of_trajectory(path)) for path in paths for group in groups]
    return EvaluationSummary(
        evaluation.method,
        tuple(sorted(lines, key=lambda row: order.index(row.metric))),
        tuple(line(part, path) for path, part in parts if part.clips),
        cautions(evaluation, distances=distances, seed=seed),
    )


def _set_line(evaluation: Evaluation, score: SetScore, distances: Mapping[str, Distance]) -> MetricSummary:
    """A number of the whole set; missing are clips whose real counterpart is there and theirs is not."""
    low, high = _unbiased_interval(evaluation, score, distances)
    estimate = Estimate(score.value, low, high, score.count)
    problems = [(score.problem or "no reason given", score.count)] if math.isnan(score.value) else []
    reasons = featureless_clips(evaluation) if score.extractor else {}
    lost = set(reasons)
    if score.extractor in evaluation.features and score.extractor in evaluation.references:
        wanted = set(evaluation.references[score.extractor].clips) & set(evaluation.clips)
        lost |= wanted - set(evaluation.features[score.extractor].clips)
    problems += counted(reasons.get(clip, "no features") for clip in lost)
    return MetricSummary(score.metric, estimate, len(lost), tuple(problems), score.extractor)


def _unbiased_interval(
    evaluation: Evaluation, score: SetScore, distances: Mapping[str, Distance]
) -> tuple[float, float]:
    """Interval of KVD over scenes, where its features are at hand and give the same number."""
    made, real = compared_features(evaluation, score)
    known = score.metric in UNBIASED_DISTANCES and score.metric in distances and not math.isnan(score.value)
    if not (known and made and real):
        return math.nan, math.nan
    scenes = clip_scenes(evaluation)
    found = jackknife_estimate(
        made.features,
        real.features,
        [scenes.get(clip, clip) for clip in made.clips],
        [scenes.get(clip, clip) for clip in real.clips],
        distances[score.metric],
    )
    if not math.isclose(found.value, score.value, rel_tol=1e-3, abs_tol=1e-6):
        return math.nan, math.nan
    return found.low, found.high
