"""Per-scene optimisation from the feed-forward field and from scratch, beside the goals it is held to.

    python benchmarks/refinement.py             eight held-out scenes
    python benchmarks/refinement.py --quick     two tiny scenes, to see whether it runs

Both starts have as many Gaussians, the same rates and the same frames: the true video along the path. "novel"
is PSNR from cameras beside the path, at times between the frames, which nothing was fitted to; "path" is that
of the frames themselves. Each number of steps is a run of its own, whose rates fall to their end. Ratios hold
what was measured in one run. Where scratch does not get there with the most steps, "more than" these counts.
"""

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from measuring import Result, command_line, conclude, describe, machine, number, once, report, say

from diff4splat import Diff4SplatPipeline
from diff4splat.evaluation.held_out.fields import render_scenes
from diff4splat.evaluation.held_out.scenes import HeldOutScenes, held_out_scenes, seed_batches
from diff4splat.evaluation.metrics import psnr
from diff4splat.evaluation.statistics import Estimate, mean_estimate, ratio_estimate
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.training import random_field, refine

BUDGETS = (0, 1, 2, 3, 5, 8, 13, 20, 30, 50, 80, 130, 200, 300)
SPEEDUP, SHARE_OF_STEPS = 60.0, 0.2
VIEWS = ("novel", "path")


@dataclass(frozen=True)
class Curve:
    """What a start reaches in a scene: seconds and PSNR by view, one entry per number of steps."""

    seconds: list[float]
    novel: list[float]
    path: list[float]

    def first(self, view: str, target: float) -> int | None:
        """Index of the least number of steps that reaches a PSNR; None if none does."""
        return next((i for i, value in enumerate(getattr(self, view)) if value >= target), None)


def curve(field: DeformableGaussianField, scene: HeldOutScenes, budgets: tuple[int, ...]) -> Curve:
    """Fit with each number of steps, and look."""
    seconds, quality = [], {view: [] for view in VIEWS}
    video, cameras = scene.frames.color[0], scene.cameras.batch(0)
    for steps in budgets:
        made = []
        seconds.append(
            once(
                lambda steps=steps, made=made: made.append(
                    refine(field, video, cameras, steps=steps, generator=torch.Generator().manual_seed(0))
                )
            )
        )
        with torch.no_grad():
            one = made[0].batch(None)
            path = render_scenes(one, scene.cameras, scene.times[None]).color
            novel = render_scenes(one, scene.novel_cameras, scene.novel_times).color
        quality["path"].append(float(psnr(path, scene.frames.color).mean()))
        quality["novel"].append(float(psnr(novel, scene.novel_frames.color).mean()))
    return Curve(seconds, **quality)


def measure(
    pipe: Diff4SplatPipeline, seed: int, size: int, budgets: tuple[int, ...]
) -> tuple[float, Curve, Curve]:
    """Feed-forward seconds of a scene, and the curves from its field and from scratch."""
    scene = held_out_scenes([seed], height=size, width=size)
    made = []

    def feed_forward() -> None:
        latents = pipe.backbone.encode(scene.frames.color)
        made.append(pipe.ldrm(latents, scene.cameras, image=scene.image, times=scene.times))

    with torch.no_grad():
        seconds = min(once(feed_forward) for _ in range(3))
    field = made[0].batch(0)
    scratch = random_field(
        scene.frames.color[0],
        scene.cameras.batch(0),
        num_gaussians=field.num_gaussians,
        generator=torch.Generator().manual_seed(seed),
    )
    return seconds, curve(field, scene, budgets), curve(scratch, scene, budgets)


def interval(estimate: Estimate, digits: int = 2) -> str:
    """A mean and its 95 % interval."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def mean(values: list[float]) -> Estimate:
    return mean_estimate(torch.tensor(values), generator=torch.Generator().manual_seed(0))


def ratio(above: list[float], below: list[float]) -> Estimate:
    parts = (torch.tensor(v, dtype=torch.float64) for v in (above, below))
    return ratio_estimate(*parts, generator=torch.Generator().manual_seed(0))


def print_curves(fed: list[Curve], scratch: list[Curve], budgets: tuple[int, ...]) -> None:
    """One row per number of steps, as Markdown."""
    print("| steps | novel: feed-forward | novel: scratch | path: feed-forward | path: scratch |")
    print("|---|---|---|---|---|")
    for i, steps in enumerate(budgets):
        cells = [
            interval(mean([getattr(one, view)[i] for one in curves]))
            for view in VIEWS
            for curves in (fed, scratch)
        ]
        print(f"| {steps} | {' | '.join(cells)} |")


def speedups(seconds: list[float], fed: list[Curve], scratch: list[Curve]) -> list[Result]:
    """Seconds from scratch until the PSNR of the feed-forward field, over those of feed-forward."""
    results = []
    for view in VIEWS:
        reached = [one.first(view, getattr(start, view)[0]) for one, start in zip(scratch, fed, strict=True)]
        spent = [one.seconds[-1 if i is None else i] for one, i in zip(scratch, reached, strict=True)]
        estimate, missing = ratio(spent, seconds), reached.count(None)
        goal = SPEEDUP if view == "novel" else None
        results += report([Result(view, "scratch over feed-forward", estimate.value, "x", goal, True)])
        bound = "more than " if missing else ""
        say_how(
            f"{bound}{interval(estimate, 1)}; scratch does not get there in {missing} of {len(fed)} scenes"
        )
    return results


def shares_of_steps(fed: list[Curve], scratch: list[Curve], budgets: tuple[int, ...]) -> list[Result]:
    """Steps from the feed-forward field over those from scratch, to the same PSNR."""
    results = []
    for view in VIEWS:
        for what in ("what scratch ends with", "feed-forward + 2 dB"):
            ours, theirs, missing = [], [], [0, 0]
            for start, one in zip(fed, scratch, strict=True):
                ends = what.startswith("what")
                target = getattr(one, view)[-1] if ends else getattr(start, view)[0] + 2
                for which, (curve_, steps) in enumerate(((start, ours), (one, theirs))):
                    first = curve_.first(view, target)
                    missing[which] += first is None
                    steps.append(float(budgets[-1 if first is None else first]))
            estimate = ratio(ours, theirs)
            results += report([Result(view, f"steps to {what}", estimate.value, "", SHARE_OF_STEPS)])
            means = f"{number(sum(ours) / len(ours))} against {number(sum(theirs) / len(theirs))} steps"
            say_how(
                f"{interval(estimate)}; {means}; not reached in {missing[0]} and {missing[1]} "
                f"of {len(fed)} scenes"
            )
    return results


def say_how(text: str) -> None:
    print(textwrap.indent(text, "    "), flush=True)


def main(
    *,
    scenes: int = 8,
    size: int = 128,
    steps: int = 400,
    model: str = "compact",
    quick: bool = False,
    threads: int = 0,
    json: Path | None = None,
) -> list[Result]:
    """Measure, print, and say which goals are met.

    Args:
        scenes: Held-out scenes.
        size: Image side, pixels.
        steps: Most steps of a fit.
        model: Model that makes the feed-forward field.
        quick: Two tiny scenes and few steps, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch, which the renderer follows; torch's own default for 0.
        json: Where to write all results.
    """
    if quick:
        scenes, size, steps = 2, 32, 3
    if threads:
        torch.set_num_threads(threads)
    budgets = (*(n for n in BUDGETS if n < steps), steps)
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}\n")
    pipe = Diff4SplatPipeline.from_pretrained(model)
    measured = []
    for (seed,) in seed_batches(scenes, 1):
        measured.append(measure(pipe, seed, size, budgets))
    seconds, fed, scratch = (list(v) for v in zip(*measured, strict=True))
    say(
        f"{scenes} scenes of {size} x {size}, mean PSNR in dB with 95 % interval. Step 0 from feed-forward: "
        f"{number(1000 * sum(seconds) / scenes)} ms; a step: "
        f"{number(1000 * sum(one.seconds[-1] for one in (*fed, *scratch)) / (2 * scenes * steps))} ms."
    )
    print()
    print_curves(fed, scratch, budgets)
    print("\nseconds from scratch to the PSNR of the feed-forward field, over those of feed-forward")
    results = speedups(seconds, fed, scratch)
    print("\nsteps from the feed-forward field over steps from scratch, to the same PSNR")
    results += shares_of_steps(fed, scratch, budgets)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
