"""Draws follow from a seed and a number, and cover what they are drawn from."""

import torch

from diff4splat.data.sampling.draws import draw_integer, draw_number, draw_some, generator_of


def test_each_item_has_numbers_of_its_own() -> None:
    first = {
        (seed, index): tuple(torch.rand(3, generator=generator_of(seed, index)).tolist())
        for seed in range(5)
        for index in range(7)
    }
    assert len(set(first.values())) == 35
    assert tuple(torch.rand(3, generator=generator_of(2, 3)).tolist()) == first[2, 3]


def test_draws_stay_in_range_and_reach_its_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    assert {draw_integer(3, 5, generator) for _ in range(50)} == {3, 4, 5}
    assert draw_integer(7, 7, generator) == 7
    numbers = [draw_number(-2.0, 3.0, generator) for _ in range(300)]
    assert -2 <= min(numbers) < -1.8 and 2.8 < max(numbers) <= 3


def test_some_of_many_are_different_and_ascend() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        some = draw_some(11, 7, generator).tolist()
        assert len(set(some)) == 7 and some == sorted(some) and 0 <= some[0] and some[-1] < 11
    assert draw_some(5, 9, generator).tolist() == [0, 1, 2, 3, 4]
    assert draw_some(0, 9, None).tolist() == []
    assert draw_some(10, 4, None).tolist() == [0, 2, 5, 7], "evenly spread"
    seen = torch.cat([draw_some(11, 2, generator) for _ in range(100)])
    assert seen.unique().tolist() == list(range(11)), "each can be drawn"
