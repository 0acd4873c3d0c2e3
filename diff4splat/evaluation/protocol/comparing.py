"""From the scores of two methods to what may be said about which is better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from diff4splat.evaluation.metrics.distributions import SET_DISTANCES
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.paired_clips import ComparisonLine, paired_clip_lines
from diff4splat.evaluation.protocol.paired_sets import paired_set_lines
from diff4splat.evaluation.protocol.score_groups import clip_scenes
from diff4splat.evaluation.protocol.scores import Evaluation
from diff4splat.evaluation.statistics import Distance, holm

__all__ = ["compare"]

_SIGNIFICANT = 0.05


def compare(
    first: Evaluation,
    second: Evaluation,
    *,
    distances: Mapping[str, Distance] = SET_DISTANCES,
    num_permutations: int = 10_000,
    num_distance_permutations: int = 1000,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the clips that both have a number for, metric by metric.

    Differences are paired by scene (`paired_difference`, `paired_permutation_test`). Distances to real clips
    are computed anew on the clips that both have features of, without the real clips of the others, and
    tested by `distance_permutation_test`; KVD gets an interval (`jackknife_estimate`), FVD none. All p-values
    are corrected together (`holm`). Where numbers may not be compared, because extractors, real clips or
    machines differ, the line says so and has neither difference nor p-value nor winner.

    Args:
        first: All that was measured of a method. Its facts "machine" and "scale of estimated paths" must be
            those of the other for times and pose errors to be compared.
        second: The same of another method.
        distances: Distance of a set of clips by metric, such as "fvd"; without it the metric is not tested.
        num_permutations: Most swaps of scenes for a metric of clips, at least 1.
        num_distance_permutations: Most swaps of scenes for a distance, at least 1; each costs two distances.
        num_resamples: Resamples of the bootstrap, at least 1.
        seed: Seed of resamples and swaps, >= 0.

    Returns:
        Lines for all metrics that both have. Where both have a metric with several extractors, the first one
        that they share counts.

    Raises:
        ValueError: If no clip was asked of both, they disagree on the scene of a clip, or the scores of one
            are not sound (`summarize` says when).
    """
    scenes = _shared_scenes(first, second)
    lines = [
        *paired_clip_lines(
            first,
            second,
            scenes.keys(),
            num_permutations=num_permutations,
            num_resamples=num_resamples,
            seed=seed,
        ),
        *paired_set_lines(
            first, second, scenes, distances, num_permutations=num_distance_permutations, seed=seed
        ),
    ]
    order = list(METRICS)
    lines.sort(key=lambda line: order.index(line.row.metric))
    adjusted = holm([line.row.p_value for line in lines])
    rows = tuple(
        replace(line.row, p_adjusted=p, winner=_winner(line.row, p))
        for line, p in zip(lines, adjusted, strict=True)
    )
    warnings = (*_unlike_protocols(first, second, len(scenes)), *_left_out(lines), *_out_of_reach(rows))
    return Comparison(first.method, second.method, rows, warnings)


def _shared_scenes(first: Evaluation, second: Evaluation) -> dict[str, str]:
    """Scenes of the clips that were asked of both."""
    ours, theirs = clip_scenes(first), clip_scenes(second)
    for clip in ours:
        if clip in theirs and ours[clip] != theirs[clip]:
            raise ValueError(
                f"clip {clip!r} is of scene {ours[clip]!r} in first ({first.method}) and of {theirs[clip]!r} "
                f"in second ({second.method})."
            )
    shared = {clip: scene for clip, scene in ours.items() if clip in theirs}
    if not shared:
        raise ValueError(f"first ({first.method}) and second ({second.method}) have no clip in common.")
    return shared


def _winner(row: MetricComparison, p_adjusted: float) -> Literal["first", "second", ""]:
    better = METRICS[row.metric].better
    if better is None or row.warning or not p_adjusted < _SIGNIFICANT:
        return ""
    return "second" if (row.difference.value > 0) == (better == "higher") else "first"


def _unlike_protocols(first: Evaluation, second: Evaluation, shared: int) -> list[str]:
    found = []
    if first.manifest != second.manifest:
        found.append(
            "The methods were asked for clips of different manifests. Clips count as the same if their names "
            "are; see to it that images, paths and prompts are, too."
        )
    for one, two in ((first, second), (second, first)):
        alone = len(one.clips) - shared
        if alone:
            found.append(
                f"{alone} of {len(one.clips)} clips were asked of {one.method} and not of {two.method}."
            )
    return found


def _left_out(lines: Sequence[ComparisonLine]) -> list[str]:
    """One sentence for all metrics that lack as many clips."""
    titles: dict[str, list[str]] = {}
    for line in lines:
        if line.left_out:
            titles.setdefault(line.left_out, []).append(METRICS[line.row.metric].title)
    return [f"{'; '.join(names)}: {left_out}." for left_out, names in titles.items()]


def _out_of_reach(rows: Sequence[MetricComparison]) -> list[str]:
    """Whether there are too few scenes for any p-value to stay below 0.05 after the correction."""
    tested = [row for row in rows if not math.isnan(row.p_value)]
    if not tested:
        return []
    scenes = max(row.num_scenes for row in tested)
    smallest = min(2.0 ** (1 - scenes) * len(tested), 1.0)
    if smallest < _SIGNIFICANT:
        return []
    return [
        f"No winner can be found: with {scenes} scenes and {len(tested)} metrics the smallest adjusted p "
        f"is {smallest:.2g}."
    ]
