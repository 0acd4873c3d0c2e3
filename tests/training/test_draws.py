"""Random numbers of a step: the same however its clips are spread, others in another step or stage."""

import torch

from diff4splat.training import Draws
from diff4splat.training.draws import seeded


def numbers(draws: Draws) -> list[torch.Tensor]:
    """What a step might draw, one after another."""
    return [draws.normal(2, 3), draws.uniform(), draws.normal(), draws.uniform(5)]


def test_rows_do_not_depend_on_how_they_are_cut() -> None:
    whole = numbers(Draws("run", 7, range(5)))
    cut = [numbers(Draws("run", 7, rows)) for rows in ([0, 1], [2], [3, 4])]
    assert [value.shape for value in whole] == [(5, 2, 3), (5,), (5,), (5, 5)]
    for value, *parts in zip(whole, *cut, strict=True):
        assert torch.equal(value, torch.cat(parts))
    shuffled = numbers(Draws("run", 7, [4, 0]))
    assert all(torch.equal(got, value[[4, 0]]) for got, value in zip(shuffled, whole, strict=True))


def test_draws_of_the_batch_are_shared_and_leave_the_rows_alone() -> None:
    first, second = Draws("run", 7, [0, 1]), Draws("run", 7, [2])
    expected = Draws("run", 7, [0, 1]).normal(3)
    assert torch.equal(torch.rand(5, generator=first.batch), torch.rand(5, generator=second.batch))
    assert torch.equal(first.normal(3), expected)
    second.normal(3)
    assert torch.equal(torch.rand(5, generator=first.batch), torch.rand(5, generator=second.batch))


def test_rows_steps_and_stages_have_numbers_of_their_own() -> None:
    keys = [("0/low", 7, 0), ("0/low", 7, 1), ("0/low", 8, 0), ("0/high", 7, 0), ("1/low", 7, 0)]
    drawn = torch.cat([Draws(seed, step, [row]).normal(11) for seed, step, row in keys])
    shared = torch.stack([torch.randn(11, generator=Draws(s, step, [0]).batch) for s, step, _ in keys[::2]])
    together = torch.cat((drawn, shared))
    assert len(together.unique()) == together.numel()


def test_numbers_have_the_distribution_they_say() -> None:
    draws = Draws("run", 0, range(101))
    normal, uniform = draws.normal(97), draws.uniform(97)
    # 9797 numbers: standard errors of 0.010 and 0.007 for the normal ones, 0.003 for the others
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.04
    assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.015


def test_generators_follow_from_all_words() -> None:
    def first(*words: object) -> int:
        return int(torch.randint(2**62, (1,), generator=seeded(*words)))

    assert first("a", 1) == first("a", 1)
    assert len({first("a", 1), first("a", 2), first("b", 1), first("a", 1, 0), first("a")}) == 5
