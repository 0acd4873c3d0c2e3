"""The paper's ablations at equal budget: small models trained from scratch, judged on held-out scenes.

    python benchmarks/ablations.py                                               about an hour
    python benchmarks/ablations.py --quick                                       a minute: does it run?
    python benchmarks/ablations.py --results runs/ablations/ablations.json       the tables again

All variants start from the bundled video autoencoder, which stays as it is, and a small fresh reconstruction
model; they take the same steps of the same clips with the same seeds. A run that was stopped goes on when it
is started again with the same `--output`.
"""

import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from ablations_runs import Run, complete, results_of
from ablations_table import COLUMNS, FULL, Column, needed, tables
from measuring import TINY, command_line, describe, machine, say

from diff4splat import LDRM, Diff4SplatPipeline
from diff4splat.backbones import VideoBackbone
from diff4splat.evaluation import HeldOutProtocol, evaluate_held_out
from diff4splat.pipelines import Reconstructor
from diff4splat.training import Recipe, Source, Stage, Watch, read_run, train

SMALL = {
    "dim": 128,
    "num_layers": 4,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_width": 32,
    "pixel_width": 16,
    "motion_width": 32,
    "backdrop_cells": 16,
}
"""What makes the reconstruction model of the ablations smaller than `LDRM.compact`."""
GEOMETRY = {"depth": 1.0, "depth_slope": 0.5, "pearson": 1.0, "total_variation": 0.1}
APPEARANCE = {"color": 0.5, "photometric": 10.0}
MOTION = {"motion": 8.0, "rotation": 2.0, "point_motion": 0.01}
"""Losses of the full recipe: those of the paper (photometric, pearson, total_variation, point_motion) and the
direct ones of the compact recipe. LPIPS is left out: its weights cannot be fetched everywhere. What pulls
resting pixels to rest is weak or left out (motion_beside): with weights of 1 and 4 the deformation stays at
zero for longer than these budgets last, because most pixels rest and no direction is known yet."""


@dataclass(frozen=True)
class Variant:
    """A training recipe that differs from the full one, and where the paper says that it is worse."""

    title: str
    claims: tuple[str, ...] = ()
    """Measures of the paper's statement, keys of `ablations_table.COLUMNS`."""
    without: Mapping[str, float] = field(default_factory=dict)
    """Losses that are left out."""
    at_rest: bool = False
    """Leave the deformation head as it starts: nothing moves."""
    one_stage: bool = False
    """All steps at full size, on moving clips."""
    ldrm: Mapping[str, Any] = field(default_factory=dict)
    """Options of the reconstruction model."""


def _only(*losses: str) -> dict[str, float]:
    """Geometric losses but these."""
    return {key: weight for key, weight in GEOMETRY.items() if key not in losses}


VARIANTS = {
    FULL: Variant("full"),
    "motion": Variant("without motion losses", ("motion_ratio", "moving_psnr"), without=MOTION),
    "deformation": Variant(
        "without deformation", ("moving_psnr", "novel_psnr"), without=MOTION, at_rest=True
    ),
    "stages": Variant("without progressive stages", ("novel_psnr", "moving_psnr"), one_stage=True),
    "geometry": Variant(
        "without geometric losses", ("depth_pearson", "depth_abs_rel", "novel_psnr"), without=GEOMETRY
    ),
    "poses": Variant("12-number poses", ("novel_psnr", "depth_abs_rel"), ldrm={"pose_encoding": "vectors"}),
    "pearson_tv": Variant("Pearson and total variation", without=_only("pearson", "total_variation")),
    "pearson": Variant("Pearson alone", without=_only("pearson")),
}
PAPER_GEOMETRY = {
    "pearson_tv": (),
    "pearson": ("novel_psnr",),
    "geometry": ("depth_pearson", "novel_psnr"),
    FULL: (),
}
"""The geometric losses as the supplement has them, which knows no direct ones: the first is what the others
are compared with; where the supplement says that they are worse."""


@dataclass(frozen=True)
class Plan:
    """What every variant gets."""

    sizes: tuple[int, int] = (32, 64)
    """Image sides of the first stage and of all others, pixels; held-out scenes have the latter."""
    steps: tuple[int, int, int] = (300, 200, 1300)
    """Steps of the stages: static and small, static and larger, moving."""
    batch: int = 8
    """Clips per step; every clip is seen once."""
    rendered: int = 2
    """Clips of a batch that are rendered, each at two times."""
    learning_rate: float = 1.5e-3
    scenes: int = 64
    """Held-out scenes."""


QUICK = Plan(sizes=(32, 32), steps=(2, 2, 3), batch=2, rendered=1, scenes=4)


def recipe(variant: Variant, seed: int, plan: Plan, initial: Path) -> Recipe:
    """The three stages of the paper's order, or the one that stands for them."""

    def stage(name: str, size: int, steps: int, moves: bool) -> Stage:
        losses = {**GEOMETRY, **APPEARANCE, **(MOTION if moves else {})}
        still = {"static": True, "still_camera": 0.0}
        return Stage(
            name=name,
            train=("ldrm",),
            losses={key: weight for key, weight in losses.items() if key not in variant.without},
            steps=steps,
            data=(Source(clips=steps * plan.batch, **({} if moves else still)),),
            freeze=() if moves and not variant.at_rest else ("ldrm.deformation_head",),
            size=size,
            batch=plan.batch,
            rendered=plan.rendered,
            optimizer="muon",
            schedule="trapezoid",
            learning_rate=plan.learning_rate,
            warmup=min(30, steps),
            average=0.99,
        )

    small, large = plan.sizes
    low, high, dynamic = plan.steps
    stages = (
        stage("static-low", small, low, False),
        stage("static-high", large, high, False),
        stage("dynamic", large, dynamic, True),
    )
    if variant.one_stage:
        stages = (stage("dynamic", large, low + high + dynamic, True),)
    return Recipe("ablation", stages, seed=seed, precision="no", initial=str(initial.resolve()))


def start(folder: Path, variant: Variant, seed: int) -> Path:
    """Folder of a pipeline with the bundled autoencoder and a fresh reconstruction model, made if needed."""
    if not (folder / "pipeline_config.json").is_file():
        bundled = Diff4SplatPipeline.from_pretrained("compact")
        torch.manual_seed(seed)
        ldrm = LDRM.compact(**{**SMALL, **variant.ldrm})
        Diff4SplatPipeline(bundled.backbone, ldrm).save_pretrained(folder)
    return folder


def trained(asked: Recipe, folder: Path, cache: Path, workers: int) -> tuple[Path, float]:
    """Train, or go on with it: folder of the model, and minutes."""
    watch = Watch(save_every=100, keep=1, progress=sys.stderr.isatty())
    model = train(asked, folder, cache=cache, num_workers=workers, watch=watch, cpu=True)
    return model, sum(read_run(path).seconds for path in (folder / "stages").iterdir()) / 60


def judged(
    backbone: VideoBackbone, ldrm: Reconstructor, protocol: HeldOutProtocol, columns: Mapping[str, Column]
) -> dict[str, list[float | None]]:
    """Numbers per held-out scene that some columns need."""
    found = evaluate_held_out(backbone, ldrm, protocol).scenes
    return {name: [None if math.isnan(v) else round(v, 5) for v in found[name]] for name in needed(columns)}


def run(key: str, seed: int, plan: Plan, output: Path, cache: Path, workers: int) -> Run:
    """Train a variant, or go on with it, and judge it."""
    variant, folder = VARIANTS[key], output / f"{key}-{seed}"
    asked = recipe(variant, seed, plan, start(folder / "start", variant, seed))
    model, minutes = trained(asked, folder, cache, workers)
    pipe = Diff4SplatPipeline.from_pretrained(model)
    protocol = HeldOutProtocol(
        num_scenes=plan.scenes, height=plan.sizes[1], width=plan.sizes[1], part="reconstruction"
    )
    return Run(key, seed, minutes, judged(pipe.backbone, pipe.ldrm, protocol, COLUMNS))


def settings_of(plan: Plan) -> dict[str, Any]:
    """All that two runs must share to be compared."""
    losses = {**GEOMETRY, **APPEARANCE, **MOTION}
    return {**asdict(plan), "ldrm": SMALL, "losses": losses}


def show(settings: dict[str, Any], runs: list[Run]) -> None:
    (small, large), (low, high, dynamic) = settings["sizes"], settings["steps"]
    print()
    say(
        f"Every variant: {low} steps on resting clips of {small} x {small} pixels, {high} on resting ones of "
        f"{large} x {large}, {dynamic} on moving ones of {large} x {large} (without progressive stages: "
        f"{low + high + dynamic} on those), {settings['batch']} clips a step."
    )
    print()
    alone = PAPER_GEOMETRY.keys() - {FULL, "geometry"}
    claims = {key: variant.claims for key, variant in VARIANTS.items() if key not in alone}
    print(tables(runs, {key: VARIANTS[key].title for key in claims}, claims))
    if any(run.variant in alone for run in runs):
        base = next(iter(PAPER_GEOMETRY))
        titles = {key: VARIANTS[key].title for key in PAPER_GEOMETRY}
        print("\nThe geometric losses of the paper, those on maps left out; the full recipe has both.\n")
        print(tables(runs, titles, PAPER_GEOMETRY, base=base))


def main(
    *,
    output: Path = Path("runs/ablations"),
    cache: Path = Path("cache"),
    seeds: tuple[int, ...] = (0, 1),
    variants: tuple[str, ...] = tuple(VARIANTS),
    workers: int = 1,
    scale_steps: float = 1.0,
    quick: bool = False,
    threads: int = 0,
    results: Path | None = None,
) -> list[Run]:
    """Train what is missing, and print the tables.

    Args:
        output: Folder of the runs; what each has reached is kept in its ablations.json.
        cache: Where procedural clips are kept.
        seeds: Training seeds.
        variants: What to train.
        workers: Processes that make clips ahead, in the first run that needs them.
        scale_steps: Factor on the steps of all stages: more for a clearer answer.
        quick: A few steps in a folder that is thrown away, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch, which the renderer follows; torch's own default for 0.
        results: Print the tables of this file, and train nothing.
    """
    if results is not None:
        settings, done = results_of(results)
        show(settings, done)
        return done
    for key in variants:
        if key not in VARIANTS:
            raise SystemExit(f"variants must be of {', '.join(VARIANTS)}, got {key!r}.")
    if threads:
        torch.set_num_threads(threads)
    variants = tuple(dict.fromkeys(variants))
    facts, plan = machine(), QUICK if quick else Plan()
    low, high, dynamic = (max(1, round(scale_steps * steps)) for steps in plan.steps)
    plan = replace(plan, steps=(low, high, dynamic))
    print(f"$ {command_line()}\n{describe(facts)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if quick:
            output, cache, workers, seeds = Path(folder), Path(folder) / "cache", 0, seeds[:1]
        asked = [(key, seed) for seed in seeds for key in variants]
        settings = settings_of(plan)
        done = complete(
            output / "ablations.json",
            settings,
            asked,
            lambda key, seed: run(key, seed, plan, output, cache, workers),
            facts,
        )
    show(settings, done)
    if quick:
        print(TINY)
    return done


if __name__ == "__main__":
    tyro.cli(main)
