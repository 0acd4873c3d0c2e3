"""Speed of rendering on the CPU, beside the goals that it is held to; on a GPU also that of gsplat.

    python benchmarks/rendering.py                  everything
    python benchmarks/rendering.py table            one part; `table --help` lists its options
    python benchmarks/rendering.py --quick          everything in small, to see whether it runs

Times are wall times. The fastest of several calls counts, because other programs on the machine only ever
add to a time. What is compared takes turns within one run. Gradients are those of the five tensors of a set
of Gaussians and of the pose. Goals in seconds are for two threads, and some for AVX-512 or AVX2 alone.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from measuring import (
    Result,
    command_line,
    conclude,
    describe,
    fastest,
    machine,
    number,
    once,
    report,
    say,
    vector_class,
)
from rendering_gpu import Gpu
from rendering_growth import Growth
from rendering_scenes import cameras, moving, passes, scene, tensors

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, harmonics_to_rgb
from diff4splat.rendering import Rendering, reference, render

# Milliseconds forward, and forward and backward, by width of vectors, scene and image side.
GOALS = {
    ("AVX-512", "c", 512): (6.0, 15.0),
    ("AVX2", "c", 512): (9.0, 22.0),
    ("AVX-512", "a", 512): (14.0, 40.0),
    ("AVX2", "a", 512): (24.0, 60.0),
}
SPEEDUP = 15.0
INTERACTIVE_MS = 6.7  # the paper's frame, on a GPU of a data centre
VIDEO_SPEEDUP = 1.3
COLD_SECONDS, WARM_SECONDS = 10.0, 0.5


@dataclass(frozen=True)
class Table:
    """Forward and backward of scenes a, b and c, beside this library's plain torch path."""

    scenes: str = "abc"
    """Letters of the scenes."""
    sizes: tuple[int, ...] = (256, 512)
    """Image sides, pixels."""
    count: int = 50_000
    """Gaussians."""
    repeats: int = 45
    """Calls per entry."""
    blocks: tuple[int, ...] = (8, 16, 32)
    """Sides of the blocks of plain torch, pixels; the fastest counts. `--blocks` alone leaves it out."""
    rounds: int = 1
    """Calls of plain torch per side of blocks."""

    def run(self) -> list[Result]:
        """Measure and print."""
        blocks = ", ".join(map(str, self.blocks))
        say(
            f"{self.count:,} Gaussians, milliseconds, fastest of {self.repeats} calls. Plain torch: the "
            f"fastest of blocks of {blocks} pixels (in brackets), in turn with ours, "
            f"calls of each: {self.rounds}."
        )
        row("scene", "size", "pass", "ms", "goal", "plain torch", "speedup", "goal")
        return [result for name in self.scenes for size in self.sizes for result in self.entries(name, size)]

    def entries(self, name: str, size: int) -> list[Result]:
        """One scene at one size: two rows."""
        gaussians, view = scene(name, self.count), cameras(size)
        inputs = (*tensors(gaussians), view.camera_to_world)
        ours = passes(lambda: render(gaussians, view, backend="cpu"), inputs)
        plain = [
            passes(lambda block=block: plain_torch(gaussians, view, block), inputs) for block in self.blocks
        ]
        results = []
        for what, goal in zip(ours, GOALS.get((vector_class(), name, size), (None, None)), strict=True):
            mine, theirs = in_turn(ours[what], [calls[what] for calls in plain], self.repeats, self.rounds)
            label = f"scene {name}, {size} x {size}, {what}"
            time = Result("table", label, 1000 * mine, "ms", for_two_threads(goal))
            results.append(time)
            cells = [name, str(size), what, number(time.value), time.verdict()]
            if theirs:
                best, block = min(zip(theirs, self.blocks, strict=True))
                speedup = Result("table", f"{label}, speedup", best / mine, "x", SPEEDUP, at_least=True)
                results.append(speedup)
                cells += [f"{number(1000 * best)} ({block})", number(speedup.value), speedup.verdict()]
            row(*cells)
        return results


@dataclass(frozen=True)
class Interactive:
    """One frame of a moving field, deformation included, as a viewer asks for it."""

    size: int = 256
    """Image side, pixels."""
    count: int = 50_000
    """Gaussians, scene c."""
    num_times: int = 25
    """Stored times of the field."""
    moments: int = 5
    """Times that are rendered; the mean over them counts."""
    repeats: int = 40
    """Calls per time."""

    def run(self) -> list[Result]:
        """Measure and print."""
        field, view = moving(scene("c", self.count), self.num_times), cameras(self.size)
        say(
            f"A field of {self.count:,} Gaussians (scene c) and {self.num_times} times; one camera and one "
            f"time per call, no gradients. Mean over {self.moments} times of the fastest of {self.repeats}."
        )
        stored = field.times[torch.linspace(0, self.num_times - 2, self.moments).round().long()]
        results = []
        with torch.no_grad():
            for what, moments in (
                ("stored", stored),
                ("between stored", stored + 0.4 / (self.num_times - 1)),
            ):
                calls = [lambda time=time: field.render(view, time[None]) for time in moments]
                fastest(calls, 1)
                mean = sum(fastest(calls, self.repeats)) / len(calls)
                name = f"frame {self.size} x {self.size}, time {what}"
                results.append(
                    Result("interactive", name, 1000 * mean, "ms", for_two_threads(INTERACTIVE_MS))
                )
        return report(results)


@dataclass(frozen=True)
class Video:
    """All frames of a moving field in one call, against a call per frame."""

    size: int = 256
    """Image side, pixels."""
    count: int = 50_000
    """Gaussians, scene c."""
    num_times: int = 25
    """Stored times of the field, and frames."""
    repeats: int = 8
    """Rounds of one call and `num_times` single calls."""

    def run(self) -> list[Result]:
        """Measure and print."""
        field, views = moving(scene("c", self.count), self.num_times), cameras(self.size, self.num_times)
        say(
            f"{self.num_times} frames of {self.size} x {self.size} of a field of {self.count:,} Gaussians "
            f"(scene c), in one call and one by one. Fastest of {self.repeats} rounds in turn."
        )
        deltas = (field.delta_means, field.delta_quaternions, field.delta_scales)
        inputs = (*tensors(field.canonical), *deltas, views.camera_to_world)
        together = passes(lambda: field.render(views, field.times), inputs)
        frames = [(views.select(slice(i, i + 1)), field.times[i : i + 1]) for i in range(self.num_times)]
        single = [passes(lambda frame=frame: field.render(*frame), inputs) for frame in frames]
        results = []
        for what in together:
            calls = [together[what], lambda what=what: [call[what]() for call in single]]
            fastest(calls, 1)
            one, many = fastest(calls, self.repeats)
            results += [
                Result("video", f"{what}, one call", 1000 * one, "ms"),
                Result("video", f"{what}, {self.num_times} calls", 1000 * many, "ms"),
                Result("video", f"{what}, speedup", many / one, "x", VIDEO_SPEEDUP, at_least=True),
            ]
        return report(results)


@dataclass(frozen=True)
class Start:
    """Seconds that the first render adds to a new process: compiling, or loading compiled kernels."""

    cold_repeats: int = 2
    """Processes with an empty cache."""
    warm_repeats: int = 5
    """Processes with a full cache, and as many that only import."""
    passes: tuple[Literal["forward", "forward+backward"], ...] = ("forward", "forward+backward")
    """What the process does."""

    def run(self) -> list[Result]:
        """Measure and print."""
        say(
            "A process that imports and renders, less one that imports the same, numba included. Fastest of "
            f"{self.cold_repeats} (cold: no kernels on disk) and of {self.warm_repeats} (warm), in turn."
        )
        results = []
        with tempfile.TemporaryDirectory() as folder:
            for what in self.passes:
                caches = [Path(folder) / what / str(i) for i in range(self.cold_repeats)]
                cold = min(once(process(FIRST_RENDERS[what], cache)) for cache in caches)
                calls = [process(code, caches[0]) for code in (FIRST_RENDERS[what], "")]
                warm, imports = fastest(calls, self.warm_repeats)
                results += [
                    Result("start", f"{what}, {state}", seconds - imports, "s", for_two_threads(goal))
                    for state, seconds, goal in (("cold", cold, COLD_SECONDS), ("warm", warm, WARM_SECONDS))
                ]
        return report(results)


_SETUP = (
    "import numba, torch; from diff4splat.rendering import render; "
    "from rendering_scenes import cameras, scene; "
    "gaussians, view = scene('b', 100), cameras(64); "
)
FIRST_RENDERS = {
    "forward": "render(gaussians, view)",
    "forward+backward": "gaussians.means.requires_grad_(); render(gaussians, view).color.sum().backward()",
}
PARTS = (Table, Interactive, Video, Growth, Start, Gpu)
QUICK: dict[type, dict[str, Any]] = {
    Table: {"sizes": (24,), "count": 60, "repeats": 1, "blocks": (8, 16)},
    Interactive: {"size": 24, "count": 60, "num_times": 4, "moments": 2, "repeats": 1},
    Video: {"size": 24, "count": 60, "num_times": 3, "repeats": 1},
    Growth: {"counts": (30, 60), "sides": (16, 32), "count": 60, "side": 24, "repeats": 1},
    Start: {"cold_repeats": 1, "warm_repeats": 1, "passes": ("forward",)},
    Gpu: {"count": 60, "size": 24, "repeats": 1},
}


def process(code: str, cache: Path) -> Callable[[], Any]:
    """A call that runs `code` after `_SETUP` in a new process, with a folder for compiled kernels."""
    command = [sys.executable, "-c", _SETUP + code]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return lambda: subprocess.run(command, cwd=Path(__file__).parent, env=environment, check=True)


def plain_torch(gaussians: Gaussians, view: Cameras, block_px: int) -> Rendering:
    """What `render` falls back to where numba is missing, without its checks."""
    *places, harmonics = tensors(gaussians)
    inputs = (*places, harmonics_to_rgb(harmonics[None, :, 0]), view.camera_to_world, view.intrinsics)
    options: dict[str, Any] = {"near": 0.01, "far": 1e10, "eps2d": 0.3, "radius_clip": 0.0, "mode": "classic"}
    size = {"height": view.height, "width": view.width, "block_px": block_px}
    return Rendering(*reference.rasterize(*inputs, **size, **options))  # the pose is its own inverse


def in_turn(
    ours: Callable[[], Any], others: Sequence[Callable[[], Any]], repeats: int, rounds: int
) -> tuple[float, list[float]]:
    """Fastest of `repeats` of our calls, in batches between `rounds` of each of the others; seconds."""
    ours()
    mine, theirs = [], [[] for _ in others]
    turns = [(times, other) for _ in range(rounds) for times, other in zip(theirs, others, strict=True)]
    for times, other in turns:
        times.append(once(other))
        mine += fastest([ours], max(1, repeats // len(turns)))
    return min(mine or fastest([ours], repeats)), [min(times) for times in theirs]


def row(*cells: str) -> None:
    """Print a row of the table."""
    widths = (5, 4, 16, 5, 9, 11, 7, 9)
    line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
    print(f"  {line}".rstrip(), flush=True)


def for_two_threads(goal: float | None) -> float | None:
    """The goal if it applies to the threads that run."""
    return goal if torch.get_num_threads() == 2 else None


def main(
    part: tyro.conf.OmitSubcommandPrefixes[Table | Interactive | Video | Growth | Start | Gpu | None] = None,
    *,
    quick: bool = False,
    threads: int = 0,
    plot: Path | None = None,
    json: Path | None = None,
) -> list[Result]:
    """Measure, print, and say which goals are met.

    Args:
        part: What to measure; everything when omitted.
        quick: Tiny sizes, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch, which the kernels follow; torch's own default for 0.
        plot: Where to draw what "growth" measures, an SVG or PNG file.
        json: Where to write all results.
    """
    chosen = [kind() for kind in PARTS] if part is None else [part]
    if quick:
        chosen = [replace(one, **QUICK[type(one)]) for one in chosen]
    growth = next((one for one in chosen if isinstance(one, Growth)), None)
    if plot and growth is None:
        raise SystemExit("--plot draws what growth measures: leave it or the part out.")
    if threads:
        torch.set_num_threads(threads)
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}")
    results = []
    for one in chosen:
        print()
        say(f"{type(one).__name__.lower()}: {(one.__doc__ or '').splitlines()[0]}")
        results += one.run()
    if part is None:
        print("\ngoals")
        report([result for result in results if result.met is not None])
    if plot and growth:
        growth.draw(results, plot, describe(facts).replace("\n", "; "))
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.CascadeSubcommandArgs,))
