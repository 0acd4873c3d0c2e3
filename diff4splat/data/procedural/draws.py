"""Counter-based random numbers: every scene has its own stream, and a batch is drawn at once.

Number ``i`` of a stream is a hash of (seed, stream, i), so that a scene depends neither on the batch it is
drawn in nor on the device. Torch's own CPU generator keeps 32 bits of a seed: distant seeds would coincide.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Draws", "hash_integers", "seed_keys", "white_noise"]

_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def hash_integers(values: Int64[Tensor, "*batch"]) -> Int64[Tensor, "*batch"]:
    """Integers scrambled by a bijection of the 64-bit integers (the finaliser of SplitMix64).

    Args:
        values: Any 64-bit integers.

    Returns:
        One integer for each, different for different values.
    """
    values = (values ^ ((values >> 30) & ((1 << 34) - 1))) * _FIRST
    values = (values ^ ((values >> 27) & ((1 << 37) - 1))) * _SECOND
    return values ^ ((values >> 31) & ((1 << 33) - 1))


def seed_keys(seeds: Sequence[int], stream: int) -> Int64[Tensor, " batch"]:
    """One key per seed; different streams of one seed are independent.

    Args:
        seeds: Whole numbers in [0, 2**62).
        stream: Which independent sequence of the seed to use.

    Returns:
        Keys for `Draws` and `white_noise`, distinct for distinct seeds.

    Raises:
        TypeError: If a seed is not an integer.
        ValueError: If there is no seed or one is out of range.
    """
    if len(seeds) == 0:
        raise ValueError("seeds must hold at least one seed, got none.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seeds must be integers, got {type(seed).__name__}.")
        if not 0 <= seed < 1 << 62:
            raise ValueError(f"seeds must lie in [0, 2**62), got {seed}.")
    return hash_integers(
        hash_integers(torch.tensor(list(seeds), dtype=torch.int64)) + torch.tensor(stream) * _STEP
    )


def white_noise(keys: Int64[Tensor, " batch"], count: int, *, start: int = 0) -> Float[Tensor, "batch count"]:
    """Independent numbers, uniform in [0, 1), on the device of `keys`.

    Args:
        keys: From `seed_keys`.
        count: Numbers per key.
        start: Position in the stream of the first one.

    Returns:
        The same numbers on every device.
    """
    counter = torch.arange(start, start + count, device=keys.device) * _STEP
    return ((hash_integers(keys[:, None] + counter) >> 40) & ((1 << 24) - 1)).to(torch.float32) * 2.0**-24


class Draws:
    """A cursor over one stream per scene: each call draws the next numbers of every scene.

    Args:
        seeds: One per scene.
        stream: Which independent sequence of the seeds.
    """

    def __init__(self, seeds: Sequence[int], stream: int) -> None:
        self._keys = seed_keys(seeds, stream)
        self._position = 0

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> Tensor:
        """Numbers in [low, high) of shape (batch, *shape).

        Args:
            low: Least value.
            high: Bound above.
            *shape: Axes after the batch axis.

        Returns:
            Float32 numbers.
        """
        count = 1
        for size in shape:
            count *= size
        numbers = white_noise(self._keys, count, start=self._position).reshape(-1, *shape)
        self._position += count
        return low + (high - low) * numbers

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Booleans that hold with the given probability.

        Args:
            probability: Share of draws that hold, in [0, 1].
            *shape: Axes after the batch axis.

        Returns:
            Booleans of shape (batch, *shape).
        """
        return self.uniform(0.0, 1.0, *shape) < probability

    def choose(self, weights: Sequence[float | int], *shape: int) -> Tensor:
        """Indices 0 .. len(weights) - 1 drawn in proportion to `weights`.

        Args:
            weights: Relative frequencies, >= 0.
            *shape: Axes after the batch axis.

        Returns:
            Integers of shape (batch, *shape).
        """
        edges = torch.tensor(list(weights), dtype=torch.float64).cumsum(0)
        edges = (edges / edges[-1]).to(torch.float32)[:-1].contiguous()
        return torch.searchsorted(edges, self.uniform(0.0, 1.0, *shape), right=True)
