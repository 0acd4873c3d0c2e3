"""What edits cost, and what removing floaters takes: of debris that was put there, and of the picture.

    python benchmarks/editing.py             100,000 Gaussians at 25 times; eight held-out scenes
    python benchmarks/editing.py --quick     tiny sizes, to see whether it runs

Debris is put into fields that the bundled model made of held-out scenes: single Gaussians and groups of five
in front of the surfaces, of the median size. "found" is the share of it that `floaters` names, "lost" the
share of the model's own Gaussians that it names too, and "novel" PSNR from cameras beside the path.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from measuring import Result, conclude, describe, fastest, machine, report

from diff4splat import DeformableGaussianField, Diff4SplatPipeline
from diff4splat.data import HELD_OUT_SEEDS
from diff4splat.editing import (
    floaters,
    freeze,
    gaussians_in_box,
    merge_fields,
    moving_gaussians,
    nearest_neighbors,
    resample_times,
    retime,
    scale_motion,
    similarity_matrix,
    transform_part,
)
from diff4splat.evaluation import held_out_scenes, psnr
from diff4splat.gaussians import Gaussians


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    gaussians: int = 100_000
    times: int = 25
    repeats: int = 5
    scenes: int = 8
    side: int = 256


QUICK = Sizes(gaussians=499, times=3, repeats=1, scenes=1, side=32)


def random_field(count: int, num_times: int) -> DeformableGaussianField:
    """Gaussians about a surface, moving at random."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    means = torch.cat((3 * draw(count, 2), 5 + 0.1 * draw(count, 1)), dim=-1)
    gaussians = Gaussians(
        means, draw(count, 4), 0.01 * draw(count, 3).exp(), draw(count).sigmoid(), draw(count, 1, 3)
    )
    still = DeformableGaussianField.from_gaussians(gaussians, torch.linspace(0, 1, num_times))
    return replace(still, delta_means=0.1 * draw(num_times, count, 3))


def seconds_of_edits(sizes: Sizes) -> list[Result]:
    """Shortest time of each edit."""
    field = random_field(sizes.gaussians, sizes.times)
    half = field.canonical.means[:, 0] > 0
    matrix = similarity_matrix(angle_deg=30.0)
    edits = {
        "gaussians_in_box": lambda: gaussians_in_box(field, (-1.0, -1.0, 4.0), (1.0, 1.0, 6.0)),
        "moving_gaussians": lambda: moving_gaussians(field, 0.1),
        "nearest_neighbors, 8": lambda: nearest_neighbors(field.canonical.means, 8),
        "floaters": lambda: floaters(field),
        "freeze": lambda: freeze(field, 0.51),
        "scale_motion": lambda: scale_motion(field, 2.0),
        "retime, there and back": lambda: retime(field, (0.0, 1.0, 0.0)),
        "resample_times, twice as many": lambda: resample_times(field, torch.linspace(0, 1, 2 * sizes.times)),
        "transform_part, half of them": lambda: transform_part(field, half, matrix),
        "merge_fields, two halves": lambda: merge_fields([field.select(half), field.select(~half)]),
    }
    times = fastest(list(edits.values()), sizes.repeats)
    return report([Result("seconds", name, value, "s") for name, value in zip(edits, times, strict=True)])


def with_debris(field: DeformableGaussianField, seed: int) -> DeformableGaussianField:
    """The field, then 100 single Gaussians and 40 groups of five of the median size in front of it."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    means, scales = field.canonical.means, field.canonical.scales
    places = means[torch.randint(len(means), (140,), generator=generator)] * (0.5 + 0.4 * draw(140, 1))
    size = scales.median()
    groups = places[100:, None] + 4 * size * draw(40, 5, 3)
    places = torch.cat((places[:100], groups.reshape(-1, 3)))
    count = len(places)
    debris = Gaussians(
        places,
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        size.expand(count, 3),
        torch.full((count,), 0.9),
        draw(count, *field.canonical.harmonics.shape[1:]),
    )
    return merge_fields([field, DeformableGaussianField.from_gaussians(debris, field.times)])


@torch.no_grad()
def debris(sizes: Sizes) -> list[Result]:
    """Means over the scenes."""
    pipe = Diff4SplatPipeline.from_pretrained("compact")
    rows = []
    for seed in HELD_OUT_SEEDS[: sizes.scenes]:
        clip = held_out_scenes([seed], height=sizes.side, width=sizes.side)
        latents = pipe.backbone.encode(clip.frames.color)
        field = pipe.ldrm(latents, clip.cameras, image=clip.image, times=clip.times).batch(0).prune()

        def novel(one: DeformableGaussianField, clip: object = clip) -> float:
            view = one.render(clip.novel_cameras.batch(0), clip.novel_times[0])
            return float(psnr(view.color, clip.novel_frames.color[0]).mean())

        dirty = with_debris(field, seed)
        named = floaters(dirty)
        own = torch.arange(dirty.num_gaussians) < field.num_gaussians
        shares = float(named[~own].float().mean()), float(named[own].float().mean())
        quality = [novel(one) for one in (field, field.select(~floaters(field)), dirty, dirty.select(~named))]
        rows.append((*(100 * share for share in shares), *quality))
    means = torch.tensor(rows).mean(dim=0).tolist()
    clean, cleaned, dirty_, rescued = means[2:]
    return report(
        [
            Result("debris", "found", means[0], "%"),
            Result("debris", "lost of the model's own", means[1], "%"),
            Result("novel", "the model's own", clean, "dB"),
            Result("novel", "change by removing floaters", cleaned - clean, "dB"),
            Result("novel", "change by debris", dirty_ - clean, "dB"),
            Result("novel", "change by debris, floaters removed", rescued - clean, "dB"),
        ]
    )


def main(*, quick: bool = False, json: Path | None = None) -> list[Result]:
    """Measure and print.

    Args:
        quick: Tiny sizes.
        json: File to write all numbers to.
    """
    sizes, facts = QUICK if quick else Sizes(), machine()
    print(describe(facts) + "\n")
    results = seconds_of_edits(sizes) + debris(sizes)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
