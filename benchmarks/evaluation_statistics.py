"""What numbers of few clips are worth: FVD and KVD by chance, coverage of intervals, and the cost of a test.

Run `python benchmarks/evaluation_statistics.py`; the tables of docs/comparing.md are what it prints. Features
and scores are drawn from normal distributions, so that the truth is known.
"""

import math
from pathlib import Path

import torch
import tyro
from measuring import Result, conclude, describe, machine, once, report
from torch import Tensor

from diff4splat.evaluation import (
    clustered_estimate,
    distance_permutation_test,
    jackknife_estimate,
    paired_permutation_test,
)


def frechet(features: Tensor, reference: Tensor) -> float:
    """Fréchet distance by singular values; both float64."""
    x, y = features - features.mean(0), reference - reference.mean(0)
    n, m = len(x) - 1, len(y) - 1
    x, y = (torch.linalg.qr(z, mode="r").R if len(z) > z.shape[1] else z for z in (x, y))
    shared = torch.linalg.svdvals(x @ y.T).sum() / math.sqrt(n * m)
    means = (features.mean(0) - reference.mean(0)).square().sum()
    return float(means + x.square().sum() / n + y.square().sum() / m - 2 * shared)


def kernel(features: Tensor, reference: Tensor) -> float:
    """Unbiased polynomial MMD²."""

    def gram(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        values = gram(a, a)
        return (values.sum() - values.trace()) / (len(a) * (len(a) - 1))

    return float(within(features) + within(reference) - 2 * gram(features, reference).mean())


def spectra(width: int) -> dict[str, Tensor]:
    """Spread along each axis, total variance `width`: the same along all of them, or falling as 1 / k."""
    falling = 1 / torch.arange(1, width + 1, dtype=torch.float64)
    return {
        "all axes alike": torch.ones(width, dtype=torch.float64),
        "variances fall as 1/k": (width * falling / falling.sum()).sqrt(),
    }


def chance(sizes: list[int], width: int, draws: int) -> list[Result]:
    """Distances of two sets from one distribution, whose true distance is 0."""
    results = []
    generator = torch.Generator().manual_seed(0)
    for name, spread in spectra(width).items():
        for size in sizes:
            sets = [
                spread * torch.randn(2, size, width, generator=generator, dtype=torch.float64)
                for _ in range(draws)
            ]
            for part, distance in (("FVD", frechet), ("KVD", kernel)):
                mean = sum(distance(a, b) for a, b in sets) / draws
                results.append(Result(part, f"{name}, {size} clips", mean, "", size=size))
    return report(results)


def coverage(scenes: list[int], repeats: int) -> list[Result]:
    """How often intervals of 95 % hold the truth; nine tenths of the variance lie between scenes."""
    results = []
    for count in scenes:
        held, naive = 0, 0
        names = [str(index // 5) for index in range(5 * count)]
        for seed in range(repeats):
            values = scores(count, seed)
            estimate = clustered_estimate(values, names, num_resamples=2000, seed=seed)
            held += estimate.low <= 0 <= estimate.high
            naive += abs(float(values.mean())) <= 1.96 * float(values.std()) / math.sqrt(len(values))
        goal = 92.0 if count == 32 else None
        ours = Result(
            "interval", f"over scenes, {count} scenes", 100 * held / repeats, "%", goal=goal, at_least=True
        )
        results += [ours, Result("interval", f"over clips, {count} scenes", 100 * naive / repeats, "%")]
    return report(results)


def kernel_coverage(shifts: list[float], repeats: int, width: int = 16) -> list[Result]:
    """How often the interval of KVD holds its mean, and that mean: clips of a scene are alike.

    Real and made clips show the same 32 scenes, or others; features of the made ones are shifted.
    """
    results = []
    names = [str(index // 5) for index in range(160)]
    for same in (True, False):
        for shift in shifts:
            generator = torch.Generator().manual_seed(0)
            estimates = []
            for _ in range(repeats):
                content = torch.randn(2, 32, 1, width, generator=generator, dtype=torch.float64)
                content[1] = content[0] if same else content[1]
                own = torch.randn(2, 32, 5, width, generator=generator, dtype=torch.float64)
                real, made = (math.sqrt(0.7) * content + math.sqrt(0.3) * own).reshape(2, 160, width)
                real_names = names if same else [f"other {name}" for name in names]
                estimates.append(jackknife_estimate(made + shift, real, names, real_names, kernel))
            mean = sum(estimate.value for estimate in estimates) / repeats
            held = sum(estimate.low <= mean <= estimate.high for estimate in estimates)
            case = f"{'same' if same else 'other'} scenes, shift {shift:g}"
            results += [
                Result("KVD", f"mean, {case}", mean, ""),
                Result("KVD", f"interval, {case}", 100 * held / repeats, "%", goal=90.0, at_least=True),
            ]
    return report(results)


def found(gains: list[float], repeats: int) -> list[Result]:
    """How often 32 scenes show a gain, in units of the spread of differences between scenes."""
    results = []
    names = [str(index // 5) for index in range(160)]
    for gain in gains:
        paired, apart = 0, 0
        for seed in range(repeats):
            common = 3 * scores(32, seed, share=1.0)
            first, second = (common + scores(32, 10**6 * k + seed) / math.sqrt(2) for k in (1, 2))
            second = second + gain
            p = paired_permutation_test(first, second, names, num_permutations=999, seed=seed)
            paired += p < 0.05
            low, high = (clustered_estimate(v, names, num_resamples=500, seed=seed) for v in (first, second))
            apart += high.low > low.high or high.high < low.low
        goal = 7.0 if gain == 0 else None
        results += [
            Result("found", f"paired, gain {gain:g}", 100 * paired / repeats, "%", goal=goal),
            Result("found", f"two intervals apart, gain {gain:g}", 100 * apart / repeats, "%"),
        ]
    return report(results)


def scores(scenes: int, seed: int, share: float = 0.9) -> Tensor:
    """Five clips per scene, variance 1, a share of it between scenes."""
    generator = torch.Generator().manual_seed(seed)
    between = torch.randn(scenes, 1, generator=generator, dtype=torch.float64)
    within = torch.randn(scenes, 5, generator=generator, dtype=torch.float64)
    return (math.sqrt(share) * between + math.sqrt(1 - share) * within).reshape(-1)


def cost(width: int, permutations: int) -> list[Result]:
    """Seconds of a test between two methods with 160 clips against 160 real ones."""
    generator = torch.Generator().manual_seed(0)
    first, second, real = torch.randn(3, 160, width, generator=generator, dtype=torch.float64)
    names = [str(index // 5) for index in range(160)]
    results = []
    for part, distance, goal in (("FVD", frechet, 60.0), ("KVD", kernel, None)):
        seconds = once(
            lambda distance=distance: distance_permutation_test(
                first, second, real, names, distance, num_permutations=permutations
            )
        )
        results.append(Result(part, f"test with {permutations} permutations", seconds, "s", goal=goal))
    return report(results)


def main(*, quick: bool = False, json: Path | None = None) -> list[Result]:
    """Measure all of it.

    Args:
        quick: Tiny sizes, to see that it runs.
        json: Where the results go as well.
    """
    facts = machine()
    print(describe(facts))
    sizes, width, repeats, permutations = [32, 160, 512, 2048], 400, 1000, 1000
    if quick:
        sizes, width, repeats, permutations = [5, 7], 3, 2, 3
    print("\nTwo sets of clips from one distribution")
    results = chance(sizes, width, 2)
    print("\nIntervals of 95 % that hold the truth")
    results += coverage([5, 10, 32], repeats)
    print("\nKVD of 32 scenes of five clips, and intervals of 95 % that hold its mean")
    results += kernel_coverage([0.0, 0.3, 0.8], repeats // 5 or 1)
    print("\nComparisons that find a difference")
    results += found([0.0, 0.3, 0.6], repeats // 2 or 1)
    print("\nCost")
    results += cost(width, permutations)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
