"""Distances between sets of clips, FVD and KVD: a test between two methods, and what chance alone does.

There is no interval by the bootstrap. It repeats clips, a set with repeated clips is farther from the real
ones than the set itself, and so its interval may not even hold the number that it is made for.
"""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Distance", "distance_permutation_test", "distance_under_chance"]

Distance = Callable[[Tensor, Tensor], float]
"""A distance of features to those of real clips, both `"clip feature"`, such as the Fréchet distance."""

_ROUNDING = 1e-9


def distance_permutation_test(
    first: Float[Tensor, "clip feature"],
    second: Float[Tensor, "clip feature"],
    reference: Float[Tensor, "reference feature"],
    scenes: Sequence[str],
    distance: Distance,
    *,
    num_permutations: int = 1000,
    seed: int = 0,
) -> float:
    r"""Two-sided p-value of the difference of two methods' distances to the same real clips.

    $$p = \frac{1 + \#\{k : \lvert T_k \rvert \ge \lvert T \rvert\}}{1 + m}, \qquad
      T = D(B, R) - D(A, R)$$

    with $A$ = `first`, $B$ = `second`, $R$ = `reference`, $D$ = `distance`, and $T_k$ the same after all
    clips of some scenes, drawn anew for each of $m$ = `num_permutations`, changed sides. Where the scenes
    allow for at most $m$ swaps, counting a swap and its opposite as one, all are tried and $p$ is their
    share.

    What is tested is whether the methods could be exchanged, clip for clip. If so, $p$ is below 0.05 one time
    in twenty at most, whatever the bias of $D$ at so many clips, because both sides always have as many.
    Source: Phipson and Smyth, Permutation p-values should never be zero (2010), for the counting.

    Args:
        first: Features of the clips of the first method.
        second: Features of the same clips of the second one, in the same order.
        reference: Features of real clips, any number of them.
        scenes: Scene of each clip.
        distance: Called as `distance(features, reference)`, twice per permutation.
        num_permutations: Most swaps that are tried, at least 1.
        seed: Seed of the draws, >= 0.

    Returns:
        The p-value in (0, 1].

    Raises:
        ValueError: If the two sets differ in shape, there is not one scene per clip, a feature is not finite,
            there are no clips, or `num_permutations` is below 1.
    """
    _check_sets(first, second, reference, scenes)
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}.")
    names = list(dict.fromkeys(scenes))
    place = torch.tensor([names.index(scene) for scene in scenes], dtype=torch.int64)
    swaps, exact = _swaps(len(names), num_permutations, seed)

    def distances(swapped: Tensor) -> tuple[float, float]:
        sides = swapped[place, None]
        a, b = torch.where(sides, second, first), torch.where(sides, first, second)
        return distance(a, reference), distance(b, reference)

    near, far = distances(torch.zeros(len(names), dtype=torch.bool))
    # sums in another order round differently, which must not break a tie
    least = abs(far - near) - _ROUNDING * (abs(far) + abs(near))
    found = [abs(b - a) >= least for a, b in map(distances, swaps)]
    return (sum(found) + 1) / (len(found) + 1) if not exact else sum(found) / len(found)


def distance_under_chance(
    reference: Float[Tensor, "reference feature"],
    num_clips: int,
    distance: Distance,
    *,
    num_draws: int = 5,
    seed: int = 0,
) -> float:
    """Distance between two independent sets of clips that differ by chance alone.

    Both sets are drawn from one normal distribution, whose covariance is that of the real clips; the second
    has as many clips as `reference`. The Fréchet distance of such sets is far above 0, more so the fewer they
    are. Fewer real clips than features have less spread than what they come from, so the true number is
    larger.

    Args:
        reference: Features of real clips, at least two.
        num_clips: Clips of the method, at least 2.
        distance: Called as `distance(features, reference)`, once per draw.
        num_draws: Pairs of sets that are drawn, at least 1.
        seed: Seed of the draws.

    Returns:
        Mean distance.

    Raises:
        ValueError: If there are fewer than two clips on a side, a feature is not finite, or `num_draws` is
            below 1.
    """
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, got {num_draws}.")
    if min(len(reference), num_clips) < 2:
        raise ValueError(f"two clips a side are needed, got {num_clips} and {len(reference)} real ones.")
    if not bool(reference.isfinite().all()):
        raise ValueError("reference must be finite.")
    reference = reference.detach().double().cpu()
    root = (reference - reference.mean(0)) / (len(reference) - 1) ** 0.5  # root.T @ root is the covariance
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        normal = torch.randn(count, len(root), generator=generator, dtype=torch.float64)
        return normal @ root

    total = sum(distance(draw(num_clips), draw(len(reference))) for _ in range(num_draws))
    return total / num_draws


def _check_sets(first: Tensor, second: Tensor, reference: Tensor, scenes: Sequence[str]) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"second must have the shape of first, {tuple(first.shape)}, got {tuple(second.shape)}."
        )
    if len(first) == 0:
        raise ValueError("first and second must have clips, got none.")
    if len(scenes) != len(first):
        raise ValueError(f"scenes must name one scene per clip, {len(first)}, got {len(scenes)}.")
    for name, features in (("first", first), ("second", second), ("reference", reference)):
        if not bool(features.isfinite().all()):
            raise ValueError(f"{name} must be finite.")


def _swaps(num_scenes: int, most: int, seed: int) -> tuple[Bool[Tensor, "permutation scene"], bool]:
    """Which scenes change sides, and whether these are all ways; in that case the first scene never does."""
    if num_scenes <= 1 or 2 ** (num_scenes - 1) <= most:
        rows = [(False, *rest) for rest in product((False, True), repeat=num_scenes - 1)]
        return torch.tensor(rows, dtype=torch.bool), True
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (most, num_scenes), generator=generator).bool(), False
