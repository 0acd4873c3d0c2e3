"""Clustered means, BCa, sign and swap tests, Holm and Fréchet distances as loops and formulas, float64."""

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import scipy.linalg


def scene_means(values: Sequence[float], scenes: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Mean and number of the numbers that are not NaN, per scene."""
    found: dict[str, list[float]] = {}
    for value, scene in zip(values, scenes, strict=True):
        found.setdefault(scene, [])
        if not math.isnan(value):
            found[scene].append(value)
    return {scene: (sum(v) / len(v) if v else math.nan, len(v)) for scene, v in found.items()}


def bca_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Efron and Tibshirani, An Introduction to the Bootstrap, Eq. 14.9 to 14.15, of a mean."""
    draw, normal = np.random.RandomState(seed), NormalDist()
    n, mean = len(values), values.mean()
    found = np.sort([values[draw.randint(0, n, n)].mean() for _ in range(resamples)])
    z0 = normal.inv_cdf((found < mean).mean())
    left_out = np.array([np.delete(values, i).mean() for i in range(n)])
    d = left_out.mean() - left_out
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    ends = []
    for share in (0.025, 0.975):
        z = z0 + normal.inv_cdf(share)
        ends.append(float(np.quantile(found, normal.cdf(z0 + z / (1 - a * z)))))
    return ends[0], ends[1]


def sign_test(differences: Sequence[float]) -> float:
    """Share of all sign patterns whose sum is at least as far from 0."""
    observed = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in patterns]
    return sum(value >= observed - 1e-12 for value in sums) / len(patterns)


def holm_rejects(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses Holm's procedure rejects: from the smallest p on, until one is above level / left."""
    rejected = [False] * len(p_values)
    for left in range(len(p_values), 0, -1):
        index = min((i for i, done in enumerate(rejected) if not done), key=lambda i: p_values[i])
        if p_values[index] > level / left:
            break
        rejected[index] = True
    return rejected


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Squared distance of means plus tr(S1 + S2 - 2 (S1 S2)^(1/2)), sample covariances, matrix root."""
    s1, s2 = np.cov(features, rowvar=False), np.cov(reference, rowvar=False)
    root = scipy.linalg.sqrtm(np.atleast_2d(s1) @ np.atleast_2d(s2))
    means = features.mean(0) - reference.mean(0)
    return float(means @ means + np.trace(np.atleast_2d(s1 + s2)) - 2 * np.trace(root).real)


def swap_test(
    first: np.ndarray,
    second: np.ndarray,
    reference: np.ndarray,
    scenes: Sequence[str],
    distance: Callable[[np.ndarray, np.ndarray], float],
) -> float:
    """Share of all ways to swap two methods within scenes whose difference is at least as large."""
    names = sorted(set(scenes))

    def difference(swapped: Sequence[str]) -> float:
        a, b = first.copy(), second.copy()
        for row, scene in enumerate(scenes):
            if scene in swapped:
                a[row], b[row] = second[row], first[row]
        return abs(distance(b, reference) - distance(a, reference))

    subsets = [s for size in range(len(names) + 1) for s in itertools.combinations(names, size)]
    observed = difference(())
    return sum(difference(s) >= observed - 1e-9 * observed for s in subsets) / len(subsets)
