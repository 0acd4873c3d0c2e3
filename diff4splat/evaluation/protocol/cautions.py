"""What a reader must know before comparing the numbers of a method with others, in words."""

import math
from collections.abc import Mapping, Sequence

from diff4splat.evaluation.metrics.distributions import SET_DISTANCES
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.score_groups import (
    ScoreGroup,
    compared_features,
    counted,
    featureless_clips,
    score_groups,
    set_scores_by_metric,
)
from diff4splat.evaluation.protocol.scores import Evaluation, SetScore
from diff4splat.evaluation.statistics import Distance, distance_under_chance

__all__ = ["cautions"]

_FULL_RANK_CLIPS = 400
_FEWEST_FRAMES = 10
_PAPER_CLIPS, _PAPER_SCENES = 160, 32
_FEWEST_SCENES, _FEW_SCENES = 3, 10


def cautions(
    evaluation: Evaluation, *, distances: Mapping[str, Distance] = SET_DISTANCES, seed: int = 0
) -> tuple[str, ...]:
    """Warnings about sample size, extractors and missing numbers.

    Args:
        evaluation: What was measured. Its fact "frames" is the number of frames of a clip.
        distances: Distance of a set of clips by metric; needed to say how far apart chance puts two sets.
        seed: Seed of chance, >= 0.

    Returns:
        Sentences; none if nothing is to be said.

    Raises:
        ValueError: If a score has an unknown metric, is of a clip that was not asked for, or is there twice.
    """
    groups = score_groups(evaluation)
    sets = [score for scores in set_scores_by_metric(evaluation).values() for score in scores]
    against_real = [score for score in sets if score.metric in ("fvd", "kvd")]
    return (
        *_untrained(evaluation, groups),
        *_untrained(evaluation, sets),
        *(_few_clips(evaluation, score, distances, seed) for score in against_real if _is_few(score)),
        *_few_frames(evaluation, against_real),
        *_other_size(evaluation, groups, against_real),
        *_few_scenes(groups),
        *_missing(groups),
        *_featureless(evaluation, against_real),
        *(
            f"{METRICS[score.metric].title}: no number ({score.problem or 'no reason given'})."
            for score in sets
            if math.isnan(score.value)
        ),
        *_registration(groups),
    )


def _untrained(evaluation: Evaluation, found: Sequence[ScoreGroup] | Sequence[SetScore]) -> list[str]:
    """One sentence for all extractors that learned nothing."""
    titles: dict[str, list[str]] = {}
    for item in found:
        spec = evaluation.extractors.get(item.extractor)
        if spec is not None and not spec.trained:
            titles.setdefault(spec.name, []).append(METRICS[item.metric].title)
    if not titles:
        return []
    parts = [f"{extractor} ({_listed(names)})" for extractor, names in titles.items()]
    return [
        f"Measured with what was not trained: {'; '.join(parts)}. These numbers compare methods with each "
        "other, not with the literature."
    ]


def _is_few(score: SetScore) -> bool:
    return score.metric == "fvd" and score.count < _FULL_RANK_CLIPS and not math.isnan(score.value)


def _few_clips(evaluation: Evaluation, score: SetScore, distances: Mapping[str, Distance], seed: int) -> str:
    text = (
        f"{METRICS[score.metric].title} is of {score.count} clips. Below {_FULL_RANK_CLIPS} the covariance "
        "of 400 features has no full rank, and the number is far too high: compare it with numbers of "
        "as many clips against the same real ones only."
    )
    real = compared_features(evaluation, score)[1]
    if score.metric in distances and real is not None and min(len(real.clips), score.count) > 1:
        chance = distance_under_chance(real.features, score.count, distances[score.metric], seed=seed)
        text += (
            f" Two independent sets of {score.count} and {len(real.clips)} clips that spread as the "
            f"real ones do are at least about {chance:.3g} apart by chance."
        )
    return text


def _few_frames(evaluation: Evaluation, against_real: list[SetScore]) -> list[str]:
    frames = evaluation.facts.get("frames")
    if not against_real or not isinstance(frames, int) or frames >= _FEWEST_FRAMES:
        return []
    titles = _listed(list(dict.fromkeys(METRICS[score.metric].title for score in against_real)))
    return [f"{titles}: clips have {frames} frames; I3D needs {_FEWEST_FRAMES}, and 16 are usual."]


def _other_size(
    evaluation: Evaluation, groups: tuple[ScoreGroup, ...], against_real: list[SetScore]
) -> list[str]:
    closed = {score.clip for score in evaluation.scores if score.metric.startswith("cycle_")}
    asked = len(evaluation.clips) - len(closed)
    sizes = {score.count for score in against_real} or {asked}
    if sizes == {_PAPER_CLIPS}:
        return []
    scenes = len({scene for group in groups for scene in group.scenes})
    aside = ", closed paths aside" if closed else ""
    return [
        f"{asked} clips of {scenes} scenes were asked for{aside}; the paper's numbers are of {_PAPER_CLIPS} "
        f"clips of {_PAPER_SCENES} scenes."
    ]


def _few_scenes(groups: tuple[ScoreGroup, ...]) -> list[str]:
    scenes = len({scene for group in groups for scene in group.scenes})
    if not groups or scenes >= _FEW_SCENES:
        return []
    if scenes == 1:
        return ["There is one scene only, so there are no intervals."]
    if scenes < _FEWEST_SCENES:
        return [f"There are no intervals: they need {_FEWEST_SCENES} scenes, there are {scenes}."]
    return [f"Intervals are over {scenes} scenes: with fewer than {_FEW_SCENES} they are too short."]


def _missing(groups: tuple[ScoreGroup, ...]) -> list[str]:
    """One sentence for all metrics that lack the same clips for the same reasons."""
    titles: dict[tuple[int, int, tuple[tuple[str, int], ...]], list[str]] = {}
    for group in groups:
        if group.missing:
            key = (group.missing, len(group.clips), group.counted_problems())
            titles.setdefault(key, []).append(METRICS[group.metric].title)
    return [
        f"{_listed(names)}: {missing} of {total} clips have no number "
        f"({'; '.join(f'{count}: {problem}' for problem, count in problems)})."
        for (missing, total, problems), names in titles.items()
    ]


def _featureless(evaluation: Evaluation, against_real: list[SetScore]) -> list[str]:
    reasons = counted(featureless_clips(evaluation).values())
    if not reasons or not against_real:
        return []
    titles = _listed([METRICS[score.metric].title for score in against_real])
    return [
        f"{titles}: clips without features are left out "
        f"({'; '.join(f'{count}: {problem}' for problem, count in reasons)})."
    ]


def _registration(groups: tuple[ScoreGroup, ...]) -> list[str]:
    found = []
    for group in groups:
        known = group.values[~group.values.isnan()]
        if group.metric not in ("registered", "registered_frozen") or not bool((known < 1).any()):
            continue
        where = " of the clips with time frozen" if group.metric == "registered_frozen" else ""
        if not bool(known.any()):
            found.append(f"Poses were found for no frame{where}, so there are no pose errors.")
        else:
            found.append(
                f"Poses were found for {100 * float(known.mean()):.0f} % of the frames{where}, and for none "
                f"in {int((known == 0).sum())} of {len(group.clips)} clips: pose errors are of the others, "
                "which may be the easy ones."
            )
    return found


def _listed(names: list[str]) -> str:
    """Titles one after another; some have a comma of their own."""
    return "; ".join(dict.fromkeys(names))
