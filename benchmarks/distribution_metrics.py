"""What the distances of sets of clips cost, and the features that follow from a seed.

Run `python benchmarks/distribution_metrics.py`. The distances are compared with those of torchmetrics on the
same features, their times by turns.
"""

from pathlib import Path

import torch
import tyro
from measuring import Result, conclude, describe, fastest, machine, once, report

from diff4splat.evaluation import (
    SeededClipFeatures,
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    kernel_subset_deviation,
)


def distances(clips: int, width: int, repeats: int) -> list[Result]:
    """Times of the distances and of those of torchmetrics, and how far apart the numbers are."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import poly_mmd

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, clips, width, generator=generator, dtype=torch.float64)
    y = 1.1 * y + 0.1

    class Same(torch.nn.Identity):
        num_features = width

    def library_frechet() -> float:
        metric = FrechetInceptionDistance(feature=Same()).set_dtype(torch.float64)
        metric.update(y, real=True)
        metric.update(x, real=False)
        return float(metric.compute())

    def extrapolation() -> float:
        return frechet_infinity(x, y, generator=torch.Generator().manual_seed(0)).value

    def deviation() -> float:
        return kernel_subset_deviation(x, y, generator=torch.Generator().manual_seed(0))

    ours, theirs, kernel, their_kernel = fastest(
        [
            lambda: frechet_distance(x, y),
            library_frechet,
            lambda: kernel_distance(x, y),
            lambda: poly_mmd(y, x),
        ],
        repeats,
    )
    line, halves = fastest([extrapolation, deviation], 1)
    off = abs(frechet_distance(x, y) / library_frechet() - 1)
    their_value = float(poly_mmd(y, x))
    kernel_off = abs(kernel_distance(x, y) / their_value - 1)
    return report(
        [
            Result("both", f"{clips} clips of {width} features", ours + kernel, "s", goal=2.0),
            Result("FVD", "time", ours, "s"),
            Result("FVD", "time over that of torchmetrics", ours / theirs, "", goal=1.25),
            Result("FVD", "relative difference to torchmetrics", off, "", goal=1e-6),
            Result("KVD", "time", kernel, "s"),
            Result("KVD", "time over that of torchmetrics", kernel / their_kernel, "", goal=1.25),
            Result("KVD", "relative difference to torchmetrics", kernel_off, "", goal=1e-8),
            Result("FVD", "extrapolation, 26 distances", line, "s"),
            Result("KVD", "deviation over 100 halves", halves, "s"),
        ]
    )


def features(clips: int, frames: int, side: int) -> list[Result]:
    """Time of the features of clips."""
    generator = torch.Generator().manual_seed(0)
    videos = torch.randint(0, 256, (clips, frames, 3, side, side), generator=generator, dtype=torch.uint8)
    network = SeededClipFeatures(0)
    network(videos[:1])
    seconds = once(lambda: network(videos))
    name = f"{clips} clips of {frames} x {side} x {side}"
    return report([Result("seeded features", name, seconds, "s", goal=10.0)])


def main(*, repeats: int = 3, quick: bool = False, json: Path | None = None) -> list[Result]:
    """Measure both.

    Args:
        repeats: Runs of each distance; the fastest counts.
        quick: Tiny sizes, to see that it runs.
        json: Where the results go as well.
    """
    facts = machine()
    print(describe(facts))
    results = distances(61, 11, 1) if quick else distances(2048, 400, repeats)
    results += features(2, 3, 32) if quick else features(200, 9, 128)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
