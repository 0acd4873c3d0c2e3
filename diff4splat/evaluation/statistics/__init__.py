"""Statistics: means with intervals that count scenes, paired differences, and tests between methods."""

from diff4splat.evaluation.statistics.clustered import (
    SceneMeans,
    clustered_estimate,
    clustered_standard_error,
    scene_means,
)
from diff4splat.evaluation.statistics.distribution_tests import (
    Distance,
    distance_permutation_test,
    distance_under_chance,
)
from diff4splat.evaluation.statistics.estimates import (
    Estimate,
    least_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
)
from diff4splat.evaluation.statistics.jackknife import jackknife_estimate
from diff4splat.evaluation.statistics.paired import holm, paired_difference, paired_permutation_test

__all__ = [
    "Distance",
    "Estimate",
    "SceneMeans",
    "clustered_estimate",
    "clustered_standard_error",
    "distance_permutation_test",
    "distance_under_chance",
    "holm",
    "jackknife_estimate",
    "least_mean_estimate",
    "mean_estimate",
    "paired_difference",
    "paired_permutation_test",
    "ratio_estimate",
    "scene_means",
    "share_estimate",
]
