"""How the cost of rendering grows with Gaussians and with pixels: a fit, and a picture of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any

from measuring import Result, fastest, say
from rendering_scenes import cameras, passes, scene, tensors

from diff4splat.rendering import render

LARGEST_EXPONENT = 1.05
GAUSSIANS, PIXELS = "over Gaussians", "over pixels"
PASSES = {"forward": "#1f6f9f", "forward+backward": "#b5482a"}
_GREY = "#8a8a8a"


@dataclass(frozen=True)
class Growth:
    """Cost over Gaussians and over pixels, and the exponents that fit it."""

    counts: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    """Gaussians, at `side`."""
    side: int = 256
    """Image side while the number of Gaussians changes, pixels."""
    sides: tuple[int, ...] = (128, 192, 256, 384, 512, 768, 1024)
    """Image sides, with `count` Gaussians."""
    count: int = 50_000
    """Gaussians while the image side changes."""
    repeats: int = 10
    """Calls per point, in turn over all points of a curve."""

    def run(self) -> list[Result]:
        """Measure and print."""
        say(
            "Scene c is one depth map with a Gaussian per pixel of it, 0.5 to 0.75 of that pixel in standard "
            "deviation. So more Gaussians are smaller, and no more of them lie over each other, until the "
            "0.3 px² by which every footprint is widened are felt, beyond some 100,000 Gaussians. Fastest of "
            f"{self.repeats} calls; exponent: least-squares slope of log time on log size."
        )
        print(f"\n  {GAUSSIANS}, images of {self.side} x {self.side} pixels")
        results = self.curves(GAUSSIANS, [(count, self.side) for count in self.counts])
        print(f"\n  {PIXELS}, {self.count:,} Gaussians")
        return results + self.curves(PIXELS, [(self.count, side) for side in self.sides])

    def curves(self, axis: str, points: Sequence[tuple[int, int]]) -> list[Result]:
        """Time over pairs of a count and a side, and exponents."""
        scenes = [(scene("c", count), cameras(side)) for count, side in points]
        sizes = [
            gaussians.num_gaussians if axis == GAUSSIANS else view.height * view.width
            for gaussians, view in scenes
        ]
        calls = [
            passes(
                lambda pair=pair: render(*pair, backend="cpu"), (*tensors(pair[0]), pair[1].camera_to_world)
            )
            for pair in scenes
        ]
        names = [f"{size:,}" for size in sizes] + ["exponent", "of the last two"]
        columns = []
        for what in PASSES:
            point_calls = [call[what] for call in calls]
            fastest(point_calls, 1)
            times = fastest(point_calls, self.repeats)
            logs = [math.log(size) for size in sizes], [math.log(time) for time in times]
            last = (logs[1][-1] - logs[1][-2]) / (logs[0][-1] - logs[0][-2])
            slope, name = linear_regression(*logs).slope, f"{what} {axis}"
            columns.append(
                [
                    *(
                        Result("growth", name, 1000 * t, "ms", size=n)
                        for n, t in zip(sizes, times, strict=True)
                    ),
                    Result("growth", f"{name}, exponent", slope, "", LARGEST_EXPONENT),
                    Result("growth", f"{name}, exponent of the last two", last, ""),
                ]
            )
        print(f"  {'':>15}{'forward ms':>12}{'forward+backward ms':>30}")
        for label, *cells in zip(names, *columns, strict=True):
            forward, both = (f"{cell.value:.2f}" for cell in cells)
            print(
                f"  {label:>15}{forward:>12} {cells[0].verdict():<14}{both:>15} {cells[1].verdict()}".rstrip()
            )
        return [result for column in columns for result in column]

    def draw(self, results: Sequence[Result], path: Path, caption: str) -> None:
        """A panel over Gaussians and one over pixels, on logarithmic axes, beside linear growth."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        labels = {
            GAUSSIANS: f"Gaussians, image of {self.side} × {self.side} pixels",
            PIXELS: f"pixels of the image, {self.count:,} Gaussians",
        }
        style = {"svg.hashsalt": "diff4splat", "axes.spines.top": False, "axes.spines.right": False}
        with matplotlib.rc_context(style):
            figure, panels = pyplot.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
            for panel, (axis, label) in zip(panels, labels.items(), strict=True):
                _draw_panel(panel, [result for result in results if axis in result.name])
                panel.set_xlabel(label)
            panels[0].set_ylabel("milliseconds per image")
            panels[0].yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
            panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            figure.supxlabel(caption, fontsize=8, color=_GREY)
            figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
            pyplot.close(figure)


def _draw_panel(panel: Any, results: Sequence[Result]) -> None:
    # beside the middle of a rising curve there is room to the left above it and to the right below it
    places = {"forward": (6, -6, "left", "top"), "forward+backward": (-2, 8, "right", "bottom")}
    for what, color in PASSES.items():
        points = [(r.size, r.value) for r in results if r.size is not None and r.name.startswith(f"{what} ")]
        slope = next(r.value for r in results if r.goal and r.name.startswith(f"{what} "))
        panel.plot(*zip(*points, strict=True), color=color, marker="o", markersize=4.5, linewidth=1.8)
        x, y, side, edge = places[what]
        text, middle = f"{what}\nexponent {slope:.2f}", points[len(points) // 2]
        panel.annotate(text, middle, (x, y), textcoords="offset points", ha=side, va=edge, color=color)
        if what == "forward":
            (start, _), (end, last) = points[-2:]
            low = 0.06 * last * start / end
            panel.plot([start, end], [low, low * end / start], color=_GREY, linestyle=":")
            panel.annotate("linear ", (start, low), color=_GREY, ha="right", va="center")
    pixels = PIXELS in results[0].name
    panel.set(xscale="log", yscale="log")
    ticks = sorted({r.size for r in results if r.size is not None})
    panel.set_xticks(ticks, [f"{math.isqrt(n)}²" if pixels else _short(n) for n in ticks])
    panel.minorticks_off()
    panel.grid(color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)


def _short(count: int) -> str:
    """10,000 as 10k."""
    return (
        f"{count / 1e6:.0f}M" if count >= 999_500 else f"{count / 1e3:.0f}k" if count >= 1000 else str(count)
    )
