"""The jackknife over scenes: its closed form for a mean, how often it holds, and where it says nothing."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from diff4splat.evaluation import clustered_standard_error, jackknife_estimate


def mean_distance(features: Tensor, real: Tensor) -> float:
    return float(features.mean() - real.mean())


def kernel(features: Tensor, real: Tensor) -> float:
    """Unbiased MMD² with the kernel (x . y + 1)²."""
    xx, yy, xy = ((a @ b.T + 1) ** 2 for a, b in ((features, features), (real, real), (features, real)))
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return float(within[0] + within[1] - 2 * xy.mean())


def labels(scenes: int, clips: int) -> list[str]:
    return [str(index // clips) for index in range(scenes * clips)]


def test_of_a_mean_it_is_the_interval_of_student() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(21, 1)))
    real = torch.zeros(5, 1, dtype=torch.float64)
    estimate = jackknife_estimate(values, real, labels(7, 3), ["elsewhere"] * 5, mean_distance)
    reach = stats.t.ppf(0.975, 6) * clustered_standard_error(values[:, 0], labels(7, 3))
    assert estimate.value == pytest.approx(float(values.mean())) and estimate.count == 7
    assert estimate.high - estimate.value == pytest.approx(reach) == estimate.value - estimate.low


def test_the_real_clips_of_a_scene_leave_with_it() -> None:
    # a method that copies the real clips of every scene is equally near whatever is left out
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(21, 1)))
    together = jackknife_estimate(values + 2, values, labels(7, 3), labels(7, 3), mean_distance)
    assert together.low == pytest.approx(2.0) == together.high
    apart = jackknife_estimate(values + 2, values, labels(7, 3), ["elsewhere"] * 21, mean_distance)
    assert apart.high - apart.low > 0.5


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_interval_of_a_kernel_distance_holds_its_mean(shift) -> None:
    repeats, names = 120, labels(31, 3)
    draw, found, by_clip = np.random.default_rng(1), [], []
    for _ in range(repeats):
        content = draw.normal(size=(31, 1, 5))
        made, real = (
            torch.from_numpy((content + 0.3 * draw.normal(size=(31, 3, 5))).reshape(93, 5)) for _ in range(2)
        )
        found.append(jackknife_estimate(made + shift, real, names, names, kernel))
        by_clip.append(jackknife_estimate(made + shift, real, labels(93, 1), labels(93, 1), kernel))
    mean = np.mean([estimate.value for estimate in found])

    def held(estimates: list) -> float:
        return float(np.mean([estimate.low <= mean <= estimate.high for estimate in estimates]))

    # distances are skewed: at best about 91 % here, less three times the error of so many repeats
    assert held(found) >= 0.91 - 3 * math.sqrt(0.91 * 0.09 / repeats)
    if shift:
        assert held(by_clip) < 0.8  # pitfall: clips of a scene left out one by one
    else:
        # pitfall: KVD of a perfect method is not 0 on average if it shows the scenes of the real clips
        assert mean < -3 * np.std([estimate.value for estimate in found]) / math.sqrt(repeats)


def test_few_scenes_or_clips_have_no_interval() -> None:
    points = torch.arange(6.0)[:, None]
    for scenes, real_scenes in ((labels(2, 3), labels(2, 3)), (labels(3, 2), ["0", "0", "0", "0", "0", "1"])):
        estimate = jackknife_estimate(points, points, scenes, real_scenes, mean_distance)
        assert estimate.value == 0.0 and math.isnan(estimate.low) and math.isnan(estimate.high)


def test_one_scene_per_clip() -> None:
    points = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="reference_scenes must name one scene per clip, 3, got 2"):
        jackknife_estimate(points, points, ["a", "b", "c"], ["a", "b"], mean_distance)
    with pytest.raises(ValueError, match="^scenes must name one scene per clip, 3, got 1"):
        jackknife_estimate(points, points, ["a"], ["a", "b", "c"], mean_distance)
