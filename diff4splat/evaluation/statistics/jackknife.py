"""An interval for an unbiased distance between sets of clips, from leaving out one scene at a time."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.statistics.distribution_tests import Distance
from diff4splat.evaluation.statistics.estimates import Estimate

__all__ = ["jackknife_estimate"]


def jackknife_estimate(
    features: Float[Tensor, "clip feature"],
    reference: Float[Tensor, "reference feature"],
    scenes: Sequence[str],
    reference_scenes: Sequence[str],
    distance: Distance,
) -> Estimate:
    r"""Distance of clips to real ones, with the 95 % interval of the jackknife over scenes.

    $$D \pm t_{n - 1} \sqrt{\frac{n - 1}{n} \sum_s (D_{(s)} - \bar D)^2}$$

    with $D_{(s)}$ the distance without the made and the real clips of scene $s$, $\bar D$ the mean of these
    over the $n$ scenes of the made clips, and $t_{n - 1}$ the quantile of Student's distribution.
    Source: Efron and Stein, The jackknife estimate of variance, Ann. Stat. 9 (1981).

    It is for distances whose mean does not depend on the number of clips, as KVD. The mean of the Fréchet
    distance does, far more than its spread: an interval around it would not hold the truth. The interval
    holds what such evaluations give on average with so many clips per scene, which differs from 0 for a
    perfect method because the clips of a scene are alike. KVD is skewed, so the interval is a little too
    short: with 32 scenes it held that mean in 88 to 99 % of cases, with 17 in 86 %.

    Args:
        features: Features of the clips of a method.
        reference: Features of real clips.
        scenes: Scene of each clip of the method.
        reference_scenes: Scene of each real clip; those of scenes that the method has no clip of always stay.
        distance: Called as `distance(features, reference)`, once and once more per scene.

    Returns:
        Distance and interval; `count` is the number of scenes. The ends are NaN for fewer than three of them,
        and where too few clips are left for a distance once a scene is out.

    Raises:
        ValueError: If there is not one scene per clip.
    """
    for name, labels, points in (
        ("scenes", scenes, features),
        ("reference_scenes", reference_scenes, reference),
    ):
        if len(labels) != len(points):
            raise ValueError(f"{name} must name one scene per clip, {len(points)}, got {len(labels)}.")
    value = distance(features, reference)
    names = list(dict.fromkeys(scenes))
    parts = [(_without(name, scenes), _without(name, reference_scenes)) for name in names]
    if len(names) < 3 or min(int(kept.sum()) for part in parts for kept in part) < 2:
        return Estimate(value, math.nan, math.nan, len(names))
    left = [distance(features[kept], reference[real]) for kept, real in parts]
    spread = torch.tensor(left, dtype=torch.float64).var(correction=0).item()
    reach = _student_quantile(len(names) - 1) * math.sqrt((len(names) - 1) * spread)
    return Estimate(value, value - reach, value + reach, len(names))


def _without(scene: str, scenes: Sequence[str]) -> Tensor:
    return torch.tensor([name != scene for name in scenes], dtype=torch.bool)


def _student_quantile(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
