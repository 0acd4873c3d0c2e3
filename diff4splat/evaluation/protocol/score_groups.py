"""Scores of an evaluation by metric, with the clips that have none."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.scores import FEATURELESS, ClipFeatureSet, Evaluation, Score, SetScore

__all__ = [
    "UNBIASED_DISTANCES",
    "ScoreGroup",
    "clip_scenes",
    "compared_features",
    "counted",
    "featureless_clips",
    "score_groups",
    "set_scores_by_metric",
]

UNBIASED_DISTANCES = ("kvd",)
"""Distances between sets whose mean does not depend on the number of clips, so that an interval is valid."""

_NOT_SCORED = "not scored"


@dataclass(frozen=True, eq=False)
class ScoreGroup:
    """Numbers of one metric from one extractor.

    Args:
        metric: Key of `METRICS`.
        extractor: Key of the spec; empty where none is needed.
        clips: Clips that were asked for.
        scenes: Their scenes.
        trajectories: Their paths.
        values: Their numbers; NaN where there is none, never infinite.
        problems: Why there is none; empty where there is one.
    """

    metric: str
    extractor: str
    clips: tuple[str, ...]
    scenes: tuple[str, ...]
    trajectories: tuple[str, ...]
    values: Float[Tensor, " clip"]
    problems: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Clips without a number."""
        return int(self.values.isnan().sum())

    def counted_problems(self) -> tuple[tuple[str, int], ...]:
        """Why numbers are missing, each with the number of clips.

        Returns:
            Most frequent first, then by name.
        """
        return counted(problem for problem in self.problems if problem)

    def of_trajectory(self, name: str) -> "ScoreGroup":
        """The clips of one path.

        Args:
            name: The path.

        Returns:
            A group that has these clips alone, possibly none.
        """
        at = [index for index, path in enumerate(self.trajectories) if path == name]
        return ScoreGroup(
            self.metric,
            self.extractor,
            tuple(self.clips[index] for index in at),
            tuple(self.scenes[index] for index in at),
            tuple(name for _ in at),
            self.values[at],
            tuple(self.problems[index] for index in at),
        )


def score_groups(evaluation: Evaluation) -> tuple[ScoreGroup, ...]:
    """Scores per clip, by metric and extractor.

    A clip that has scores of other metrics and none of this one was not asked for it, as an open path is not
    asked for its closure. A clip that has no score at all is missing in every group, as "not scored".
    A number that is infinite counts as none, with that as its problem.

    Args:
        evaluation: What was measured.

    Returns:
        Groups in the order of `METRICS`. Scores that name no extractor, because none was reached, are with
        those of the extractor of their metric.

    Raises:
        ValueError: If a metric is unknown or not one of clips, a clip was not asked for, or a clip has two
            scores of one metric and extractor.
    """
    _check(evaluation)
    scored = {score.clip for score in evaluation.scores}
    unscored = [
        Score(clip, clip.rpartition("/")[0] or clip, clip.rpartition("/")[2], "", math.nan, "", _NOT_SCORED)
        for clip in evaluation.clips
        if clip not in scored
    ]
    groups = []
    for metric in METRICS:
        scores = [score for score in evaluation.scores if score.metric == metric]
        keys = list(dict.fromkeys(score.extractor for score in scores))
        named = [key for key in keys if key]
        if named and all(math.isnan(score.value) for score in scores if not score.extractor):
            keys = named  # none of the unnamed got as far as its extractor
        for key in keys:
            own = [score for score in scores if (score.extractor or keys[0]) == key]
            groups.append(_group(metric, key, [*own, *unscored]))
    return tuple(groups)


def set_scores_by_metric(evaluation: Evaluation) -> Mapping[str, tuple[SetScore, ...]]:
    """Numbers of the whole set by metric, in the order of `METRICS`.

    Args:
        evaluation: What was measured.

    Returns:
        One number per extractor, for each metric that has any.

    Raises:
        ValueError: If a metric is unknown or not one of sets.
    """
    for score in evaluation.set_scores:
        if score.metric not in METRICS or METRICS[score.metric].level != "set":
            raise ValueError(f"{evaluation.method}: {score.metric!r} is not a metric of sets of clips.")
    by_metric = {
        metric: tuple(score for score in evaluation.set_scores if score.metric == metric)
        for metric in METRICS
    }
    return {metric: scores for metric, scores in by_metric.items() if scores}


def clip_scenes(evaluation: Evaluation) -> dict[str, str]:
    """Scene of every clip that was asked for.

    Args:
        evaluation: What was measured.

    Returns:
        Scene by clip: what its scores say; for a clip without any, what stands before the last "/" of its
        name.

    Raises:
        ValueError: If the scores of a clip name two scenes.
    """
    scenes: dict[str, str] = {}
    for score in evaluation.scores:
        if scenes.setdefault(score.clip, score.scene) != score.scene:
            raise ValueError(
                f"{evaluation.method}: clip {score.clip!r} is of scene {scenes[score.clip]!r} and of "
                f"{score.scene!r}."
            )
    return {clip: scenes.get(clip, clip.rpartition("/")[0] or clip) for clip in evaluation.clips}


def featureless_clips(evaluation: Evaluation) -> dict[str, str]:
    """Clips of which a network gave no features that can be used, though there are frames.

    Args:
        evaluation: What was measured.

    Returns:
        The reason for each, in words.
    """
    told = evaluation.facts.get(FEATURELESS)
    told = told if isinstance(told, Mapping) else {}
    return {clip: str(told[clip]) for clip in evaluation.clips if clip in told}


def counted(problems: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Problems, each with how often it is there.

    Args:
        problems: In words, one per clip.

    Returns:
        Most frequent first, then by name.
    """
    return tuple(sorted(Counter(problems).items(), key=lambda item: (-item[1], item[0])))


def compared_features(
    evaluation: Evaluation, score: SetScore
) -> tuple[ClipFeatureSet | None, ClipFeatureSet | None]:
    """Features that a distance to real clips is of.

    Args:
        evaluation: What was measured.
        score: The distance.

    Returns:
        Those of the method and of the real clips; None where they were not kept. Where the distance is of as
        many clips as both sides have in common, of these alone.
    """
    made, real = (kept.get(score.extractor) for kept in (evaluation.features, evaluation.references))
    if made is None or real is None:
        return made, real
    shared = set(made.clips) & set(real.clips)
    if not score.count == score.reference_count == len(shared):
        return made, real
    return _of_clips(made, shared), _of_clips(real, shared)


def _of_clips(known: ClipFeatureSet, clips: Set[str]) -> ClipFeatureSet:
    at = [index for index, clip in enumerate(known.clips) if clip in clips]
    return ClipFeatureSet(tuple(known.clips[index] for index in at), known.features[at])


def _check(evaluation: Evaluation) -> None:
    clips = set(evaluation.clips)
    seen = set()
    for score in evaluation.scores:
        if score.metric not in METRICS or METRICS[score.metric].level != "clip":
            raise ValueError(f"{evaluation.method}: {score.metric!r} is not a metric of clips.")
        if score.clip not in clips:
            raise ValueError(f"{evaluation.method}: clip {score.clip!r} was not asked for.")
        key = (score.clip, score.metric, score.extractor)
        if key in seen:
            raise ValueError(f"{evaluation.method}: clip {score.clip!r} has two scores {score.metric!r}.")
        seen.add(key)
    clip_scenes(evaluation)


def _group(metric: str, extractor: str, scores: list[Score]) -> ScoreGroup:
    finite = [math.isfinite(score.value) for score in scores]
    problems = [
        "" if known else score.problem or ("no reason given" if math.isnan(score.value) else "infinite")
        for score, known in zip(scores, finite, strict=True)
    ]
    values = [score.value if known else math.nan for score, known in zip(scores, finite, strict=True)]
    return ScoreGroup(
        metric,
        extractor,
        tuple(score.clip for score in scores),
        tuple(score.scene for score in scores),
        tuple(score.trajectory for score in scores),
        torch.tensor(values, dtype=torch.float64),
        tuple(problems),
    )
