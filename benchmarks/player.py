"""The HTML player in a real browser without a graphics card: size, export, load, frames per second, fidelity.

    python benchmarks/player.py                          100,000 Gaussians, a minute or two
    python benchmarks/player.py --scenes moving --runs 3 one scene
    python benchmarks/player.py --screenshot docs/images/player.png
    python benchmarks/player.py --quick                  does it run?

Scenes: "generated" is what `diff4splat generate` makes of a photograph; in "moving" every Gaussian goes its
own smooth way, turns and stretches; in "jumping" it does so at random at each stored time, the worst there
is; "harmonics" is "moving" with colours of degree 3. Chromium draws in software (SwiftShader). Times are
medians: export of a page from a field in memory, beside the mean time of the processor, which a busy machine
does not lengthen; from opening the file to the first finished picture; of sorting. Pictures are counted while
the scene plays in a window of 960 x 640, and the fidelity is the worst of three times, one of them between
stored ones, at two cameras, against `render` on the CPU.
"""

import json as json_files
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from measuring import Result, conclude, describe, machine, once, report, say
from PIL import Image

from diff4splat.assets import load_field, load_field_cameras
from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.rendering import render
from diff4splat.viewer import save_player

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from viewer.browser import Browser, Page, find_chromium  # noqa: E402

PHOTO = ROOT / "examples/photos/coffee.jpg"
SECONDS = 6.0  # of playing
COUNT_PICTURES = """
    window.pictures = 0;
    const fence = WebGL2RenderingContext.prototype.fenceSync;
    WebGL2RenderingContext.prototype.fenceSync = function (...values) {
        window.pictures += 1;
        return fence.apply(this, values);
    };"""

Scene = Literal["generated", "moving", "jumping", "harmonics"]


def independent_motion(
    count: int, *, num_times: int = 25, degree: int = 0, jumps: bool = False
) -> DeformableGaussianField:
    """A cloud in which every Gaussian moves, turns and stretches by itself, smoothly or at random."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    canonical = Gaussians(
        torch.stack([4 * uniform(count) - 2, 2.4 * uniform(count) - 1.2, 2 + 4 * uniform(count)], -1),
        F.normalize(normal(count, 4), dim=-1),
        torch.exp(-4.2 + 0.4 * normal(count, 3)) * math.sqrt(100_000 / count),
        0.2 + 0.8 * uniform(count),
        normal(count, (degree + 1) ** 2, 3) * torch.tensor([0.8] + [0.2] * ((degree + 1) ** 2 - 1))[:, None],
    )
    times = torch.linspace(0, 1, num_times)
    strength = torch.tensor([0.3] * 3 + [0.3] * 4 + [0.2] * 3)
    if jumps:
        change = strength * normal(num_times, count, 10)
    else:
        phases = 2 * math.pi * (uniform(count, 10) + (1 + 2 * uniform(count, 10)) * times[:, None, None])
        change = strength * phases.sin()
    turns = F.normalize(change[..., 3:7] + torch.tensor([1.0, 0.0, 0.0, 0.0]), dim=-1)
    return DeformableGaussianField(canonical, times, change[..., :3], turns, change[..., 7:])


def generated(count: int) -> tuple[DeformableGaussianField, Cameras | None]:
    """What the pipeline makes of a photograph."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "diff4splat", "--quiet", "generate", str(PHOTO), "--output", folder]
        subprocess.run([*command, "--gaussians", str(count)], check=True, capture_output=True)
        path = Path(folder) / "scene.safetensors"
        return load_field(path), load_field_cameras(path)


def make(scene: Scene, count: int) -> tuple[DeformableGaussianField, Cameras]:
    """A scene and the path of its player."""
    field, cameras = (
        generated(count)
        if scene == "generated"
        else (independent_motion(count, degree=3 * (scene == "harmonics"), jumps=scene == "jumping"), None)
    )
    return field, cameras or trajectory.orbit(25, height=288, width=512)


def fidelity(page: Page, field: DeformableGaussianField, cameras: Cameras) -> float:
    """Worst PSNR, dB, of the page's canvas against `render`."""
    between = float(field.times[field.num_times // 2 : field.num_times // 2 + 2].mean())
    worst = math.inf
    for frame in (0, cameras.num_frames // 2):
        lens = cameras.intrinsics[frame][[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        numbers = [cameras.camera_to_world[frame].tolist(), *lens, cameras.width, cameras.height]
        for moment in (0.0, between, 1.0):
            page.evaluate(f"diff4splat.setTime({moment})")
            page.evaluate(f"diff4splat.setCamera({json_files.dumps(numbers)[1:-1]})")
            color = render(field.at(moment), cameras.select(frame), backend="cpu").color[0]
            expected = color.clamp(0, 1).permute(1, 2, 0).double().numpy()
            worst = min(worst, float(-10 * np.log10(np.mean((page.canvas() - expected) ** 2))))
    return worst


def take(page: Page, path: Path) -> None:
    """A picture of the whole page in the middle of the clip, small enough for a manual."""
    page.evaluate("diff4splat.setQuality(1)")
    page.evaluate("diff4splat.setTime(0.5)")
    picture = Image.fromarray((page.screenshot() * 255).round().astype(np.uint8))
    picture = picture.resize((720, 480), Image.Resampling.LANCZOS)
    picture.quantize(192, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def measure(
    scene: Scene, browser: Browser, count: int, runs: int, seconds: float, screenshot: Path | None
) -> list[Result]:
    """All numbers of one scene."""
    field, cameras = make(scene, count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "player.html"
        begun = time.process_time()
        exports = [once(lambda: save_player(field, path, cameras=cameras, title=scene)) for _ in range(runs)]
        processor = (time.process_time() - begun) / runs
        size = path.stat().st_size / 1e6
        loads = []
        for run in range(runs):
            page = browser.open(path, width=960, height=640, before=COUNT_PICTURES)
            page.evaluate("diff4splat.ready")
            loads.append(page.evaluate("performance.getEntriesByName('first picture')[0].startTime") / 1000)
            if run < runs - 1:
                page.close()
        rates = {}
        for quality in ("1", ""):
            page.evaluate(f"diff4splat.setQuality({quality})")
            page.evaluate("diff4splat.play()")
            time.sleep(seconds)  # the page adapts to the machine meanwhile
            before, start = page.evaluate("pictures"), time.perf_counter()
            time.sleep(seconds)
            rates[quality] = (page.evaluate("pictures") - before) / (time.perf_counter() - start)
        sorts = [
            page.evaluate(f"diff4splat.setTime({part / 10}).then(() => diff4splat.timings())")["sort"]
            for part in range(10)
        ]
        canvas = page.canvas().shape
        if screenshot:
            take(page, screenshot)
        worst = fidelity(page, field, cameras)
        page.close()
    say(f"{scene}: {field.num_gaussians:,} Gaussians, {field.num_times} stored times")
    return report(
        [
            Result(scene, "file", size, "MB", 25.0),
            Result(scene, "export", statistics.median(exports), "s", 2.0),
            Result(scene, "export, processor time", processor, "s"),
            Result(scene, "load, to the first picture", statistics.median(loads), "s", 3.0),
            Result(scene, "load, fastest", min(loads), "s"),
            Result(scene, "playing at 960 x 640 and full quality", rates["1"], "Hz"),
            Result(scene, f"playing, adapted to {canvas[1]} x {canvas[0]}", rates[""], "Hz"),
            Result(scene, "sort", 1000 * statistics.median(sorts), "ms"),
            Result(scene, "worst picture against render()", worst, "dB", 30.0, at_least=True),
        ]
    )


def main(
    scenes: tuple[Scene, ...] = ("generated", "moving", "jumping", "harmonics"),
    count: int = 100_000,
    runs: int = 5,
    quick: bool = False,
    json: Path | None = None,
    screenshot: Path | None = None,
) -> None:
    """Print sizes and times beside their goals.

    Args:
        scenes: Which scenes.
        count: Gaussians.
        runs: Exports and loads, of which the median counts.
        quick: Tiny sizes, to see whether it runs.
        json: File to write the results to.
        screenshot: PNG to write, of the page with the first scene.
    """
    binary = find_chromium()
    if binary is None:
        raise SystemExit("No chromium, chromium-browser or google-chrome in PATH.")
    facts = machine()
    print(describe(facts) + "\n")
    browser, results = Browser(binary), []
    try:
        for scene in ("moving",) if quick else scenes:
            sizes = (500, 1, 1.0) if quick else (count, runs, SECONDS)
            results += measure(scene, browser, *sizes, None if results else screenshot)
    finally:
        browser.close()
    conclude(results, quick=quick, json=json, facts=facts)


if __name__ == "__main__":
    tyro.cli(main)
