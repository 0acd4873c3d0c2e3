"""Estimates and intervals: exact values, known spread, and what is left out."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_metrics as reference

from diff4splat.evaluation import least_mean_estimate, mean_estimate, ratio_estimate, share_estimate


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mean_and_interval_of_normal_numbers_are_those_of_theory() -> None:
    values = torch.randn(101, generator=seeded(), dtype=torch.float64)
    estimate = mean_estimate(values, generator=seeded(1))
    spread = 1.96 * values.std(correction=0).item() / math.sqrt(101)
    assert estimate.value == pytest.approx(values.mean().item(), abs=1e-12)
    # ends of the bootstrap scatter by a few per cent of the spread with 10,000 resamples
    assert estimate.low == pytest.approx(values.mean().item() - spread, abs=0.1 * spread)
    assert estimate.high == pytest.approx(values.mean().item() + spread, abs=0.1 * spread)
    assert estimate.count == 101


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draws = torch.rand(200, 31, generator=seeded())
    found = [mean_estimate(row, generator=seeded(), num_resamples=500) for row in draws]
    held = sum(estimate.low <= 0.5 <= estimate.high for estimate in found)
    assert 180 <= held <= 199  # 95 % of 200 is 190, a little fewer with 31 scenes


def test_the_same_generator_gives_the_same_interval() -> None:
    values = torch.rand(13, generator=seeded())
    first = mean_estimate(values, generator=seeded(3))
    assert first == mean_estimate(values, generator=seeded(3))
    assert first != mean_estimate(values, generator=seeded(4))


def test_order_and_scale_of_scenes_change_nothing_that_matters() -> None:
    values = torch.rand(13, generator=seeded(), dtype=torch.float64)
    once, scaled = (mean_estimate(v, generator=seeded()) for v in (values, 3 * values + 1))
    assert scaled.low == pytest.approx(3 * once.low + 1) and scaled.high == pytest.approx(3 * once.high + 1)


def test_ratio_of_sums() -> None:
    numerator, denominator = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 8.0])
    assert ratio_estimate(numerator, denominator, generator=seeded()).value == pytest.approx(0.5)
    estimate = ratio_estimate(0.3 * denominator, denominator, generator=seeded())
    assert estimate.low == pytest.approx(0.3) and estimate.high == pytest.approx(0.3)


def test_scenes_without_a_number_are_left_out() -> None:
    estimate = mean_estimate(torch.tensor([1.0, torch.nan, 3.0]), generator=seeded())
    assert (estimate.value, estimate.count) == (2.0, 2)
    lonely = mean_estimate(torch.tensor([1.0, torch.nan]), generator=seeded())
    assert lonely.value == 1.0 and math.isnan(lonely.low) and math.isnan(lonely.high)
    nothing = mean_estimate(torch.tensor([torch.nan]), generator=seeded())
    assert math.isnan(nothing.value) and nothing.count == 0


def test_least_mean_matches_reference() -> None:
    values = torch.randn(13, 3, generator=seeded(), dtype=torch.float64)
    estimate, rival = least_mean_estimate(values, generator=seeded(1), num_resamples=211)
    draws = torch.randint(0, 13, (211, 13), generator=seeded(1)).numpy()
    low, high = reference.least_mean_interval(values.numpy(), draws)
    assert estimate.value == pytest.approx(reference.least_mean(values.numpy()), abs=1e-12)
    assert rival == int(np.argmin(values.numpy().mean(0)))
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_least_mean_of_one_rival_is_its_mean_and_order_only_renames() -> None:
    values = torch.rand(13, 3, generator=seeded(), dtype=torch.float64)
    values[5] = torch.nan
    alone, rival = least_mean_estimate(values[:, 1:2], generator=seeded(1))
    assert alone == mean_estimate(values[:, 1], generator=seeded(1)) and rival == 0
    once, first = least_mean_estimate(values, generator=seeded(1))
    swapped, second = least_mean_estimate(values.flip(1), generator=seeded(1))
    assert once == swapped and second == 2 - first and once.count == 12


def test_the_rival_is_chosen_over_the_scenes_that_count() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [-9.0, torch.nan], [torch.nan, -99.0]])
    estimate, rival = least_mean_estimate(values, generator=seeded())
    assert (estimate.value, estimate.count, rival) == (2.0, 2, 0)


def test_choosing_the_rival_widens_the_interval_downwards() -> None:
    values = torch.randn(31, 7, generator=seeded(), dtype=torch.float64)
    values = values - values.mean(0)  # seven rivals that are equally hard
    estimate, _ = least_mean_estimate(values, generator=seeded())
    alone = [mean_estimate(column, generator=seeded()).high for column in values.T]
    assert estimate.high < 0.2 * min(alone), "some rival is ahead in almost every resample"


def test_least_mean_of_no_scenes_is_unknown() -> None:
    estimate, rival = least_mean_estimate(torch.full((2, 3), torch.nan), generator=seeded())
    assert math.isnan(estimate.value) and estimate.count == 0 and rival == 0


@pytest.mark.parametrize(("successes", "count"), [(0, 7), (3, 7), (7, 7), (61, 64), (1, 2)])
def test_share_matches_the_equation_that_wilson_solves(successes, count) -> None:
    estimate = share_estimate(torch.arange(count) < successes)
    low, high = reference.wilson_interval(successes, count)
    assert estimate.value == pytest.approx(successes / count)
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_share_of_no_scenes_is_unknown() -> None:
    assert math.isnan(share_estimate(torch.zeros(0, dtype=torch.bool)).value)


def test_resamples_are_needed() -> None:
    with pytest.raises(ValueError, match="num_resamples must be at least 1, got 0"):
        mean_estimate(torch.ones(3), generator=seeded(), num_resamples=0)
    with pytest.raises(ValueError, match="num_resamples must be at least 1, got 0"):
        least_mean_estimate(torch.ones(3, 2), generator=seeded(), num_resamples=0)


def test_shares_are_of_truth_values(without_shape_checker) -> None:
    # pitfall: numbers gave an interval of shares, or an error of the square root
    for answers in (torch.tensor([0.2, 0.7]), torch.tensor([0, 1, 3])):
        with pytest.raises(TypeError, match="successes must be boolean, got"):
            share_estimate(answers)
