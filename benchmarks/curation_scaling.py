"""How many clips a second go through stages of curation with more workers, in processes and on Ray.

    python benchmarks/curation_scaling.py                      60 clips of 17 frames, 1 and 2 workers
    python benchmarks/curation_scaling.py --workers 1 2 4 8    on a larger machine
    python benchmarks/curation_scaling.py --quick              in small, to see whether it runs

A clip is drawn by `procedural_sample`, its depth is carried from each frame to all others and compared, its
motion is judged, and its frames are compressed: work for one core, and one file to write. The rate is that of
the second half of the clips, for processes take seconds to start, once. Both engines must give the same
files.
"""

import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
import tyro
from measuring import Result, command_line, conclude, describe, machine, say

from diff4splat.cameras import Cameras
from diff4splat.data import Recording, procedural_sample
from diff4splat.data.stages import Item, Outcome, Rejected, Stage, Task, result_path, run_stages
from diff4splat.geometry import project, unproject

Engine = Literal["local", "ray"]
COLORS = {"local": "#1f6f9f", "ray": "#b5482a"}
LABELS = {"local": "processes", "ray": "Ray Data"}
LEAST_EFFICIENCY = 0.8
_GREY = "#8a8a8a"


@dataclass(frozen=True)
class Draw:
    """A procedural clip, as a reader would give it."""

    num_frames: int
    side: int

    def __call__(self, item: Item) -> Item:
        """The clip of this seed."""
        sample = procedural_sample(
            item.inputs["seed"], num_frames=self.num_frames, height=self.side, width=self.side
        )
        recording = Recording(
            item.uid,
            "procedural",
            "none",
            (255 * sample["video"][0]).round().to(torch.uint8),
            Cameras(sample["camera_to_world"][0], sample["intrinsics"][0], self.side, self.side),
            sample["depth"][0],
            torch.isfinite(sample["depth"][0]) & (sample["depth"][0] > 0),
            tracks=sample["tracks"][0].transpose(0, 1),
            visible=sample["track_visibility"][0].transpose(0, 1) > 0.5,
        )
        return replace(item, recording=recording)


def reproject(item: Item) -> Item:
    """Median relative error of depth that is carried from each frame to each other one."""
    recording = item.recording
    assert recording is not None and recording.cameras is not None and recording.depth is not None
    poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
    points = unproject(recording.depth, poses, lenses).flatten(1, 2)
    size = torch.tensor([recording.width, recording.height])
    errors = []
    for frame in range(recording.num_frames):
        pixels, carried = project(points, poses[frame].expand_as(poses), lenses[frame].expand_as(lenses))
        grid = (2 * pixels / size - 1).nan_to_num(2, 2, 2)[:, None]
        depth = recording.depth[frame].expand(len(points), 1, -1, -1)
        there = F.grid_sample(depth, grid, mode="nearest", align_corners=False)[:, 0, 0]
        seen = (there > 0) & (carried > 0)
        errors.append((there / carried - 1).abs()[seen])
    return replace(item, metrics={**item.metrics, "depth_error": torch.cat(errors).median().item()})


def judge(item: Item) -> Item:
    """Reject clips whose depth does not hold, or whose points jump."""
    recording = item.recording
    assert recording is not None and recording.tracks is not None
    step = recording.tracks.diff(dim=1).norm(dim=-1).quantile(0.9).item()
    metrics = {**item.metrics, "step": step}
    if float(item.metrics["depth_error"] or 0) > 0.5:
        raise Rejected("depth_error is above 0.5", metrics)
    return replace(item, metrics=metrics)


def encode(item: Item) -> Item:
    """The frames, compressed without loss."""
    assert item.recording is not None
    return replace(item, files={"z": zlib.compress(item.recording.video.numpy().tobytes(), 6)})


def main(
    *,
    clips: int = 60,
    num_frames: int = 17,
    side: int = 160,
    workers: tuple[int, ...] = (1, 2),
    engines: tuple[Engine, ...] = ("local", "ray"),
    quick: bool = False,
    plot: Path | None = None,
    json: Path | None = None,
) -> list[Result]:
    """Measure, print, and draw.

    Args:
        clips: Clips of each run.
        num_frames: Frames of a clip.
        side: Its height and width, pixels.
        workers: Numbers of workers.
        engines: What runs them.
        quick: Tiny sizes, to see whether it runs; the numbers mean nothing.
        plot: Where to draw clips per second over workers, an SVG or PNG file.
        json: Where to write all results.
    """
    if quick:
        clips, num_frames, side = 8, 3, 16
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}\n")
    say(f"{clips} clips of {num_frames} frames, {side} x {side} pixels; efficiency beside fewest workers.")
    print(f"\n  {'':>10}{'workers':>9}{'clips/s':>10}{'efficiency':>12}{'until first clip, s':>22}")
    stages = [
        Stage("draw", Draw(num_frames, side)),
        Stage("reproject", reproject),
        Stage("judge", judge),
        Stage("encode", encode),
    ]
    tasks = [Task(f"clip{seed:04d}", {"seed": seed}) for seed in range(clips)]
    results, bytes_of_runs = [], set()
    for engine in engines:
        base = None
        for count in workers:
            rate, first, content = measure(tasks, stages, engine, count)
            bytes_of_runs.add(content)
            base = base or rate / count
            efficiency = rate / count / base
            goal = LEAST_EFFICIENCY if count > workers[0] else None
            results += [
                Result("curation", f"{LABELS[engine]}, rate", rate, "clips/s", size=count),
                Result("curation", f"{LABELS[engine]}, start", first, "s", size=count),
                Result("curation", f"{LABELS[engine]}, efficiency", efficiency, "", goal, True, count),
            ]
            print(
                f"  {LABELS[engine]:>10}{count:>9}{rate:>10.2f}{efficiency:>12.2f}{first:>22.1f}", flush=True
            )
    if len(bytes_of_runs) != 1:
        raise SystemExit("the runs gave different files: stages must give the same anywhere.")
    say("\nAll runs gave the same files, byte for byte.")
    if plot:
        draw(results, plot, f"{clips} clips of {num_frames} frames, {side} × {side}; {describe(facts)}")
    conclude(results, quick=quick, json=json, facts=facts)
    return results


def measure(
    tasks: Sequence[Task], stages: Sequence[Stage], engine: Engine, workers: int
) -> tuple[float, float, tuple[bytes, ...]]:
    """Clips per second, seconds until the first, and what was written."""
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        outcomes = run_stages(
            tasks,
            stages,
            folder,
            workers=workers,
            engine=engine,
            callback=lambda done, total: moments.append(time.perf_counter()),
        )
        content = tuple(_written(folder, outcome) for outcome in outcomes)
    half = len(moments) // 2
    rate = (len(moments) - half) / (moments[-1] - moments[half - 1])
    return rate, moments[0] - start, content


def draw(results: Sequence[Result], path: Path, caption: str) -> None:
    """Clips per second over workers, beside a rate that grows with them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "diff4splat", "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure, panel = pyplot.subplots(figsize=(6, 4.2), layout="constrained")
        for engine, label in LABELS.items():
            points = [(r.size, r.value) for r in results if r.name == f"{label}, rate" and r.size is not None]
            if not points:
                continue
            counts, rates = zip(*points, strict=True)
            color = COLORS[engine]
            panel.plot(counts, rates, color=color, marker="o", markersize=4.5, linewidth=1.8, label=label)
            ideal = [rates[0] * count / counts[0] for count in counts]
            panel.plot(counts, ideal, color=color, linestyle=":", linewidth=1)
            panel.set_xticks(counts)
        panel.set(xlabel="workers", ylabel="clips per second", ylim=(0, None))
        panel.legend(frameon=False, title="dotted: in proportion", title_fontsize=8, alignment="left")
        panel.grid(color="#e4e4e4", linewidth=0.8)
        panel.set_axisbelow(True)
        figure.supxlabel(caption, fontsize=7, color=_GREY)
        figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def _written(folder: str, outcome: Outcome) -> bytes:
    return result_path(folder, outcome.stage, outcome.key).read_bytes()


if __name__ == "__main__":
    tyro.cli(main)
