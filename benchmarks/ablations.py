"""The paper's ablations at equal budget: small models trained from scratch, judged on held-out scenes.

    python benchmarks/ablations.py                                               about an hour
    python benchmarks/ablations.py --quick                                       a minute: does it run?
    python benchmarks/ablations.py --results runs/ablations/ablations.json       the tables again

All variants start from the bundled video autoencoder, which stays as it is, and a small fresh reconstruction
model; they take the same steps of the same clips with the same seeds. A run that was stopped goes on when it
is started again with the same `--output`.
"""

import json
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from ablations_table import FULL, NEEDED, Run, tables
from measuring import TINY, command_line, describe, machine, say
from tqdm import tqdm

from diff4splat import LDRM, Diff4SplatPipeline
from diff4splat.evaluation import HeldOutProtocol, evaluate_held_out
from diff4splat.files import atomic_path
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
}


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


def run(key: str, seed: int, plan: Plan, output: Path, cache: Path, workers: int) -> Run:
    """Train a variant, or go on with it, and judge it."""
    variant, folder = VARIANTS[key], output / f"{key}-{seed}"
    asked = recipe(variant, seed, plan, start(folder / "start", variant, seed))
    watch = Watch(save_every=100, keep=1, progress=sys.stderr.isatty())
    model = train(asked, folder, cache=cache, num_workers=workers, watch=watch, cpu=True)
    seconds = sum(read_run(path).seconds for path in (folder / "stages").iterdir())
    pipe = Diff4SplatPipeline.from_pretrained(model)
    protocol = HeldOutProtocol(
        num_scenes=plan.scenes, height=plan.sizes[1], width=plan.sizes[1], part="reconstruction"
    )
    found = evaluate_held_out(pipe.backbone, pipe.ldrm, protocol).scenes
    scenes = {name: [None if math.isnan(v) else round(v, 5) for v in found[name]] for name in NEEDED}
    return Run(key, seed, seconds / 60, scenes)


def load(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """What a file of results was made with, and the runs in it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["settings"], [Run(**one) for one in content["runs"]]


def save(path: Path, facts: dict[str, Any], settings: dict[str, Any], runs: list[Run]) -> None:
    content = {"machine": facts, "settings": settings, "runs": [asdict(one) for one in runs]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def settings_of(plan: Plan) -> dict[str, Any]:
    """All that two runs must share to be compared, as JSON gives it back."""
    losses = {**GEOMETRY, **APPEARANCE, **MOTION}
    return json.loads(json.dumps({**asdict(plan), "ldrm": SMALL, "losses": losses}))


def show(settings: dict[str, Any], runs: list[Run]) -> None:
    (small, large), (low, high, dynamic) = settings["sizes"], settings["steps"]
    print()
    say(
        f"Every variant: {low} steps on resting clips of {small} x {small} pixels, {high} on resting ones of "
        f"{large} x {large}, {dynamic} on moving ones of {large} x {large} (without progressive stages: "
        f"{low + high + dynamic} on those), {settings['batch']} clips a step."
    )
    print()
    titles = {key: variant.title for key, variant in VARIANTS.items()}
    print(tables(runs, titles, {key: variant.claims for key, variant in VARIANTS.items()}))


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
        if not results.is_file():
            raise SystemExit(f"results must be a file that a run wrote, got {results}.")
        settings, done = load(results)
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
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            done = run_all(plan, seeds[:1], variants, Path(folder), Path(folder) / "cache", 0, facts)
        print(TINY)
        return done
    return run_all(plan, seeds, variants, output, cache, workers, facts)


def run_all(
    plan: Plan,
    seeds: tuple[int, ...],
    variants: tuple[str, ...],
    output: Path,
    cache: Path,
    workers: int,
    facts: dict[str, Any],
) -> list[Run]:
    """Every variant with every seed, those that are done already left out; one whole table per seed."""
    path, settings = output / "ablations.json", settings_of(plan)
    done: list[Run] = []
    if path.is_file():
        before, done = load(path)
        if before != settings:
            raise SystemExit(f"{path} was made with {before}, now it is {settings}: choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    known = {(one.variant, one.seed) for one in done}
    missing = [(key, seed) for seed in seeds for key in variants if (key, seed) not in known]
    for key, seed in tqdm(missing, desc="ablations", unit="run"):
        done.append(run(key, seed, plan, output, cache, workers))
        save(path, facts, settings, done)
        tqdm.write(f"{VARIANTS[key].title}, seed {seed}: {done[-1].minutes:.1f} minutes")
    show(settings, done)
    return done


if __name__ == "__main__":
    tyro.cli(main)
