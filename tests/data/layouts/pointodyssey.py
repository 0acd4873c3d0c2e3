"""PointOdyssey v1.2: any size and lens; poses, lenses and tracks in float16. A recording per scene."""

from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_jpg, write_png
from data.layouts.scene import Scene

NAME = "train/a dance"


def write(root: Path, *scenes: Scene) -> Written:
    names = [NAME if index == 0 else f"{NAME} {index + 1}" for index in range(len(scenes))]
    for name, scene in zip(names, scenes, strict=True):
        place = root / name
        for frame in range(scene.num_frames):
            write_jpg(place / "rgbs" / f"rgb_{frame:05d}.jpg", scene.frames[frame])
            stored = np.where(scene.depth[frame] > 0, scene.depth[frame] * 65535 / 1000, 65535)
            write_png(place / "depths" / f"depth_{frame:05d}.png", stored.astype(np.uint16))  # rounded down
            write_png(place / "masks" / f"mask_{frame:05d}.png", np.zeros_like(scene.frames[frame]))
        write_annotation(place, annotation(scene))
    return Written(root, dict(zip(names, scenes, strict=True)))


def annotation(scene: Scene) -> dict[str, np.ndarray]:
    """Arrays in float16, as the authors' program leaves them."""
    arrays = {
        "trajs_2d": scene.pixels,
        "trajs_3d": scene.points,
        "visibs": scene.visible,
        "valids": np.ones_like(scene.visible),
        "intrinsics": np.tile(scene.intrinsics, (scene.num_frames, 1, 1)),
        "extrinsics": scene.world_to_camera,
    }
    return {key: value.astype(np.float16) for key, value in arrays.items()}


def write_annotation(place: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(place / "anno.npz", **arrays)
    np.savez(place / "info.npz", **{key: np.array(value.shape) for key, value in arrays.items()})
