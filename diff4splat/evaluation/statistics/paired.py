"""Two methods on the same clips: their difference, a test of it, and Holm's correction for many metrics.

What makes a scene hard makes it hard for both methods, so differences within scenes vary less than the
numbers themselves. Clips that only one method has a number for do not count.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.statistics.clustered import clustered_estimate, scene_means
from diff4splat.evaluation.statistics.estimates import Estimate

__all__ = ["holm", "paired_difference", "paired_permutation_test"]


def paired_difference(
    first: Float[Tensor, " clip"],
    second: Float[Tensor, " clip"],
    scenes: Sequence[str],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Second less first, clip by clip, averaged as `clustered_estimate` does.

    Args:
        first: Numbers of the first method, one per clip; NaN where there is none.
        second: Numbers of the second one for the same clips.
        scenes: Scene of each clip.
        num_resamples: Sets of scenes drawn with replacement, at least 1.
        seed: Seed of the draws, >= 0.

    Returns:
        Mean difference over the scenes in which both have a number for one clip at least, and its interval.

    Raises:
        ValueError: If lengths differ, a number is infinite, or `num_resamples` is below 1.

    Examples:
        >>> import torch
        >>> second = torch.tensor([1.0, 2.0, 3.0])
        >>> paired_difference(torch.tensor([1.0, 1.0, 1.0]), second, ["cab", "sea", "sky"]).value
        1.0
    """
    difference = _differences(first, second)
    return clustered_estimate(difference, scenes, num_resamples=num_resamples, seed=seed)


def paired_permutation_test(
    first: Float[Tensor, " clip"],
    second: Float[Tensor, " clip"],
    scenes: Sequence[str],
    *,
    num_permutations: int = 10_000,
    seed: int = 0,
) -> float:
    r"""Two-sided p-value of no difference between two methods, by swapping them within scenes.

    $$p = \frac{\#\{\epsilon \in \{-1, 1\}^n : \lvert \sum_s \epsilon_s d_s \rvert \ge
      \lvert \sum_s d_s \rvert\}}{2^n}$$

    with $d_s$ the mean difference of the $n$ scenes: if the methods do not differ, each $d_s$ might as well
    have the other sign. All $2^n$ signs are tried if these are at most `num_permutations`; else that many are
    drawn, and the observed one is counted with them, $(b + 1) / (m + 1)$ on the smaller side, twice. It
    cannot be below $2^{1 - n}$: five scenes never reach 0.05.
    Source: Fisher, The Design of Experiments (1935); computed by `scipy.stats.permutation_test`.

    Args:
        first: Numbers of the first method, one per clip; NaN where there is none.
        second: Numbers of the second one for the same clips.
        scenes: Scene of each clip.
        num_permutations: Most signs that are tried, at least 1.
        seed: Seed of the draws, >= 0; unused where all signs are tried.

    Returns:
        The p-value in (0, 1]; NaN if no clip has both numbers.

    Raises:
        ValueError: If lengths differ, a number is infinite, or `num_permutations` is below 1.

    Examples:
        >>> import torch
        >>> better = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        >>> paired_permutation_test(torch.zeros(5), better, ["a", "b", "c", "d", "e"])
        0.0625
    """
    from scipy.stats import permutation_test

    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}.")
    means = scene_means(_differences(first, second), scenes).means
    means = means[~means.isnan()]
    if len(means) < 2:  # scipy wants two; either sign of one difference is as large
        return 1.0 if len(means) else math.nan
    result = permutation_test(
        (means.numpy(),),
        _mean_along,
        permutation_type="samples",
        vectorized=True,
        n_resamples=num_permutations,
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    r"""Holm's correction of several p-values: what is below 0.05 after it holds for all tests together.

    $$\tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})$$

    with $p_{(1)} \le \dots \le p_{(m)}$ the sorted values. Valid however the tests depend on each other.
    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979).

    Args:
        p_values: In [0, 1]; NaN where there was no test, which stays NaN and does not count.

    Returns:
        Adjusted values, in the order given.

    Raises:
        ValueError: If a value is outside [0, 1].

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        (0.03, 0.06, 0.06)
    """
    adjusted = [math.nan] * len(p_values)
    for p in p_values:
        if not (math.isnan(p) or 0 <= p <= 1):
            raise ValueError(f"p_values must be in [0, 1] or NaN, got {p}.")
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = least
    return tuple(adjusted)


def _differences(first: Tensor, second: Tensor) -> Tensor:
    if len(first) != len(second):
        raise ValueError(f"second must have one number per clip of first, {len(first)}, got {len(second)}.")
    for name, values in (("first", first), ("second", second)):
        if bool(values.isinf().any()):
            raise ValueError(f"{name} must be finite or NaN, got {int(values.isinf().sum())} infinite ones.")
    return second.detach().double().cpu() - first.detach().double().cpu()


def _mean_along(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(values.mean(axis))
