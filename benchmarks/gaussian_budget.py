"""Gaussian budget against quality, memory and time: the trade-off of the paper's supplement, Sec. 6.

    python benchmarks/gaussian_budget.py --plot docs/images/gaussian_budget.svg     a few minutes
    python benchmarks/gaussian_budget.py --quick                                    does it run?

True videos of held-out scenes are encoded at the size of the model's clips and reconstructed with the large
first image, as the pipeline does with a photograph; images are compared and rendered at the large size. Of
the 262,144 pixels of such an image, plain areas share Gaussians until the budget is met. Times are the
fastest of all calls and scenes, all budgets in turn, because other programs only ever make them longer;
memory is measured in a process of its own, on Linux.
"""

import math
import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from measuring import TINY, command_line, describe, fastest, machine, resident_bytes, write_json
from torch import Tensor
from tqdm import tqdm

from diff4splat import Diff4SplatPipeline
from diff4splat.assets import load_field
from diff4splat.cameras import Cameras
from diff4splat.evaluation import HeldOutScenes, held_out_scenes, mean_estimate, psnr
from diff4splat.evaluation.held_out.fields import render_scenes
from diff4splat.evaluation.held_out.scenes import seed_batches
from diff4splat.evaluation.statistics import Estimate
from diff4splat.gaussians import DeformableGaussianField

BUDGETS = (10_000, 50_000, 100_000)
SUPPLEMENT = "The supplement, from 50K to 100K: marginally finer detail, memory +75 %, inference time +60 %."
COLUMNS = {
    "gaussians": ("Gaussians", 1, 0),
    "novel_psnr": ("novel views (dB)", 1, 2),
    "first_psnr": ("first frame (dB)", 1, 2),
    "file_bytes": ("saved scene (MB)", 1e6, 2),
    "field_bytes": ("field in memory (MB)", 1e6, 1),
    "peak_bytes": ("more while rendering (MB)", 1e6, 1),
    "reconstruct_seconds": ("reconstruct (ms)", 1e-3, 0),
    "render_seconds": ("render a frame (ms)", 1e-3, 1),
}
"""Heads, units and digits of the columns, by the names of `Point`."""


@dataclass(frozen=True)
class Point:
    """What a budget gives in one scene."""

    budget: int
    gaussians: int
    novel_psnr: float
    first_psnr: float
    file_bytes: int
    field_bytes: int
    peak_bytes: float
    """Most resident memory while a frame is rendered, less that before; NaN where it cannot be known."""
    reconstruct_seconds: float
    """From latents to the field: network, layout and the choice of what is kept."""
    render_seconds: float
    """A frame between two stored times, deformation included."""


def tensor_bytes(value: Any) -> int:
    """Bytes of the tensors of a struct, and of the structs in it."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(tensor_bytes(getattr(value, f.name)) for f in fields(value)) if is_dataclass(value) else 0


def moment(field: DeformableGaussianField) -> Tensor:
    """A time between two stored ones."""
    return field.times[field.num_times // 2 - 1 : field.num_times // 2 + 1].mean(0, keepdim=True)


def rendering_peak(path: Path, camera: Cameras, threads: int) -> float:
    """Most resident bytes while a frame of a saved field is rendered less those before."""
    torch.set_num_threads(threads)
    field = load_field(path)
    with torch.no_grad():
        few = field.select(torch.arange(min(100, field.num_gaussians)))
        few.render(camera.resize(16, 16), moment(field))  # kernels load, threads start
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
            before = resident_bytes("VmRSS")
            field.render(camera, moment(field))
            return float(resident_bytes("VmHWM") - before)
        except OSError:
            return math.nan


def reconstruct(
    pipe: Diff4SplatPipeline, scene: HeldOutScenes, latents: Tensor, budget: int
) -> DeformableGaussianField:
    """The field of a scene within a budget, as the pipeline makes it of generated latents."""
    return pipe.reconstruct(latents, scene.cameras.batch(0), image=scene.image[0], num_gaussians=budget)


@torch.no_grad()
def measure(
    pipe: Diff4SplatPipeline, seed: int, size: int, clip: int, budgets: Sequence[int], repeats: int
) -> list[Point]:
    """All budgets in one scene."""
    scene = held_out_scenes([seed], height=size, width=size)
    small = F.interpolate(scene.frames.color[0], size=(clip, clip), mode="area")[None]
    latents = pipe.backbone.encode(small)
    made = [reconstruct(pipe, scene, latents, budget) for budget in budgets]
    reconstruct_seconds = fastest(
        [lambda b=budget: reconstruct(pipe, scene, latents, b) for budget in budgets], repeats
    )
    camera = scene.novel_cameras.batch(0).select(slice(0, 1))
    draw = [lambda field=field: field.render(camera, moment(field)) for field in made]
    fastest(draw, 1)
    render_seconds = fastest(draw, 3 * repeats)
    points = []
    for budget, field, *seconds in zip(budgets, made, reconstruct_seconds, render_seconds, strict=True):
        one = field.batch(None)
        novel = render_scenes(one, scene.novel_cameras, scene.novel_times).color
        first = render_scenes(one, scene.cameras.select(slice(0, 1)), scene.times[None, :1]).color
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scene.safetensors"
            field.save(path)
            file_bytes = path.stat().st_size
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(rendering_peak, (path, camera, torch.get_num_threads()))
        points.append(
            Point(
                budget=budget,
                gaussians=field.num_gaussians,
                novel_psnr=float(psnr(novel, scene.novel_frames.color).mean()),
                first_psnr=float(psnr(first[:, 0], scene.image)),
                file_bytes=file_bytes,
                field_bytes=tensor_bytes(field),
                peak_bytes=peak,
                reconstruct_seconds=seconds[0],
                render_seconds=seconds[1],
            )
        )
    return points


def estimate(points: Sequence[Point], name: str) -> Estimate:
    """Mean over scenes, in the unit of its column; of times the least."""
    values = torch.tensor([getattr(point, name) for point in points], dtype=torch.float64)
    if name.endswith("seconds"):
        values = values.amin(0, keepdim=True)
    return mean_estimate(values / COLUMNS[name][1], generator=torch.Generator().manual_seed(0))


def by_budget(points: Sequence[Point]) -> dict[int, list[Point]]:
    """Points of each budget, in the order of the scenes."""
    return {b: [p for p in points if p.budget == b] for b in sorted({p.budget for p in points})}


def table(points: Sequence[Point]) -> str:
    """One row per budget, as Markdown; means over scenes, PSNR with 95 % intervals, least times."""
    lines = [["budget", *(head for head, _, _ in COLUMNS.values())], ["--:"] * (1 + len(COLUMNS))]
    for budget, some in by_budget(points).items():
        cells = [f"{budget:,}"]
        for name, (_, _, digits) in COLUMNS.items():
            found = estimate(some, name)
            interval = f" [{found.low:.{digits}f}, {found.high:.{digits}f}]" if "psnr" in name else ""
            cells.append(f"{found.value:,.{digits}f}{interval}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def steps_between(points: Sequence[Point]) -> str:
    """What each larger budget costs and gives over the one before, scene by scene."""
    groups, lines = by_budget(points), []
    for (low, less), (high, more) in zip(groups.items(), list(groups.items())[1:], strict=False):
        parts = []
        for name in ("novel_psnr", "first_psnr"):
            gain = [getattr(b, name) - getattr(a, name) for a, b in zip(less, more, strict=True)]
            found = mean_estimate(torch.tensor(gain), generator=torch.Generator().manual_seed(0))
            head = COLUMNS[name][0].removesuffix(" (dB)")
            parts.append(f"{head} {found.value:+.2f} dB [{found.low:+.2f}, {found.high:+.2f}]")
        for name in ("field_bytes", "peak_bytes", "reconstruct_seconds", "render_seconds"):
            ratio = estimate(more, name).value / estimate(less, name).value
            parts.append(f"{COLUMNS[name][0].rpartition(' (')[0]} {100 * (ratio - 1):+.0f} %")
        lines.append(f"- From {low:,} to {high:,}: {', '.join(parts)}.")
    return "\n".join(lines)


def draw(points: Sequence[Point], path: Path, caption: str) -> None:
    """Quality, memory and time over the number of Gaussians that there are."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {
        "PSNR, decibels": {"first_psnr": "first frame", "novel_psnr": "novel views"},
        "megabytes": {"field_bytes": "field, saved or loaded", "peak_bytes": "more while rendering"},
        "milliseconds": {"reconstruct_seconds": "reconstruct a scene", "render_seconds": "render a frame"},
    }
    colors = ("#1f6f9f", "#b5482a")
    groups = by_budget(points)
    counts = [estimate(some, "gaussians").value for some in groups.values()]
    style = {"svg.hashsalt": "diff4splat", "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
        for axis, (label, names) in zip(axes, panels.items(), strict=True):
            for color, (name, words) in zip(colors, names.items(), strict=False):
                found = [estimate(some, name) for some in groups.values()]
                axis.plot(counts, [f.value for f in found], color=color, marker="o", label=words)
                if "psnr" in name:
                    axis.fill_between(
                        counts, [f.low for f in found], [f.high for f in found], color=color, alpha=0.15, lw=0
                    )
            axis.set(xscale="log", xlabel="Gaussians", ylabel=label)
            if "PSNR" not in label:
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
                axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_xticks(counts, [f"{count / 1000:.0f}k" for count in counts])
            axis.minorticks_off()
            axis.grid(color="#e4e4e4", linewidth=0.8)
            axis.set_axisbelow(True)
            axis.legend(frameon=False)
        figure.supxlabel(caption, fontsize=8, color="#8a8a8a")
        figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def main(
    *,
    scenes: int = 8,
    size: int = 512,
    budgets: tuple[int, ...] = BUDGETS,
    repeats: int = 5,
    model: str = "compact",
    quick: bool = False,
    threads: int = 0,
    plot: Path | None = None,
    json: Path | None = None,
) -> list[Point]:
    """Measure, and print a table.

    Args:
        scenes: Held-out scenes.
        size: Image side, pixels; a multiple of the model's clip.
        budgets: Most Gaussians of a scene.
        repeats: Times that the reconstruction is timed; rendering three times as often.
        model: Model that reconstructs.
        quick: Two tiny scenes, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch, which the renderer follows; torch's own default for 0.
        plot: Where to draw the table, an SVG or PNG file.
        json: Where to write all results.
    """
    clip = None
    if quick:
        scenes, size, budgets, repeats, clip = 2, 64, (500, 1500, 3000), 1, 32
    if threads:
        torch.set_num_threads(threads)
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}\n", flush=True)
    pipe = Diff4SplatPipeline.from_pretrained(model)
    points: list[Point] = []
    for (seed,) in tqdm(list(seed_batches(scenes, 1)), desc="scenes", unit="scene"):
        points += measure(pipe, seed, size, clip or pipe.height, budgets, repeats)
    print(f"{scenes} scenes, images of {size} x {size}:\n\n{table(points)}\n\n{steps_between(points)}")
    print(SUPPLEMENT)
    if quick:
        print(TINY)
    if plot:
        where = f"{scenes} held-out scenes, images of {size} × {size} pixels; {describe(facts)}"
        draw(points, plot, where.replace("\n", "; "))
    if json:
        write_json(json, {"machine": facts, "points": [asdict(point) for point in points]})
    return points


if __name__ == "__main__":
    tyro.cli(main)
