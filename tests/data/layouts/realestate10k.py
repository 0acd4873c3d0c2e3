"""RealEstate10K with frames beside the camera paths: any size and lens; neither depth nor tracks.

A recording per scene. Times begin at 0.4 s: as text, 1000000 stands before 400000.
"""

from collections.abc import Iterable
from pathlib import Path

from data.layouts.files import Written, write_png
from data.layouts.scene import Scene

IDS = ("0bf152ef84195293", "ffea52ef84195293")
URL = "https://www.youtube.com/watch?v=-pWPZxTDoE_"


def write(root: Path, *scenes: Scene, without: Iterable[int] = ()) -> Written:
    """Frames of the numbers in `without` have no picture."""
    found = {}
    for key, scene in zip(IDS, scenes, strict=False):
        write_poses(root / "train" / f"{key}.txt", scene)
        for frame, time in enumerate(times(scene)):
            if frame not in without:
                write_png(root / "train" / key / f"{time}.png", scene.frames[frame])
        found[f"train/{key}"] = scene
    return Written(root, found)


def times(scene: Scene) -> list[int]:
    """Microseconds."""
    return [400_000 + round(1e6 / scene.fps * frame) for frame in range(scene.num_frames)]


def write_poses(file: Path, scene: Scene, order: Iterable[int] | None = None, url: str = URL) -> Path:
    """An address and a line per frame, in any order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [url]
    lens = scene.intrinsics
    stated = [lens[0, 0] / scene.width, lens[1, 1] / scene.height]
    stated += [lens[0, 2] / scene.width, lens[1, 2] / scene.height, 0, 0]
    for frame in range(scene.num_frames) if order is None else order:
        numbers = [*stated, *scene.world_to_camera[frame, :3].ravel()]
        lines.append(f"{times(scene)[frame]} " + " ".join(f"{number:.9f}" for number in numbers))
    file.write_bytes(("\n".join(lines) + "\n").encode())
    return file
