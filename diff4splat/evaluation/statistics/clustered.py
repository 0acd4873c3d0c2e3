"""Means of clips that share scenes, with errors that count scenes and not clips.

Clips of one scene succeed and fail together, so their number says little about how sure a mean is. Every
scene is averaged over its clips first; scenes are then taken as independent. Source: Miller, Adding error
bars to evals (2024), and Efron, Better bootstrap confidence intervals, JASA 82 (1987).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.evaluation.statistics.estimates import Estimate

__all__ = ["SceneMeans", "clustered_estimate", "clustered_standard_error", "scene_means"]

_STEPS = 2**30
_FEWEST_SCENES = 3


@dataclass(frozen=True, eq=False)
class SceneMeans:
    """Numbers of clips, averaged over the clips of each scene.

    Args:
        scenes: The scenes, in the order in which they first appear.
        means: One mean per scene, float64; NaN where no clip has a number.
        counts: Clips with a number, per scene.
    """

    scenes: tuple[str, ...]
    means: Float[Tensor, " scene"]
    counts: Int[Tensor, " scene"]


def scene_means(values: Float[Tensor, " clip"], scenes: Sequence[str]) -> SceneMeans:
    """Mean of the clips of each scene.

    Args:
        values: One number per clip; NaN where there is none.
        scenes: Scene of each clip.

    Returns:
        A mean per scene, over the clips that have a number, and how many these are.

    Raises:
        ValueError: If there is not one scene per clip, or a number is infinite.

    Examples:
        >>> scene_means(torch.tensor([1.0, 3.0, 5.0]), ["cab", "cab", "sea"]).means.tolist()
        [2.0, 5.0]
    """
    if len(scenes) != len(values):
        raise ValueError(f"scenes must name one scene per clip, {len(values)}, got {len(scenes)}.")
    values = values.detach().double().cpu()
    if bool(values.isinf().any()):
        raise ValueError(f"values must be finite or NaN, got {int(values.isinf().sum())} infinite ones.")
    names = tuple(dict.fromkeys(scenes))
    place = {name: index for index, name in enumerate(names)}
    index = torch.tensor([place[scene] for scene in scenes], dtype=torch.int64)
    known = ~values.isnan()
    counts = torch.zeros(len(names), dtype=torch.int64).index_add(0, index, known.long())
    sums = torch.zeros(len(names), dtype=torch.float64).index_add(0, index, values.nan_to_num(nan=0.0))
    return SceneMeans(names, sums / counts, counts)  # 0 / 0 is NaN


def clustered_standard_error(values: Float[Tensor, " clip"], scenes: Sequence[str]) -> float:
    r"""Standard error of the mean over scenes.

    $$\frac{1}{\sqrt n} \sqrt{\frac{1}{n - 1} \sum_s (m_s - \bar m)^2}$$

    with $m_s$ the mean of the clips of scene $s$, $\bar m$ the mean of these and $n$ the number of scenes
    with a number.
    Source: Miller, Adding error bars to evals (2024).
    Differs: every scene counts the same, however many of its clips have a number.

    Args:
        values: One number per clip; NaN where there is none.
        scenes: Scene of each clip.

    Returns:
        The error, in the unit of the numbers; NaN for fewer than two scenes.

    Raises:
        ValueError: If there is not one scene per clip, or a number is infinite.
    """
    means = _known_means(values, scenes)
    return float(means.std() / math.sqrt(len(means))) if len(means) > 1 else math.nan


def clustered_estimate(
    values: Float[Tensor, " clip"],
    scenes: Sequence[str],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Mean over scenes of the means of their clips, with its 95 % interval.

    The interval is the bias-corrected and accelerated one (BCa) of the bootstrap over scenes, as
    `scipy.stats.bootstrap` computes it. Where that is undefined, because all or no resamples lie on one side
    of the mean, it is the percentile interval of the same resamples. If all scenes agree, both ends are the
    mean: the scenes show no spread, which does not prove that there is none. With few scenes every bootstrap
    interval is too short: of normal numbers it holds the truth in 84 % of cases with 5 scenes, in 91 % with
    10 and in 95 % with 32. With two it would be from one mean to the other, 50 %, so there is none.

    Args:
        values: One number per clip; NaN where there is none.
        scenes: Scene of each clip.
        num_resamples: Sets of scenes drawn with replacement, at least 1.
        seed: Seed of the draws, >= 0.

    Returns:
        Mean and interval; `count` is the number of scenes that have a number. The ends are NaN for fewer than
        three of them.

    Raises:
        ValueError: If there is not one scene per clip, a number is infinite, or `num_resamples` is below 1.

    Examples:
        >>> clustered_estimate(torch.tensor([1.0, 3.0, 5.0]), ["cab", "cab", "sea"]).value
        3.5
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}.")
    means = _known_means(values, scenes)
    count = len(means)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value = float(means.mean())
    if count < _FEWEST_SCENES:
        return Estimate(value, math.nan, math.nan, count)
    if bool((means == means[0]).all()):
        return Estimate(float(means[0]), float(means[0]), float(means[0]), count)
    low, high = _bca_interval(means.numpy(), num_resamples, seed)
    return Estimate(value, low, high, count)


def _known_means(values: Tensor, scenes: Sequence[str]) -> Tensor:
    means = scene_means(values, scenes).means
    return means[~means.isnan()]


def _bca_interval(means: np.ndarray, num_resamples: int, seed: int) -> tuple[float, float]:
    """BCa interval of the mean of numbers that are not all equal; the percentile interval where it is NaN.

    BCa counts the resamples below the mean. With few scenes many are equal to it and would fall on either
    side by rounding; sums of whole numbers are exact.
    """
    from scipy.stats import bootstrap

    center, unit = means.mean(), np.abs(means - means.mean()).max() / _STEPS
    steps = np.rint((means - center) / unit)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where BCa is undefined; that case is handled below
        result = bootstrap(
            (steps,),
            np.mean,
            n_resamples=num_resamples,
            vectorized=True,
            method="BCa",
            random_state=np.random.default_rng(seed),
        )
    ends = np.array(result.confidence_interval)
    if not np.isfinite(ends).all():
        ends = np.quantile(result.bootstrap_distribution, [0.025, 0.975])
    low, high = center + unit * (ends - steps.mean())
    return float(low), float(high)
