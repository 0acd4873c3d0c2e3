"""Pictures of the pages about datasets: `python docs/datasets/make_pictures.py`.

docs/images/datasets/<key>.jpg is what a reader gives. A procedural scene is written in the layout of each
dataset by the writers of the tests, which know nothing of the readers, read back by the reader, and drawn.
`--path FILE.txt` adds a real camera path to RealEstate10K. `--check FOLDER` keeps what was written there, and
prints what `diff4splat data check` says of it.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.cameras.files import load_cameras
from diff4splat.data import Recording, open_dataset, sample_cameras, sample_scenes, track_visibility
from diff4splat.data.checking import check_dataset
from diff4splat.geometry import project, unproject
from diff4splat.pictures import depth_picture, path_picture, save_picture, stack_pictures
from diff4splat.pictures.lines import draw_line
from diff4splat.pictures.trails import time_bar, time_to_color
from diff4splat.pictures.words import draw_words, fit_words, line_height

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images" / "datasets"
FRAMES, GAP, TEXT = 17, 10, 13
LARGEST = 60_000  # bytes of a picture
SKY = 25.0  # metres; further away a procedural scene has nothing but the dome of its sky
# seed, height and width of the scene, whether nothing in it moves by itself
SCENES: dict[str, tuple[int, int, int, bool]] = {
    "tartanair": (11, 480, 640, True),
    "tartanair2": (14, 320, 320, True),
    "pointodyssey": (24, 216, 384, False),
    "dynamicreplica": (15, 216, 384, False),
    "spring": (36, 216, 384, False),
    "vkitti2": (25, 125, 414, False),
    "realestate10k": (17, 216, 384, True),
    "dl3dv": (14, 216, 384, True),
    "matrixcity": (31, 216, 384, True),
    "multicamvideo": (43, 320, 320, False),
    "stereo4d": (7, 320, 320, False),
    "colmap": (28, 240, 320, True),
    "video": (47, 240, 320, False),
}


def draw(key: str, folder: Path, path: Path | None = None) -> Tensor:
    """Write a scene in the layout of a dataset, read it back and draw what the reader gives."""
    sys.path.insert(0, str(ROOT / "tests"))
    from data.layouts import LAYOUTS, lens
    from data.layouts.scene import Scene

    seed, height, width, static = SCENES[key]
    optics = lens(key, height, width)
    if key == "multicamvideo":
        optics[[0, 1], [0, 1]] = 24 / 23.76 * width  # a lens of 24 mm
    count = 3 if key == "multicamvideo" else 1
    scenes = [Scene(**make_scene(seed, turn, height, width, optics, static)) for turn in range(count)]
    LAYOUTS[key](folder, *scenes)
    reader = open_dataset(folder)
    recordings = [reader.read(name) for name in reader.names[:count]]
    shape = width / height
    side = 236 if shape < 1.2 else 312 if shape < 2.5 else 476
    drawn = [
        panels(recording, side, f"{recording.name.rsplit('/', 1)[-1]}, " * (count > 1))
        for recording in recordings
    ]
    cells = drawn[0] if count == 1 else [each[place] for place in (1, -1) for each in drawn]
    if path is not None:
        cameras = load_cameras(path, height=180, width=320)
        cells.append(titled("a path of the dataset, its unit unknown", from_above(cameras, side, 0.5625)))
    columns = 2 if side > 400 or len(cells) == 4 and side > 300 else 4 if len(cells) == 4 else 3
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return stack_pictures([stack_pictures(row, across=True, gap=GAP) for row in rows], gap=GAP)


def make_scene(
    seed: int, turn: int, height: int, width: int, lens: np.ndarray, static: bool
) -> dict[str, Any]:
    """What a camera sees of a procedural scene, as the writers of the tests want it; a unit is a metre."""
    scenes = sample_scenes([seed], num_objects=(3, 5), static=static)
    lenses = torch.from_numpy(lens).float().expand(1, FRAMES, 3, 3)
    cameras = Cameras(wide_paths(seed)[turn].camera_to_world, lenses, height, width)
    times = torch.linspace(0, 1, FRAMES)[None]
    seen = scenes.render(cameras, times, supersample=2)
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(height * width, generator=generator) + 2 * (seen.object_index[0, 0] > 0).flatten()
    points = unproject(seen.depth, cameras.camera_to_world, lenses)
    sky = points[0].norm(dim=-1) > max(SKY, 0.97 * points.norm(dim=-1).max().item())
    rank = torch.where(sky[0].flatten(), -1, rank)
    still = torch.where(rank < 1, rank, -1)
    chosen = torch.cat([rank.topk(90).indices, still.topk(60).indices])
    objects = seen.object_index[:, 0].flatten(1)[:, chosen]
    tracks = scenes.trajectories(points[:, 0].flatten(1, 2)[:, chosen], objects, times[:, 0], times)
    pixels, _ = project(tracks, cameras.camera_to_world, lenses)
    return {
        "frames": (255 * seen.color[0]).round().byte().movedim(1, -1).numpy(),
        "camera_to_world": cameras.camera_to_world[0].double().numpy(),
        "intrinsics": lens,
        "depth": torch.where(sky, 0, seen.depth[0]).double().numpy(),
        "moving": (seen.object_index[0] > 0).numpy(),
        "points": tracks[0].double().numpy(),
        "pixels": pixels[0].double().numpy(),
        "visible": track_visibility(tracks, cameras, seen)[0].numpy(),
    }


def wide_paths(seed: int) -> list[Cameras]:
    """Camera paths that go to the side and ahead, so that something is seen of them from above."""
    paths = sample_cameras(
        range(100 * seed, 100 * seed + 40), FRAMES, height=3, width=5, static_probability=0.0
    )
    places = paths.camera_to_world[..., :3, 3]
    wide = (places.amax(1) - places.amin(1))[:, [0, 2]].amin(-1).argsort(descending=True)
    return [paths.batch(slice(int(index), int(index) + 1)) for index in wide]


def panels(recording: Recording, side: int, prefix: str = "") -> list[Tensor]:
    """Pictures of what a recording holds, titled, of one width."""
    shown = recording.resize(max(16, round(side * recording.height / recording.width)), side)
    first, last = shown.video[0] / 255, shown.video[-1] / 255
    numbers = recording.numbers
    cells = [titled(f"{prefix}frame {numbers[place]}", frame) for place, frame in ((0, first), (-1, last))]
    if shown.depth is not None:
        depth = depth_picture(shown.depth[0], mask=shown.depth_mask[0], unit="m", text_size=TEXT)
        cells.append(titled(f"z-depth, frame {numbers[0]}", depth))
    if shown.dynamic_mask is not None:
        marked = torch.where(shown.dynamic_mask[0], torch.tensor([1.0, 0.35, 0.1])[:, None, None], first)
        cells.append(titled("what moves by itself", 0.35 * first + 0.65 * (0.8 * marked + 0.2 * first)))
    if shown.tracks is not None and shown.cameras is not None:
        cells.append(titled(f"tracks, on frame {numbers[-1]}", with_tracks(shown)))
    if shown.cameras is not None:
        unit = "metres" if shown.unit == "metre" else "an unknown unit"
        drawing = from_above(shown.cameras, side, min(shown.height / shown.width, 1))
        cells.append(titled(f"{prefix or 'cameras, '}in {unit}", drawing))
    return cells


def with_tracks(recording: Recording) -> Tensor:
    """The last frame, paler, and the ways of the points that it shows, as they were seen on the way."""
    poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
    pixels, _ = project(recording.tracks.transpose(0, 1), poses, lenses)
    ways = torch.where(recording.visible[..., None], pixels.transpose(0, 1), torch.nan)
    picture = 0.45 + 0.55 * recording.video[-1] / 255
    colors = time_to_color(torch.linspace(0, 1, recording.num_frames))
    for way in ways[recording.visible[:, -1]]:
        draw_line(picture, way, color=colors, width=1.3)
        draw_line(picture, way[-1:], color=colors[-1:], width=4, outline=0.7)
    return stack_pictures([picture, time_bar(recording.width, text_size=TEXT)])


def from_above(cameras: Cameras, side: int, shape: float) -> Tensor:
    """A camera path, and the scale of its time."""
    height = max(round(side * shape), 150)
    return path_picture(cameras, height=height, width=side, view="from above", text_size=TEXT)


def titled(words: str, picture: Tensor) -> Tensor:
    """A picture below a line of words."""
    strip = torch.ones(3, line_height(TEXT) + 6, picture.shape[2])
    draw_words(strip, fit_words(words, TEXT, picture.shape[2]), left=2, top=3, size=TEXT)
    return stack_pictures([strip, picture])


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all datasets, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("keys", nargs="*", metavar="KEY", help="which datasets; all when omitted")
    parser.add_argument("--path", type=Path, help="camera path of RealEstate10K, a text file")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="keep what is written, and check it")
    chosen = parser.parse_args(arguments)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for key in chosen.keys or SCENES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (chosen.check or Path(scratch)) / key
            path = chosen.path if key == "realestate10k" else None
            picture = draw(key, folder, path)
            file = IMAGES / f"{key}.jpg"
            for quality in (86, 80, 74, 68, 60, 50):
                save_picture(picture.clamp(0, 1), file, quality=quality)
                if file.stat().st_size < LARGEST:
                    break
            if chosen.check is not None:
                print(check_dataset(open_dataset(folder)).to_text())


if __name__ == "__main__":
    main()
