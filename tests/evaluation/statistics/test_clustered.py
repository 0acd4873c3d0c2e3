"""Means over scenes: against loops and formulas, how often the interval holds the truth, and its limits."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_statistics as reference

from diff4splat.evaluation import clustered_estimate, clustered_standard_error, scene_means

SCENES = ["sea", "cab", "sea", "owl", "cab", "sea", "fox", "owl"]
VALUES = torch.tensor([2.0, math.nan, 5.0, 1.0, 3.0, 11.0, math.nan, 2.0], dtype=torch.float64)


def scene_effect(seed: int, scenes: int, clips: int, share: float = 0.9) -> tuple[torch.Tensor, list[str]]:
    """Normal numbers around 0, most of whose variance is between scenes."""
    draw = np.random.default_rng(seed)
    values = math.sqrt(share) * draw.normal(size=(scenes, 1))
    values = values + math.sqrt(1 - share) * draw.normal(size=(scenes, clips))
    return torch.from_numpy(values.reshape(-1)), [str(index // clips) for index in range(scenes * clips)]


def test_means_per_scene_match_the_loop() -> None:
    found = scene_means(VALUES, SCENES)
    expected = reference.scene_means(VALUES.tolist(), SCENES)
    assert found.scenes == tuple(expected) == ("sea", "cab", "owl", "fox")
    means, counts = zip(*expected.values(), strict=True)
    np.testing.assert_allclose(found.means, means, atol=1e-14)
    assert found.counts.tolist() == list(counts) == [3, 1, 2, 0]


def test_every_scene_counts_the_same() -> None:
    # pitfall: the mean over clips is ruled by the scenes with the most clips
    estimate = clustered_estimate(VALUES, SCENES)
    assert estimate.value == pytest.approx((6 + 3 + 1.5) / 3) and estimate.count == 3
    assert estimate.value != pytest.approx(VALUES.nanmean().item())


def test_standard_error_by_hand() -> None:
    values, scenes = torch.tensor([1.0, 3.0, 5.0, 9.0, 2.0]), ["a", "a", "b", "b", "c"]
    # means 2, 7, 2; mean 11/3; squares (25 + 100 + 25) / 9
    expected = math.sqrt(150 / 9 / 2) / math.sqrt(3)
    assert clustered_standard_error(values, scenes) == pytest.approx(expected, abs=1e-12)
    alone = clustered_standard_error(values, ["a", "b", "c", "d", "e"])
    assert alone == pytest.approx(float(values.std()) / math.sqrt(5), rel=1e-6)
    assert math.isnan(clustered_standard_error(values, ["a"] * 5))


def test_the_clips_of_a_scene_are_not_so_many_more() -> None:
    # pitfall: the error of a mean of clips that are taken as independent, here less than half of the true one
    values, scenes = scene_effect(3, 32, 5)
    naive = float(values.std()) / math.sqrt(len(values))
    assert clustered_standard_error(values, scenes) > 1.8 * naive
    doubled = torch.cat((values, values))
    assert clustered_standard_error(doubled, scenes * 2) == pytest.approx(
        clustered_standard_error(values, scenes), abs=1e-12
    )


def test_interval_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(5).exponential(size=17)
    scenes = [str(index) for index in range(17)]
    estimate = clustered_estimate(torch.from_numpy(values), scenes, num_resamples=20_000)
    low, high = reference.bca_interval(values, 20_000, seed=1)
    # ends of two bootstraps of 20,000 scatter by about 1 % of the width
    width = high - low
    assert estimate.low == pytest.approx(low, abs=0.03 * width)
    assert estimate.high == pytest.approx(high, abs=0.03 * width)
    # numbers with a long tail upwards: the interval reaches farther up, which the percentiles alone do less
    assert estimate.high - estimate.value > 1.1 * (estimate.value - estimate.low)


def test_the_interval_holds_the_truth_where_the_naive_one_does_not() -> None:
    repeats, held, naive = 300, 0, 0
    for seed in range(repeats):
        values, scenes = scene_effect(seed, 31, 5)
        estimate = clustered_estimate(values, scenes, num_resamples=999, seed=seed)
        held += estimate.low <= 0 <= estimate.high
        naive += abs(float(values.mean())) <= 1.96 * float(values.std()) / math.sqrt(len(values))
    error = math.sqrt(0.05 * 0.95 / repeats)  # of a share of 95 % in so many repeats, 1.3 %
    assert 0.93 - 3 * error <= held / repeats <= 0.95 + 3 * error, held
    # pitfall: five clips of a scene taken as five scenes; the true share is 2 P(z < 0.92) - 1 = 0.64
    assert naive / repeats <= 0.64 + 3 * math.sqrt(0.64 * 0.36 / repeats), naive


def test_one_scene_has_no_interval_and_none_no_number() -> None:
    alone = clustered_estimate(torch.tensor([1.0, 4.0]), ["a", "a"])
    assert alone.value == 2.5 and alone.count == 1 and math.isnan(alone.low) and math.isnan(alone.high)
    for values, scenes in ((torch.tensor([math.nan]), ["a"]), (torch.zeros(0), [])):
        nothing = clustered_estimate(values, scenes)
        assert nothing.count == 0 and math.isnan(nothing.value) and math.isnan(nothing.low)


def test_two_scenes_have_no_interval() -> None:
    # pitfall: from one mean to the other, which holds the truth in one of two cases, not in 95 %
    for values in ([1.0, 5.0], [3.0, 3.0]):
        found = clustered_estimate(torch.tensor(values), ["cab", "sea"])
        assert (found.value, found.count) == (3.0, 2) and math.isnan(found.low) and math.isnan(found.high)


def test_scenes_that_agree_have_an_interval_without_width() -> None:
    estimate = clustered_estimate(torch.full((7,), 0.1), ["a", "a", "b", "c", "d", "e", "e"])
    assert estimate.low == estimate.value == estimate.high == pytest.approx(0.1) and estimate.count == 5


def test_where_bca_is_undefined_the_percentiles_stand_in() -> None:
    # one resample lies on one side of the mean, so the share below it is 0 or 1 and its quantile infinite
    estimate = clustered_estimate(torch.tensor([1.0, 2.0, 6.0]), ["a", "b", "c"], num_resamples=1, seed=0)
    assert math.isfinite(estimate.low) and estimate.low == estimate.high != estimate.value
    assert 1 <= estimate.low <= 6


def test_the_seed_decides_and_the_order_of_clips_of_a_scene_does_not() -> None:
    values, scenes = scene_effect(0, 7, 3)
    once = clustered_estimate(values, scenes, seed=3)
    assert once == clustered_estimate(values, scenes, seed=3)
    assert once.low != clustered_estimate(values, scenes, seed=4).low
    within = torch.arange(21).reshape(7, 3).flip(1).reshape(-1)
    mixed = clustered_estimate(values[within], scenes, seed=3)
    # pitfall: resamples that are the seven scenes in another order fall below their mean by rounding
    assert mixed.low == pytest.approx(once.low, abs=1e-8) and mixed.high == pytest.approx(once.high, abs=1e-8)


def test_unit_and_origin_do_not_matter() -> None:
    values, scenes = scene_effect(0, 7, 3)
    once, scaled = (clustered_estimate(v, scenes) for v in (values, 3 * values + 1))
    assert scaled.low == pytest.approx(3 * once.low + 1) and scaled.high == pytest.approx(3 * once.high + 1)


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="one scene per clip, 3, got 2"):
        scene_means(torch.zeros(3), ["a", "b"])
    with pytest.raises(ValueError, match="finite or NaN, got 1 infinite"):
        clustered_estimate(torch.tensor([1.0, math.inf]), ["a", "b"])
    with pytest.raises(ValueError, match="num_resamples must be at least 1, got 0"):
        clustered_estimate(torch.zeros(2), ["a", "b"], num_resamples=0)
