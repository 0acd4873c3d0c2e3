"""Saving and loading of scenes against the rate of the disk, and what compact scenes cost in pictures.

Run `python benchmarks/assets.py`, or with `--quick` to see whether it runs. Raw bytes are written to a new
file (flushed to the disk, as a save is) and read by turns with the scene in them; medians count. Reading
comes from the cache of the system. Compact scenes are rendered at their stored times and
halfway between, and held against the exact ones: the worst picture counts.
"""

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from measuring import ROOT, Result, conclude, describe, machine, once, report

from diff4splat import Diff4SplatPipeline
from diff4splat.assets import load_field, save_field
from diff4splat.cameras import Cameras
from diff4splat.data import HELD_OUT_SEEDS
from diff4splat.evaluation import held_out_scenes
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.geometry import matrix_to_quaternion, unproject
from diff4splat.pipelines import render_path, sway_cameras

Scene = tuple[DeformableGaussianField, Cameras]


def generated(photo: Path, trajectory: str, num_frames: int, quick: bool) -> Scene:
    """What `diff4splat generate` makes of a photograph, and a path with a camera per stored time."""
    from diff4splat.cameras import trajectory as trajectories

    pipe = Diff4SplatPipeline.from_pretrained("compact")
    generator = torch.Generator().manual_seed(0)
    options = {"num_steps": 1, "num_gaussians": 500, "detail_size": 64} if quick else {}
    field = pipe(photo, trajectory, num_frames=num_frames, generator=generator, **options)
    side = 32 if quick else 512
    return field, trajectories.by_name(trajectory, field.num_times, height=side, width=side)


def known(seed: int, num_frames: int, side: int) -> Scene:
    """The true field of a procedural scene: a Gaussian per pixel, moved with its object."""
    clip = held_out_scenes([seed], num_frames=num_frames, height=side, width=side, num_novel=1, supersample=1)
    cameras = clip.cameras.batch(0)
    depth = clip.frames.depth[0, 0]
    lens, pose = cameras.intrinsics[0], cameras.camera_to_world[0]
    points = unproject(depth, pose, lens).flatten(0, 1)
    size = (0.5 * depth.flatten() / lens[0, 0])[:, None] * torch.tensor([1.0, 1.0, 0.3])
    canonical = Gaussians(
        points,
        matrix_to_quaternion(pose[:3, :3]).expand(side * side, 4),
        size,
        torch.full((side * side,), 0.95),
        rgb_to_harmonics(clip.frames.color[0, 0].flatten(1).T)[:, None],
    )
    owner = clip.frames.object_index[0, 0].flatten()[None]
    moved = clip.scenes.trajectories(points[None], owner, clip.times[:1], clip.times[None])[0]
    poses = clip.scenes.poses(clip.times[None])[0, :, :, :3, :3]
    turned = pose[:3, :3].T @ (poses @ poses[:1].mT)[:, owner[0]] @ pose[:3, :3]
    quaternions = matrix_to_quaternion(turned)
    changes = torch.zeros_like(moved)
    return DeformableGaussianField(canonical, clip.times, moved - points, quaternions, changes), cameras


def worst_psnr(exact: DeformableGaussianField, small: DeformableGaussianField, path: Cameras) -> list[float]:
    """PSNR of the worst picture, dB: at the stored times and halfway between, along a path and beside it."""
    middle = (exact.times[1:] + exact.times[:-1]) / 2
    beside = sway_cameras(path, focus_depth=float(exact.canonical.means[:, 2].median()))
    values = []
    for cameras, times in ((path, exact.times), (beside.select(slice(0, len(middle))), middle)):
        films = [render_path(field, cameras, times).color for field in (exact, small)]
        values.append(float(-10 * (films[0] - films[1]).square().mean(dim=(1, 2, 3)).max().log10()))
    return values


def write_raw(path: Path, data: bytes) -> None:
    """The least that a safe save takes: write, and push to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def medians(steps: dict[str, Callable[[], object]], repeats: int, made: list[Path]) -> dict[str, float]:
    """Median wall time of each step, seconds; they take turns, and each round starts without the files."""
    rounds = []
    for _ in range(repeats):
        for path in made:  # freeing the blocks of an old file can take longer than writing a new one
            path.unlink(missing_ok=True)
        rounds.append([once(step) for step in steps.values()])
    return dict(zip(steps, map(statistics.median, zip(*rounds, strict=True)), strict=True))


def speeds(field: DeformableGaussianField, folder: Path, repeats: int) -> list[Result]:
    """Rates of save and load, and of the same bytes without us."""
    exact, small, raw = folder / "exact.safetensors", folder / "small.safetensors", folder / "raw"
    save_field(field, exact)
    data = exact.read_bytes()
    steps: dict[str, Callable[[], object]] = {
        "raw write": lambda: write_raw(raw, data),
        "save": lambda: save_field(field, exact),
        "raw read": lambda: raw.read_bytes(),
        "load": lambda: load_field(exact),
        "checks of values": field.validate,
        "compact save": lambda: save_field(field, small, compact=True),
        "compact load": lambda: load_field(small),
    }
    times = medians(steps, repeats, [raw, exact, small])
    rates = {name: len(data) / 1e9 / times[name] for name in list(times)[:4]}
    results = [Result("speed", "exact scene", len(data) / 1e6, "MB")]
    for own, disk in (("save", "raw write"), ("load", "raw read")):
        goal = min(1.0, 0.8 * rates[disk])  # 1 GB/s, or 80 % of a slower disk
        results.append(Result("speed", disk, rates[disk], "GB/s"))
        results.append(Result("speed", own, rates[own], "GB/s", goal, at_least=True))
    return results + [Result("speed", name, 1000 * times[name], "ms") for name in list(times)[4:]]


def cost(name: str, scene: Scene, folder: Path, tolerance: float) -> list[Result]:
    """Size and error of the compact form of a scene."""
    field, path = scene
    exact, small = folder / "exact.safetensors", folder / "small.safetensors"
    save_field(field, exact)
    save_field(field, small, compact=True, tolerance=tolerance)
    stored, between = worst_psnr(load_field(exact), load_field(small), path)
    sizes = [file.stat().st_size for file in (small, exact)]
    return [
        Result(name, "exact", sizes[1] / 1e6, "MB"),
        Result(name, "compact", sizes[0] / 1e6, "MB"),
        Result(name, "compact over exact", sizes[0] / sizes[1], "x", 0.2),
        Result(name, "worst PSNR, stored times", stored, "dB", 40, at_least=True),
        Result(name, "worst PSNR, between, beside the path", between, "dB", 40, at_least=True),
    ]


@torch.no_grad()
def main(
    repeats: int = 15,
    tolerance: float = 0.12,
    folder: Path | None = None,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Print rates, sizes and errors.

    Args:
        repeats: Saves and loads per rate.
        tolerance: Of the compact scenes.
        folder: Where files are written; the folder of the system for temporary files when omitted.
        quick: Tiny scenes, to see that it runs.
        json: File for the results.
    """
    facts = machine()
    print(describe(facts))
    photos = ROOT / "examples" / "photos"
    side, frames = (16, (5, 9)) if quick else (256, (9, 25))
    scenes = {
        f"photograph, {frames[0]} times": generated(photos / "astronaut.jpg", "spiral", frames[0], quick),
        f"photograph, {frames[1]} times": generated(photos / "coffee.jpg", "orbit", frames[1], quick),
        f"procedural, {frames[1]} times": known(HELD_OUT_SEEDS[4], frames[1], side),
    }
    with tempfile.TemporaryDirectory(dir=folder) as place:
        first = next(iter(scenes.values()))[0]
        results = report(speeds(first, Path(place), 1 if quick else repeats))
        for name, scene in scenes.items():
            results += report(cost(name, scene, Path(place), tolerance))
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
