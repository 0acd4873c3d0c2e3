"""The test between two distances: against all swaps, without a difference, and why no interval."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_statistics as reference
from scipy import stats
from torch import Tensor

from diff4splat.evaluation import distance_permutation_test, distance_under_chance


def frechet(features: Tensor, real: Tensor) -> float:
    return reference.frechet_distance(features.numpy(), real.numpy())


def moments(features: Tensor, real: Tensor) -> float:
    """A cheap distance: of means and of spreads."""
    means, spreads = (f(features, 0) - f(real, 0) for f in (torch.mean, torch.std))
    return float((means * means).sum() + (spreads * spreads).sum())


def methods(seed: int, scenes: int, clips: int, *, shift: float = 0.0, width: int = 3):
    """Features of two methods and of real clips: what scenes share, and what each method makes of a scene."""
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(scenes, 1, width))

    def method(push: float) -> Tensor:
        own = 0.5 * draw.normal(size=(scenes, 1, width)) + 0.3 * draw.normal(size=(scenes, clips, width))
        return torch.from_numpy((content + push + own).reshape(-1, width))

    names = [str(index // clips) for index in range(scenes * clips)]
    return method(0.0), method(shift), method(0.0), names


def test_matches_all_swaps() -> None:
    for shift in (0.0, 0.5):
        first, second, real, scenes = methods(1, 5, 3, shift=shift)
        p = distance_permutation_test(first, second, real, scenes, frechet)
        arrays = (first.numpy(), second.numpy(), real.numpy())
        assert p == pytest.approx(reference.swap_test(*arrays, scenes, reference.frechet_distance))
        drawn = distance_permutation_test(first, second, real, scenes, frechet, num_permutations=14)
        assert drawn != p and drawn * 15 == pytest.approx(round(drawn * 15))


def test_p_is_uniform_where_methods_do_not_differ() -> None:
    found = [
        distance_permutation_test(*methods(seed, 11, 2), moments, num_permutations=99, seed=seed)
        for seed in range(200)
    ]
    # steps of 0.01 are far below what 200 numbers can tell
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_clips_that_are_swapped_one_by_one_find_too_much() -> None:
    # pitfall: clips of a scene are not exchangeable one by one, because each method has a scene effect
    found = []
    for seed in range(100):
        first, second, real, scenes = methods(seed, 7, 7)
        clips = [str(index) for index in range(len(scenes))]
        found.append(distance_permutation_test(first, second, real, clips, moments, num_permutations=99))
    assert np.mean(np.array(found) <= 0.05) > 0.2


def test_a_method_that_is_farther_off_is_found() -> None:
    first, second, real, scenes = methods(0, 17, 3, shift=0.8)
    p = distance_permutation_test(first, second, real, scenes, frechet, num_permutations=199)
    assert p == 1 / 200  # pitfall: a share of drawn swaps that does not count the observed one can be 0


def test_methods_that_agree_have_a_p_of_one() -> None:
    # pitfall: sums in another order differ in the last digits, and a tie must stay one
    first, _, real, scenes = methods(0, 13, 3)
    assert distance_permutation_test(first, first, real, scenes, frechet, num_permutations=31) == 1.0
    mixed = torch.arange(39).reshape(13, 3).flip(1).reshape(-1)
    p = distance_permutation_test(first, first[mixed], real, scenes, frechet, num_permutations=31)
    assert p == 1.0


def test_names_of_scenes_and_of_methods_do_not_matter() -> None:
    first, second, real, scenes = methods(2, 13, 2, shift=0.2)
    p = distance_permutation_test(first, second, real, scenes, moments, num_permutations=199)
    assert p == distance_permutation_test(second, first, real, scenes, moments, num_permutations=199)
    renamed = [f"scene {name}" for name in scenes]
    assert p == distance_permutation_test(first, second, real, renamed, moments, num_permutations=199)
    assert p != distance_permutation_test(first, second, real, scenes, moments, num_permutations=199, seed=1)


def test_a_single_scene_proves_nothing() -> None:
    first, second, real, scenes = methods(0, 1, 7, shift=5.0)
    assert distance_permutation_test(first, second, real, scenes, moments) == 1.0


def test_the_bootstrap_of_a_frechet_distance_misses_its_own_estimate() -> None:
    # pitfall: a set with repeated clips is farther from the real ones than the set, so no interval is offered
    draw = np.random.default_rng(0)
    made, real = draw.normal(size=(2, 60, 23))
    estimate = reference.frechet_distance(made, real)
    again = [reference.frechet_distance(made[draw.integers(0, 60, 60)], real) for _ in range(200)]
    low, high = np.quantile(again, [0.025, 0.975])
    assert low > estimate > 0, (estimate, low, high)


def test_chance_in_one_dimension_is_that_of_theory() -> None:
    real = torch.from_numpy(np.random.default_rng(0).normal(3.0, 2.0, size=(11, 1)))
    variance = float(real.var())

    def c4(n: int) -> float:  # mean of a sample's standard deviation over the true one
        return math.sqrt(2 / (n - 1)) * math.gamma(n / 2) / math.gamma((n - 1) / 2)

    expected = variance * (1 / 7 + 1 / 11 + 2 - 2 * c4(7) * c4(11))
    found = distance_under_chance(real, 7, moments, num_draws=4000)
    assert found == pytest.approx(expected, rel=0.08)  # four standard errors


def test_chance_has_the_variance_of_a_sample() -> None:
    real = torch.tensor([[-1.0], [1.0]])  # of a sample it is 2, divided by the number of clips 1

    def spread(made: torch.Tensor, _: torch.Tensor) -> float:
        return float(made.var())

    assert distance_under_chance(real, 20_000, spread, num_draws=1) == pytest.approx(2, rel=0.05)


def test_chance_shrinks_with_the_number_of_clips() -> None:
    real = torch.from_numpy(np.random.default_rng(0).normal(size=(401, 13)))
    few, more, many = (distance_under_chance(real, count, frechet) for count in (17, 53, 401))
    assert few > 2 * more > 4 * many > 0
    # against sets that are drawn from where the real ones are from
    draws = np.random.default_rng(1)
    true = [
        reference.frechet_distance(draws.normal(size=(53, 13)), draws.normal(size=(401, 13)))
        for _ in range(9)
    ]
    assert more == pytest.approx(np.mean(true), rel=0.15)


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_tested() -> None:
    first, second, real, scenes = methods(0, 3, 2)
    with pytest.raises(ValueError, match=r"shape of first, \(6, 3\), got \(5, 3\)"):
        distance_permutation_test(first, second[:5], real, scenes, moments)
    with pytest.raises(ValueError, match="one scene per clip, 6, got 5"):
        distance_permutation_test(first, second, real, scenes[:5], moments)
    with pytest.raises(ValueError, match="must have clips, got none"):
        distance_permutation_test(first[:0], second[:0], real, [], moments)
    with pytest.raises(ValueError, match="second must be finite"):
        distance_permutation_test(first, second / 0, real, scenes, moments)
    with pytest.raises(ValueError, match="num_permutations must be at least 1, got 0"):
        distance_permutation_test(first, second, real, scenes, moments, num_permutations=0)
    with pytest.raises(ValueError, match="two clips a side are needed, got 1 and 6 real ones"):
        distance_under_chance(real, 1, moments)
    with pytest.raises(ValueError, match="num_draws must be at least 1, got 0"):
        distance_under_chance(real, 5, moments, num_draws=0)
    with pytest.raises(ValueError, match="reference must be finite"):
        distance_under_chance(real / 0, 5, moments)
