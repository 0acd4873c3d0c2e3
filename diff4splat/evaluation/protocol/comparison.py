"""Two methods on the same clips: differences, how sure they are, and what forbids comparing."""

from dataclasses import dataclass
from typing import Literal

from diff4splat.evaluation.statistics import Estimate

__all__ = ["Comparison", "MetricComparison"]


@dataclass(frozen=True)
class MetricComparison:
    """A metric of two methods on the clips that both have.

    Args:
        metric: Key of `METRICS`.
        first: Estimate of the first method on these clips.
        second: Estimate of the second one.
        difference: Second less first, paired by scene; NaN ends where no interval would be valid.
        p_value: Two-sided, of a permutation test that swaps the methods within scenes; NaN if there is none.
        p_adjusted: The same after Holm's correction for all metrics of the comparison.
        winner: Which is better where the adjusted p is below 0.05; empty otherwise, or without a direction.
        num_scenes: Scenes that count.
        num_clips: Clips that count.
        warning: Why the numbers may not be compared; empty if they may.
    """

    metric: str
    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float
    p_adjusted: float
    winner: Literal["first", "second", ""]
    num_scenes: int
    num_clips: int
    warning: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two methods.

    Args:
        first: Name of the first method.
        second: Name of the second one.
        rows: One per metric that both have, in the order of `METRICS`.
        warnings: What concerns all rows, in words: clips that one lacks, other manifests.
    """

    first: str
    second: str
    rows: tuple[MetricComparison, ...]
    warnings: tuple[str, ...] = ()
