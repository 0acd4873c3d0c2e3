"""Random choices that follow from a seed and a number alone."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["draw_integer", "draw_number", "draw_some", "generator_of"]


def generator_of(seed: int, index: int) -> torch.Generator:
    """Random numbers of an item, which are those of no other item or seed.

    Args:
        seed: At least 0.
        index: Number of the item, at least 0.

    Returns:
        A generator on the CPU.
    """
    state = np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)


def draw_integer(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number from `low` to `high`, both included.

    Args:
        low: Smallest.
        high: Largest, at least `low`.
        generator: Random numbers.

    Returns:
        The number.
    """
    return int(torch.randint(low, high + 1, (), generator=generator))


def draw_number(low: float, high: float, generator: torch.Generator) -> float:
    """A number from `low` to `high`.

    Args:
        low: Smallest.
        high: Largest.
        generator: Random numbers.

    Returns:
        The number.
    """
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def draw_some(count: int, number: int, generator: torch.Generator | None) -> Int[Tensor, " drawn"]:
    """Some of the numbers from 0 to `count` - 1, each at most once.

    Args:
        count: How many there are.
        number: How many are wanted; all where there are no more.
        generator: Random numbers; evenly spread ones when omitted.

    Returns:
        The numbers, ascending.
    """
    if number >= count:
        return torch.arange(count)
    if generator is None:
        return torch.arange(number) * count // number
    return torch.randperm(count, generator=generator)[:number].sort().values
