"""Scores of a method as one line per metric: the mean over scenes, how sure it is, and what is missing."""

from dataclasses import dataclass

from diff4splat.evaluation.statistics import Estimate

__all__ = ["EvaluationSummary", "MetricSummary"]


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
