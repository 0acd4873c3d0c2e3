"""Spring: any size and lens. The first scene is the left camera, the second one 0.065 m to its right."""

from pathlib import Path

import h5py
import numpy as np
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene

PLACE = "spring/train/0001"
BASELINE = 0.065


def write(root: Path, *scenes: Scene) -> Written:
    """A sequence of the training split with all maps; frames count from 1."""
    place = root / PLACE
    left = scenes[0]
    for side, scene in zip(("left", "right"), scenes, strict=False):
        for frame in range(scene.num_frames):
            number = f"{frame + 1:04d}"
            write_png(place / f"frame_{side}" / f"frame_{side}_{number}.png", scene.frames[frame])
            with np.errstate(divide="ignore"):
                depth = scene.depth[frame]
                disparity = np.where(depth > 0, scene.intrinsics[0, 0] * BASELINE / depth, np.inf)
            write_disparity(
                place / f"disp1_{side}" / f"disp1_{side}_{number}.dsp5",
                doubled(disparity.astype(np.float32), 99.0),
            )
            moves = doubled(scene.moving[frame].astype(np.uint8) * 255, 255)
            ends = {"FW": scene.num_frames - 1, "BW": 0}
            for kind in (f"rigidmap_{way}_{side}" for way, end in ends.items() if frame != end):
                write_png(place / "maps" / kind / f"{kind}_{number}.png", moves)
            sky = doubled((scene.depth[frame] == 0).astype(np.uint8) * 255, 255)
            write_png(place / "maps" / f"skymap_{side}" / f"skymap_{side}_{number}.png", sky)
    tables = place / "cam_data"
    tables.mkdir()
    lens = [left.intrinsics[row, column] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2))]
    np.savetxt(tables / "intrinsics.txt", [lens] * left.num_frames)
    np.savetxt(tables / "extrinsics.txt", left.world_to_camera.reshape(left.num_frames, 16))
    np.savetxt(tables / "focaldistance.txt", [5.0] * left.num_frames)
    return Written(root, dict(zip([f"{PLACE}/{side}" for side in ("left", "right")], scenes, strict=False)))


def doubled(values: np.ndarray, other: float) -> np.ndarray:
    """A map of twice the size, whose values are those of the frame at even places and `other` between."""
    big = np.full((2 * values.shape[0], 2 * values.shape[1]), other, values.dtype)
    big[::2, ::2] = values
    return big


def write_disparity(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as data:
        data.create_dataset("disparity", data=values, compression="gzip", compression_opts=5)
