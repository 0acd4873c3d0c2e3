"""How fast recordings of datasets are read, beside the bare decoding of the same files by the same library.

Run `python benchmarks/readers.py`. Each dataset is written into a temporary folder, one recording of
`--frames` frames. The reader gives the whole recording, checked and in the conventions of this library; bare
decoding opens every file that the reader needs with Pillow, PyAV, h5py, OpenEXR, numpy or torch, and keeps
the numbers as they come. Both take turns; the medians of `--repeats` rounds count, in time of the processor,
which other programs on a shared machine disturb less than time of the clock. Files lie in the memory of the
system then, as they do when a second look is taken. Frames have the noise of a camera: without it they would
be decoded three times as fast as photographs.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from measuring import Result, conclude, describe, machine, report, say

from diff4splat.data import open_dataset

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from data.layouts import LAYOUTS, make_scenes  # noqa: E402
from data.layouts.scene import Scene  # noqa: E402

GOAL = 0.8
NUM_POINTS = 3000
NOISE = 4.0  # standard deviation, of 255
FILES = {  # what a reader decodes; Spring takes the map backwards for the last frame, FW has none
    "colmap": ["**/images/*.png"],
    "dl3dv": ["**/images_8/*.png"],
    "dynamicreplica": ["**/images/*.png", "**/depths/*.png", "**/masks/*.png", "**/*.pth"],
    "matrixcity": ["**/*.png", "**/*.exr"],
    "multicamvideo": ["**/*.mp4"],
    "pointodyssey": ["**/rgbs/*.jpg", "**/depths/*.png", "**/anno.npz"],
    "realestate10k": ["**/*.png"],
    "spring": ["**/frame_*.png", "**/*.dsp5", "**/rigidmap_FW*.png", "**/skymap*.png"],
    "stereo4d": ["**/*.npz", "**/*.mp4"],
    "tartanair": ["**/*.png", "**/*.npy"],
    "tartanair2": ["**/image_*/*.png", "**/depth_*/*.png"],
    "video": ["**/*.mp4"],
    "vkitti2": ["**/rgb/*/*.jpg", "**/depth/*/*.png", "**/instanceSegmentation/*/*.png"],
}


def main(
    datasets: tuple[str, ...] = tuple(FILES),
    frames: int = 12,
    height: int = 540,
    width: int = 960,
    repeats: int = 5,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Measure each dataset.

    Args:
        datasets: Which; all when omitted.
        frames: Frames of a recording.
        height: Rows of a frame; TartanAir has its own size, and TartanAir v2 is square.
        width: Columns.
        repeats: Rounds.
        quick: Tiny pictures, one round: whether it runs.
        json: Where to write the results.

    Returns:
        Rates and their share of the bare rate.
    """
    unknown = [key for key in datasets if key not in FILES]
    if unknown:
        raise SystemExit(f"datasets must be among {', '.join(FILES)}, got {unknown[0]}.")
    if quick:
        frames, height, width, repeats = 3, 34, 46, 1
    facts = machine()
    print(describe(facts))
    say(
        f"{frames} frames of {width} x {height} pixels; frames a second, and the reader's over the bare rate."
    )
    results: list[Result] = []
    for key in datasets:
        with tempfile.TemporaryDirectory() as folder:
            scene = lifelike(make_scenes(key, frames, height, width)[0], 20 if quick else NUM_POINTS)
            written, _ = LAYOUTS[key](Path(folder) / key, scene)
            results += report(measure(key, written, frames, repeats))
    conclude(results, quick=quick, json=json, facts=facts)
    return results


def measure(key: str, folder: Path, frames: int, repeats: int) -> list[Result]:
    """Rates of a reader and of bare decoding, by turns."""
    reader = open_dataset(folder, key)
    files = sorted({file for pattern in FILES[key] for file in folder.glob(pattern)})
    calls: list[Callable[[], Any]] = [
        lambda: reader.read(reader.names[0]),
        lambda: [decode(file) for file in files],
    ]
    for call in calls:
        call()
    rounds = [[processor_seconds(call) for call in calls] for _ in range(repeats)]
    read, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
    return [
        Result(key, "read", frames / read, "Hz"),
        Result(key, "bare", frames / bare, "Hz"),
        Result(key, "share", bare / read, "x", GOAL, at_least=True),
    ]


def processor_seconds(call: Callable[[], Any]) -> float:
    """What all threads of this process need for a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def lifelike(scene: Scene, count: int) -> Scene:
    """A scene with noise and more tracks: those that it has, many times."""
    noise = np.random.default_rng(0).normal(0, NOISE, scene.frames.shape)
    frames = np.clip(scene.frames + noise, 0, 255).astype(np.uint8)
    times = -(-count // scene.points.shape[1])
    points, pixels = (np.tile(values, (1, times, 1))[:, :count] for values in (scene.points, scene.pixels))
    visible = np.tile(scene.visible, (1, times))[:, :count]
    return replace(scene, frames=frames, points=points, pixels=pixels, visible=visible)


def decode(file: Path) -> Any:
    """Everything in a file, by the library that reads such files."""
    if file.suffix in (".png", ".jpg"):
        from PIL import Image

        with Image.open(file) as picture:
            return np.asarray(picture)
    if file.suffix == ".mp4":
        import av

        with av.open(str(file)) as container:
            container.streams.video[0].thread_type = "AUTO"
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if file.suffix == ".exr":
        import OpenEXR

        with OpenEXR.File(str(file), separate_channels=True) as content:
            return np.array(next(iter(content.channels().values())).pixels)
    if file.suffix == ".dsp5":
        import h5py

        with h5py.File(file) as content:
            return content["disparity"][()]
    if file.suffix == ".pth":
        return torch.load(file, weights_only=True)
    if file.suffix == ".npz":
        with np.load(file) as content:
            return dict(content)
    return np.load(file)


if __name__ == "__main__":
    tyro.cli(main)
