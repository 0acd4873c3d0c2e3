"""Paired differences and tests: by hand, against all signs, and how often chance is taken for more."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_statistics as reference
from scipy import stats

from diff4splat.evaluation import clustered_estimate, holm, paired_difference, paired_permutation_test


def each(count: int) -> list[str]:
    return [str(index) for index in range(count)]


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 32),  # all and none
        ([1.0, 2.0, 3.0, 4.0, -5.0], 20 / 32),  # six patterns have sums of 1 or -1, six of 3 or -3
        ([1.0, 1.0, -1.0, -1.0, 0.0], 1.0),
        ([-1.0, -1.0, -1.0, -1.0], 2 / 16),
    ],
)
def test_few_scenes_by_hand(differences, expected) -> None:
    second = torch.tensor(differences, dtype=torch.float64)
    p = paired_permutation_test(torch.zeros_like(second), second, each(len(differences)))
    assert p == pytest.approx(expected) == reference.sign_test(differences)


def test_drawn_signs_come_close_to_all_of_them() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=13), draw.normal(0.4, 1, size=13)
    exact = reference.sign_test((second - first).tolist())
    a, b = torch.from_numpy(first), torch.from_numpy(second)
    assert paired_permutation_test(a, b, each(13)) == pytest.approx(exact, abs=1e-12)  # 2^13 <= 10,000
    drawn = paired_permutation_test(a, b, each(13), num_permutations=4000)
    error = 2 * math.sqrt(exact / 2 * (1 - exact / 2) / 4000)
    assert drawn != exact and abs(drawn - exact) < 4 * error + 2 / 4001
    assert drawn == paired_permutation_test(a, b, each(13), num_permutations=4000)


def test_agrees_with_ranks_on_what_is_clear() -> None:
    draw = np.random.default_rng(1)
    first = draw.normal(size=32)
    for shift, clear in ((0.0, False), (0.6, True)):
        second = first + shift + 0.5 * draw.normal(size=32)
        p = paired_permutation_test(torch.from_numpy(first), torch.from_numpy(second), each(32))
        assert (p < 0.01) == (stats.wilcoxon(second, first).pvalue < 0.01) == clear


def test_p_is_never_zero() -> None:
    # pitfall: a share of drawn swaps that does not count the observed one can be 0
    p = paired_permutation_test(torch.zeros(40), torch.arange(40) + 1.0, each(40), num_permutations=999)
    assert p == pytest.approx(2 / 1000)


def test_swapping_the_methods_turns_the_sign_and_nothing_else() -> None:
    draw = np.random.default_rng(2)
    a, b = (torch.from_numpy(draw.normal(size=21)) for _ in range(2))
    scenes = [str(index // 3) for index in range(21)]
    once, back = paired_difference(a, b, scenes), paired_difference(b, a, scenes)
    assert back.value == pytest.approx(-once.value)
    assert back.low == pytest.approx(-once.high, abs=0.05 * (once.high - once.low))
    assert paired_permutation_test(a, b, scenes) == paired_permutation_test(b, a, scenes)


def test_pairing_finds_what_two_intervals_hide() -> None:
    # pitfall: comparing two intervals; scenes differ by 10, the methods by 1
    draw = np.random.default_rng(3)
    scene = np.repeat(10 * draw.normal(size=31), 5)
    first, second = (torch.from_numpy(scene + shift + draw.normal(size=155)) for shift in (0.0, 1.0))
    scenes = [str(index // 5) for index in range(155)]
    apart = [clustered_estimate(values, scenes) for values in (first, second)]
    assert apart[0].high > apart[1].value and apart[1].low < apart[0].value
    difference = paired_difference(first, second, scenes)
    assert 0.3 < difference.low < 1 < difference.high < 1.7 and difference.count == 31
    assert paired_permutation_test(first, second, scenes) < 0.001


def test_clips_of_a_scene_that_are_taken_as_scenes_find_too_much() -> None:
    repeats, by_scene, by_clip = 200, 0, 0
    scenes = [str(index // 5) for index in range(65)]
    for seed in range(repeats):
        draw = np.random.default_rng(seed)
        difference = np.repeat(draw.normal(size=13), 5) + 0.3 * draw.normal(size=65)
        first, second = torch.zeros(65), torch.from_numpy(difference)
        by_scene += paired_permutation_test(first, second, scenes, num_permutations=999) < 0.05
        by_clip += paired_permutation_test(first, second, each(65), num_permutations=199) < 0.05
    assert by_scene / repeats <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats), by_scene
    assert by_clip / repeats > 0.25, by_clip  # pitfall


def test_clips_that_one_lacks_do_not_count() -> None:
    nan = math.nan
    first, second = torch.tensor([1.0, nan, 3.0, 4.0]), torch.tensor([2.0, 2.0, nan, 7.0])
    estimate = paired_difference(first, second, ["a", "b", "b", "c"])
    assert estimate.value == 2.0 and estimate.count == 2
    assert paired_permutation_test(first, second, ["a", "b", "b", "c"]) == 0.5
    assert paired_permutation_test(first[:2], second[:2], ["a", "b"]) == 1.0
    assert math.isnan(paired_permutation_test(first[1:3], second[1:3], ["a", "b"]))
    assert math.isnan(paired_difference(first[1:3], second[1:3], ["a", "b"]).value)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.6]) == (1.0, 1.0) and holm([]) == () and holm([0.2]) == (0.2,)


def test_holm_rejects_what_the_procedure_rejects() -> None:
    draw = np.random.default_rng(4)
    for _ in range(50):
        p_values = (draw.uniform(size=7) ** 3).tolist()
        for level in (0.01, 0.05, 0.3):
            assert [p <= level for p in holm(p_values)] == reference.holm_rejects(p_values, level)


def test_holm_passes_what_was_not_tested() -> None:
    adjusted = holm([0.02, math.nan, 0.01, math.nan])
    assert adjusted[0] == adjusted[2] == 0.02 and math.isnan(adjusted[1]) and math.isnan(adjusted[3])


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="one number per clip of first, 3, got 2"):
        paired_difference(torch.zeros(3), torch.zeros(2), each(3))
    with pytest.raises(ValueError, match="second must be finite or NaN, got 1 infinite"):
        paired_permutation_test(torch.zeros(2), torch.tensor([0.0, math.inf]), each(2))
    with pytest.raises(ValueError, match="one scene per clip, 3, got 2"):
        paired_permutation_test(torch.zeros(3), torch.zeros(3), each(2))
    with pytest.raises(ValueError, match="num_permutations must be at least 1, got 0"):
        paired_permutation_test(torch.zeros(3), torch.zeros(3), each(3), num_permutations=0)
    with pytest.raises(ValueError, match=r"in \[0, 1\] or NaN, got 1.5"):
        holm([0.1, 1.5])
