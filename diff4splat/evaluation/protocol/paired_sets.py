"""Lines of a comparison for numbers of whole sets of clips: distances to real clips, times, memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from diff4splat.evaluation.protocol.comparison import MetricComparison
from diff4splat.evaluation.protocol.paired_clips import (
    ComparisonLine,
    same_extractor,
    unlike_extractors,
    unlike_facts,
)
from diff4splat.evaluation.protocol.score_groups import UNBIASED_DISTANCES, set_scores_by_metric
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, SetScore
from diff4splat.evaluation.statistics import (
    Distance,
    Estimate,
    distance_permutation_test,
    jackknife_estimate,
)

__all__ = ["paired_set_lines"]

_FEATURES_AGREE = 1e-3  # of the largest: features of one clip differ a little between machines


def paired_set_lines(
    first: Evaluation,
    second: Evaluation,
    scenes: Mapping[str, str],
    distances: Mapping[str, Distance],
    *,
    num_permutations: int,
    seed: int,
) -> list[ComparisonLine]:
    """Compare two methods in every number of whole sets that both have.

    Args:
        first: All that was measured of a method.
        second: The same of another one.
        scenes: Scenes of the clips that were asked of both.
        distances: Distance of a set of clips by metric; others are compared as they are, without a test.
        num_permutations: Most swaps of scenes, at least 1.
        seed: Seed of the swaps, >= 0.

    Returns:
        One line per metric.

    Raises:
        ValueError: If a metric is not one of sets.
    """
    ours, theirs = set_scores_by_metric(first), set_scores_by_metric(second)
    lines = []
    for metric in (metric for metric in ours if metric in theirs):
        one, two = same_extractor(ours[metric], theirs[metric])
        warning = unlike_extractors(first, second, one.extractor, two.extractor)
        features = [evaluation.features.get(one.extractor) for evaluation in (first, second)]
        references = [evaluation.references.get(one.extractor) for evaluation in (first, second)]
        if not warning and metric in distances and None not in (*features, *references):
            line = _distance_line(
                first.method,
                second.method,
                metric,
                [known for known in features if known],
                [known for known in references if known],
                scenes,
                distances[metric],
                num_permutations,
                seed,
            )
        else:
            line = _plain_line(one, two, warning or _unlike_sets(one, two, first, second))
        lines.append(line)
    return lines


def _unlike_sets(one: SetScore, two: SetScore, first: Evaluation, second: Evaluation) -> str:
    sizes = [(score.count, score.reference_count) for score in (one, two)]
    if not any(reference for _, reference in sizes) or sizes[0] == sizes[1]:
        return unlike_facts(first, second, one.metric)
    return " / ".join(f"{count} clips against {real} real ones" for count, real in sizes)


def _plain_line(one: SetScore, two: SetScore, warning: str) -> ComparisonLine:
    """Two numbers and their difference, without a test."""
    difference = math.nan if warning else two.value - one.value
    values = [(one.value, one.count), (two.value, two.count), (difference, min(one.count, two.count))]
    return ComparisonLine(_row(one.metric, [_bare(*value) for value in values], warning=warning))


def _distance_line(
    first: str,
    second: str,
    metric: str,
    features: Sequence[ClipFeatureSet],
    references: Sequence[ClipFeatureSet],
    scenes: Mapping[str, str],
    distance: Distance,
    num_permutations: int,
    seed: int,
) -> ComparisonLine:
    """Distances of the clips that both methods have, against the real clips that both were measured with."""
    ours, theirs = (_rows_by_clip(known) for known in features)
    asked = [clip for clip in scenes if clip in ours or clip in theirs]
    clips = [clip for clip in asked if clip in ours and clip in theirs]
    left_out = ""
    if len(clips) < len(asked):
        lacking = [sum(clip not in known for clip in asked) for known in (ours, theirs)]
        left_out = (
            f"{len(asked) - len(clips)} of {len(asked)} clips are left out; {first} has no features of "
            f"{lacking[0]}, {second} of {lacking[1]}"
        )
    reference, real_clips, warning = _shared_reference(*references)
    left = set(scenes) - set(clips)  # `score_videos` takes no real clips of these, either
    kept = [index for index, clip in enumerate(real_clips) if clip not in left]
    reference, real_clips = reference[kept], [real_clips[index] for index in kept]
    real_scenes = [scenes.get(clip, clip) for clip in real_clips]
    if min(len(clips), len(reference)) < 2:
        warning = warning or f"both have {len(clips)} clips and {len(reference)} real ones; two are needed"
    if warning:
        nothing = _bare(math.nan, len(clips))
        return ComparisonLine(_row(metric, [nothing] * 3, warning=warning), left_out)
    a, b = (torch.stack([rows[clip] for clip in clips]) for rows in (ours, theirs))
    of_clips = [scenes[clip] for clip in clips]
    p_value = distance_permutation_test(
        a, b, reference, of_clips, distance, num_permutations=num_permutations, seed=seed
    )
    if metric in UNBIASED_DISTANCES:
        estimates = _with_intervals(a, b, reference, of_clips, real_scenes, distance)
    else:
        near, far = distance(a, reference), distance(b, reference)
        estimates = [_bare(value, len(clips)) for value in (near, far, far - near)]
    row = _row(metric, estimates, p_value, len(set(of_clips)))
    return ComparisonLine(row, left_out)


def _rows_by_clip(known: ClipFeatureSet) -> dict[str, Tensor]:
    """Finite features by clip."""
    rows = zip(known.clips, known.features.double().cpu(), strict=True)
    return {clip: row for clip, row in rows if bool(row.isfinite().all())}


def _shared_reference(first: ClipFeatureSet, second: ClipFeatureSet) -> tuple[Tensor, list[str], str]:
    """Features of the real clips that both have, their names, and why they will not do."""
    ours, theirs = _rows_by_clip(first), _rows_by_clip(second)
    clips = [clip for clip in ours if clip in theirs]
    if not clips:
        return torch.zeros(0, 0, dtype=torch.float64), [], "measured against different real clips"
    a, b = (torch.stack([rows[clip] for clip in clips]) for rows in (ours, theirs))
    if a.shape != b.shape or bool(((a - b).abs() > _FEATURES_AGREE * a.abs().amax()).any()):
        return a, clips, "measured against different real clips of the same names"
    return a, clips, ""


def _with_intervals(
    first: Tensor,
    second: Tensor,
    reference: Tensor,
    scenes: Sequence[str],
    reference_scenes: Sequence[str],
    distance: Distance,
) -> list[Estimate]:
    """Both distances and their difference, with intervals over scenes; the counts are those of clips."""
    width = first.shape[1]

    def difference(both: Tensor, real: Tensor) -> float:
        return distance(both[:, width:], real[:, width:]) - distance(both[:, :width], real[:, :width])

    both, real = torch.cat((first, second), dim=1), torch.cat((reference, reference), dim=1)
    found = [
        jackknife_estimate(first, reference, scenes, reference_scenes, distance),
        jackknife_estimate(second, reference, scenes, reference_scenes, distance),
        jackknife_estimate(both, real, scenes, reference_scenes, difference),
    ]
    return [replace(estimate, count=len(first)) for estimate in found]


def _bare(value: float, count: int) -> Estimate:
    return Estimate(value, math.nan, math.nan, count)


def _row(
    metric: str,
    estimates: Sequence[Estimate],
    p_value: float = math.nan,
    num_scenes: int = 0,
    warning: str = "",
) -> MetricComparison:
    """A line from the estimates of both methods and of their difference."""
    first, second, difference = estimates
    return MetricComparison(
        metric,
        first,
        second,
        difference,
        p_value=p_value,
        p_adjusted=math.nan,
        winner="",
        num_scenes=num_scenes,
        num_clips=difference.count,
        warning=warning,
    )
