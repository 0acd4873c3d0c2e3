"""Lines of a comparison for metrics that have one number per clip."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import torch

from diff4splat.evaluation.protocol.comparison import MetricComparison
from diff4splat.evaluation.protocol.score_groups import ScoreGroup, score_groups
from diff4splat.evaluation.protocol.scores import Evaluation, SetScore
from diff4splat.evaluation.statistics import (
    Estimate,
    clustered_estimate,
    paired_difference,
    paired_permutation_test,
)

__all__ = ["ComparisonLine", "paired_clip_lines", "same_extractor", "unlike_extractors", "unlike_facts"]

_Scored = TypeVar("_Scored", ScoreGroup, SetScore)

_FACTS = {
    **dict.fromkeys(("reconstruction_seconds", "latency_ms", "memory_gib"), "machine"),
    **dict.fromkeys(
        ("rpe_translation_mean", "rpe_translation_rmse", "rpe_translation_frozen"), "scale of estimated paths"
    ),
}


@dataclass(frozen=True)
class ComparisonLine:
    """A metric of two methods before all p-values are corrected together.

    Args:
        row: The line; without adjusted p-value and winner.
        left_out: Which clips do not count, in words; empty if all do.
    """

    row: MetricComparison
    left_out: str = ""


def paired_clip_lines(
    first: Evaluation,
    second: Evaluation,
    shared: Set[str],
    *,
    num_permutations: int,
    num_resamples: int,
    seed: int,
) -> list[ComparisonLine]:
    """Compare two methods in every metric of clips that both have.

    Args:
        first: All that was measured of a method.
        second: The same of another one.
        shared: Clips that were asked of both.
        num_permutations: Most swaps of scenes, at least 1.
        num_resamples: Resamples of the bootstrap, at least 1.
        seed: Seed of both, >= 0.

    Returns:
        One line per metric, of the clips for which both have a number.

    Raises:
        ValueError: If the scores of one are not sound.
    """
    ours, theirs = _by_metric(score_groups(first)), _by_metric(score_groups(second))
    lines = []
    for metric in (metric for metric in ours if metric in theirs):
        one, two = same_extractor(ours[metric], theirs[metric])
        pairs = _Pairs(one, two, shared)
        num_scenes = len(set(pairs.scenes))
        warning = unlike_extractors(first, second, one.extractor, two.extractor)
        warning = warning or unlike_facts(first, second, metric)
        difference, p_value = Estimate(math.nan, math.nan, math.nan, num_scenes), math.nan
        if not warning:
            difference = paired_difference(
                pairs.first, pairs.second, pairs.scenes, num_resamples=num_resamples, seed=seed
            )
            p_value = paired_permutation_test(
                pairs.first, pairs.second, pairs.scenes, num_permutations=num_permutations, seed=seed
            )
        row = MetricComparison(
            metric,
            clustered_estimate(pairs.first, pairs.scenes, num_resamples=num_resamples, seed=seed),
            clustered_estimate(pairs.second, pairs.scenes, num_resamples=num_resamples, seed=seed),
            difference,
            p_value,
            p_adjusted=math.nan,
            winner="",
            num_scenes=num_scenes,
            num_clips=len(pairs.scenes),
            warning=warning,
        )
        lines.append(ComparisonLine(row, pairs.left_out(first.method, second.method)))
    return lines


def same_extractor(first: Sequence[_Scored], second: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
    """Which of the extractors of one metric two methods are compared by.

    Args:
        first: Scores of a method in this metric, one per extractor, at least one.
        second: The same of another one.

    Returns:
        The first pair of one extractor; the first of each where there is no such pair.
    """
    for one in first:
        for two in second:
            if one.extractor == two.extractor:
                return one, two
    return first[0], second[0]


def unlike_extractors(first: Evaluation, second: Evaluation, one: str, two: str) -> str:
    """Why numbers from two extractors may not be compared.

    Args:
        first: All that was measured of a method.
        second: The same of another one.
        one: Key of the spec of the first.
        two: Key of the spec of the second.

    Returns:
        A sentence with both specs; empty if the keys agree.
    """
    if one == two:
        return ""
    specs = [
        str(evaluation.extractors[key]) if key in evaluation.extractors else key or "none"
        for evaluation, key in ((first, one), (second, two))
    ]
    return f"measured with different extractors: {specs[0]} / {specs[1]}"


def unlike_facts(first: Evaluation, second: Evaluation, metric: str) -> str:
    """Why numbers of a metric may not be compared although their extractors agree.

    Args:
        first: All that was measured of a method.
        second: The same of another one.
        metric: Key of `METRICS`.

    Returns:
        A sentence if the metric depends on a fact, such as the machine for times, that differs or that one
        does not state; empty otherwise.
    """
    fact = _FACTS.get(metric)
    one, two = (evaluation.facts.get(fact or "") or "unknown" for evaluation in (first, second))
    if fact is None or (one == two != "unknown"):
        return ""
    return f"{fact}: {one} / {two}"


class _Pairs:
    """Numbers of the clips for which both methods have one, and how many clips lack one."""

    def __init__(self, first: ScoreGroup, second: ScoreGroup, shared: Set[str]) -> None:
        ours, theirs = (
            {
                clip: value
                for clip, value in zip(group.clips, group.values.tolist(), strict=True)
                if clip in shared and not math.isnan(value)
            }
            for group in (first, second)
        )
        asked = {clip for group in (first, second) for clip in group.clips if clip in shared}
        clips = [clip for clip in first.clips if clip in ours and clip in theirs]
        scenes = dict(zip(first.clips, first.scenes, strict=True))
        self.scenes: Sequence[str] = [scenes[clip] for clip in clips]
        self.first = torch.tensor([ours[clip] for clip in clips], dtype=torch.float64)
        self.second = torch.tensor([theirs[clip] for clip in clips], dtype=torch.float64)
        self._counts = (len(asked) - len(clips), len(asked), len(asked - set(ours)), len(asked - set(theirs)))

    def left_out(self, first: str, second: str) -> str:
        dropped, asked, without_first, without_second = self._counts
        if not dropped:
            return ""
        return (
            f"{dropped} of {asked} clips are left out; {first} has no number for {without_first}, "
            f"{second} for {without_second}"
        )


def _by_metric(groups: Sequence[ScoreGroup]) -> Mapping[str, list[ScoreGroup]]:
    by_metric: dict[str, list[ScoreGroup]] = {}
    for group in groups:
        by_metric.setdefault(group.metric, []).append(group)
    return by_metric
