"""Half an hour of a GPU, used whole, in calls of some minutes: checks, benchmarks, and then training.

    python benchmarks/gpu_half_hour.py --output runs/gpu --minutes 9.5      again and again, until all is done
    python benchmarks/gpu_half_hour.py --output runs/try --quick            all of it in small, on a CPU too

Each call does what is not done yet, stops in time with exit code 0, and writes summary.md. In order:

1. device: hardware and versions.
2. build: gsplat's CUDA kernels. A failure is noted, and what does not need them goes on.
3. rendering: the speed of gsplat, the CPU renderer against it, and golden files made by it.
4. generate: seconds and memory of the main job.
5. speed: the share of the rate of matrix products that training reaches.
6. training: a recipe, by default the last two stages of "compact" from the bundled model, with all that is
   left; the processor's cores make clips ahead. When the time is up it ends wherever it is, and the next call
   goes on from the last checkpoint.

Without a GPU, 2 to 5 are skipped. What is worth taking away lies in OUTPUT/carry, in at most eight files
below 16 MiB each: summary.md, results.json, two golden files, and run-*.safetensors with the weights of the
run in two bytes a number. Its last checkpoint is among them as long as they stay below 62 MiB together, which
they do for the bundled model. Elsewhere,

    python benchmarks/gpu_half_hour.py --output runs/here --resume carry --minutes 0

puts the run down again and writes the pipeline as it stands to OUTPUT/model; with more minutes it goes on.

The machine needs torch for CUDA, 2.9 or later, with the nvcc of the same CUDA, ninja and a C++ compiler, and
no network. Take along as files the wheels of what the package requires and the machine lacks: those of gsplat
and of what it requires (packaging, rich, ...), roma, einops, jaxtyping, numba, llvmlite, tyro, av, lpips,
accelerate, safetensors, huggingface-hub. `pip download`, where there is a network, fetches them for another
Python and platform, and `pip install --no-index --no-deps` installs them. The bundled weights come with the
repository.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import generate
import torch
import tyro
from half_hour_parcel import pack, pipeline_so_far, stages_of, unpack
from measuring import ROOT, Result, machine, number
from rendering_gpu import Gpu
from training_gpu import Rate

from diff4splat.files import atomic_path
from diff4splat.training import RECIPES, Checkpoints, Recipe, Watch, stage_picture, train
from diff4splat.training.records import losses_of, read_records

END_SECONDS = 15.0  # to write what is carried away
BUILD = "from diff4splat.rendering import require_backend; require_backend('cuda')"
NEEDS_GPU = ("build", "rendering", "generate", "speed")


class TimeIsUp(BaseException):
    """Raised wherever the program is when its minutes are over; no handler of errors catches it."""


@dataclass(frozen=True)
class Session:
    """One call: `whole` are its seconds, `deadline` when they are over."""

    output: Path
    whole: float
    deadline: float
    recipe: Path | None
    scale_steps: float
    workers: int
    quick: bool

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.deadline - time.monotonic()

    @property
    def carry(self) -> Path:
        """What is taken away."""
        return self.output / "carry"

    @property
    def run(self) -> Path:
        """The training."""
        return self.output / "run"

    def result(self, part: str) -> dict[str, Any] | None:
        """What an earlier part found."""
        path = self.output / "results" / f"{part}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def device(session: Session) -> dict[str, Any]:
    """Hardware and versions."""
    found: dict[str, Any] = {**machine(), "cuda": torch.version.cuda, "system": platform.platform()}
    names = ("torch", "gsplat", "accelerate", "numba", "triton", "safetensors", "roma", "einops", "lpips")
    found["versions"] = {d.name: d.version for d in distributions() if d.name.lower() in names}
    if torch.cuda.is_available():
        found["memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
        found["capability"] = list(torch.cuda.get_device_capability())
    return found


def build(session: Session) -> dict[str, Any]:
    """Build gsplat's kernels in a process of its own, which can be ended; the log is kept."""
    log, start = session.output / "build.log", time.monotonic()
    environment = {**os.environ, "VERBOSE": "1", "MAX_JOBS": str(os.cpu_count())}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(max(session.left - 5, 1))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    words = {0: "built", None: "did not end in time"}.get(code, f"failed with exit code {code}")
    tail = log.read_text(errors="replace")[-3000:]
    return {"seconds": round(time.monotonic() - start, 1), "outcome": words, "log": tail}


def rendering(session: Session) -> dict[str, Any]:
    """The speed of gsplat, the CPU renderer against it, golden files."""
    if not is_built(session):
        return {"outcome": "not run, for gsplat's kernels are not built"}
    part = Gpu(golden=session.carry)
    if session.quick:
        part = replace(part, count=60, size=24, repeats=1)
    return results_of(part.run())


def generation(session: Session) -> dict[str, Any]:
    """The main job as a user starts it: the first run with empty caches, then two more."""
    device_name = "cuda" if is_built(session) else "cpu"
    with tempfile.TemporaryDirectory() as cache:
        photo = ROOT / "examples/photos/coffee.jpg"
        runs = [generate.run(photo, ("--device", device_name), Path(cache)) for _ in range(3)]
    return {"device": device_name, "runs": runs}


def speed(session: Session) -> dict[str, Any]:
    """Share of the rate of matrix products."""
    part = Rate()
    if session.quick:
        part = replace(part, models=("compact",), batches=(2,), size=16, steps=1)
    return results_of(part.run())


def training(session: Session) -> dict[str, Any]:
    """Train until all stages are done, or the time is up."""
    # pictures are rendered, which needs gsplat on a GPU
    pictures = 0 if torch.cuda.is_available() and not is_built(session) else 200
    watch = Watch(
        save_every=2 if session.quick else 200,
        log_every=1 if session.quick else 20,
        picture_every=pictures,
        picture=stage_picture,
        progress=False,
    )
    recipe = the_recipe(session)
    cache = session.output / "clips"
    train(recipe, session.run, cache=cache, num_workers=session.workers, watch=watch, cpu=session.quick)
    return {"outcome": "all stages are done", "steps": sum(stage.steps for stage in recipe.stages)}


PARTS: dict[str, Callable[[Session], dict[str, Any]]] = {
    "device": device,
    "build": build,
    "rendering": rendering,
    "generate": generation,
    "speed": speed,
    "training": training,
}


def the_recipe(session: Session) -> Recipe:
    """That of the run if there is one, that of the file, or the last stages of "compact"."""
    if (session.run / "recipe.json").is_file():
        return Recipe.load(session.run / "recipe.json")
    if session.recipe is not None:
        recipe = Recipe.load(session.recipe)
    else:
        stages = tuple(s for s in RECIPES["compact"].stages if s.name in ("dynamic", "diffusion"))
        recipe = replace(RECIPES["compact"], stages=stages, initial="compact")
    if session.quick:
        recipe = replace(recipe, stages=tuple(in_small(stage) for stage in recipe.stages))
    if recipe.initial is None:
        raise ValueError("the recipe must name the model to start from (initial), got none.")
    return recipe.scaled(session.scale_steps) if session.scale_steps != 1 else recipe


def in_small(stage: Any) -> Any:
    """Four steps on tiny clips."""
    data = tuple(replace(source, clips=3) for source in stage.data)
    return replace(stage, steps=4, batch=2, accumulate=1, frames=5, size=32, data=data)


def is_built(session: Session) -> bool:
    """Whether gsplat's kernels are there."""
    return (session.result("build") or {}).get("outcome") == "built"


def results_of(results: list[Result]) -> dict[str, Any]:
    """Measured numbers as JSON."""
    return {"results": [{**asdict(result), "met": result.met} for result in results]}


def do(session: Session, part: str) -> None:
    """Do a part that is not done, and note what came of it; the next call tries a failed training again."""
    if session.result(part) is not None:
        return
    if part in NEEDS_GPU and not torch.cuda.is_available():
        print(f"{part}: skipped, for there is no CUDA device here", flush=True)
        return
    print(f"{part}: {session.left:.0f} s are left", flush=True)
    start, left = time.monotonic(), session.left

    def note(name: str, found: dict[str, Any]) -> None:
        found = {**found, "took_seconds": round(time.monotonic() - start, 1)}
        session.write(session.output / "results" / f"{name}.json", json.dumps(found, indent=1) + "\n")

    try:
        note(part, PARTS[part](session))
    except (Exception, SystemExit):  # with which a benchmark ends where a command fails
        traceback.print_exc()
        failure = "training-failure" if part == "training" else part
        note(failure, {"outcome": "failed", "log": traceback.format_exc()[-3000:]})
    except TimeIsUp:
        # with so much time it would not end the next time
        if part != "training" and left > session.whole / 2:
            note(part, {"outcome": "did not end in time", "log": ""})
        raise


def finish(session: Session) -> None:
    """Write what is carried away, the pipeline as it stands, and the summary."""
    lines = ["# Half an hour of a GPU", ""]
    results = {
        path.stem: json.loads(path.read_text()) for path in (session.output / "results").glob("*.json")
    }
    for part in (*PARTS, "training-failure"):
        lines += describe_part(part, results.get(part))
    if stages_of(session.run):
        pipeline_so_far(session.run).save_pretrained(session.output / "model")
        lines += ["## Training so far", "", *progress(session.run), ""]
        lines += [f"Carried: {pack(session.run, session.carry)}.", ""]
    session.write(session.carry / "results.json", json.dumps(results, indent=1) + "\n")
    text = "\n".join(lines)
    for folder in (session.output, session.carry):
        session.write(folder / "summary.md", text)


def describe_part(part: str, found: dict[str, Any] | None) -> list[str]:
    """A section of the summary."""
    if found is None:
        return [] if part == "training-failure" else [f"## {part}", "", "Not done.", ""]
    lines = [f"## {part}", "", f"Took {found['took_seconds']:.0f} s."]
    if "outcome" in found:
        lines += ["", f"{found['outcome']}."]
    if found.get("outcome", "").startswith(("failed", "did not")):
        lines += ["", "```text", *found["log"].splitlines()[-12:], "```"]
    for result in found.get("results", []):
        if "| what |" not in "".join(lines):
            lines += ["", "| what | value | goal |", "|---|---|---|"]
        goal = "" if result["goal"] is None else f"{result['goal']:g} {'met' if result['met'] else 'missed'}"
        lines.append(
            f"| {result['part']}: {result['name']} | {number(result['value'])} {result['unit']} | {goal} |"
        )
    for run in found.get("runs", []):
        lines += ["", f"{run['result']}: {run['seconds']:.1f} s, {run['peak_bytes'] / 1e6:.0f} MB"]
    if part == "device":
        names = ("gpu", "processor", "cores", "torch", "cuda", "commit")
        lines += ["", ", ".join(f"{name} {found[name]}" for name in names)]
    return [*lines, ""]


def progress(run: Path) -> list[str]:
    """Steps, seconds and running averages of each stage that was begun."""
    steps = {stage.name: stage.steps for stage in Recipe.load(run / "recipe.json").stages}
    lines = ["| stage | saved step | of | seconds | last running averages |", "|---|---|---|---|---|"]
    for stage in stages_of(run):
        saved = Checkpoints(stage / "checkpoints").all()
        last = ([{}] + read_records(stage / "log.jsonl"))[-1]
        shown = ", ".join(f"{k} {v:.3g}" for k, v in losses_of(last).items())
        done = int(saved[-1].name) if saved else 0
        total = steps[stage.name.partition("-")[2]]
        lines.append(f"| {stage.name} | {done} | {total} | {last.get('seconds', 0):.0f} | {shown} |")
    return lines


def stop(number: int, frame: object) -> None:
    raise TimeIsUp


def main(
    *,
    output: Path,
    minutes: float = 9.5,
    recipe: Path | None = None,
    scale_steps: float = 1.0,
    workers: int | None = None,
    resume: Path | None = None,
    quick: bool = False,
) -> None:
    """Do what is not done yet, until the time is up.

    Args:
        output: Folder of everything; the same one again goes on.
        minutes: Time of this call; it ends a little earlier. 0 only writes what is there.
        recipe: Recipe to train by, a JSON file that names a model to start from.
        scale_steps: Factor on the steps of the recipe.
        workers: Processes that make clips; one per core when omitted, 0 makes them in between.
        resume: Folder with the files of an earlier OUTPUT/carry, to go on from where OUTPUT has no run.
        quick: All of it in small, to see whether it runs; the numbers mean nothing.
    """
    whole = 60 * minutes - (0 if quick else END_SECONDS)
    workers = os.cpu_count() or 1 if workers is None else workers
    session = Session(output, whole, time.monotonic() + whole, recipe, scale_steps, workers, quick)
    session.carry.mkdir(parents=True, exist_ok=True)
    if resume is not None and not stages_of(session.run):
        unpack(resume, session.run)
    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGTERM)}
    try:
        if session.left > 0:
            signal.setitimer(
                signal.ITIMER_REAL, session.left, 2
            )  # again, where Python swallows what is raised
            for part in PARTS:
                do(session, part)
    except TimeIsUp:
        print("the time is up", flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    finish(session)
    print((session.output / "summary.md").read_text())


if __name__ == "__main__":
    tyro.cli(main)
