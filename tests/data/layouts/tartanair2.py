"""TartanAir v2: square pictures that show 90 degrees, so the lens is half a side; depth as bytes of a PNG.

The first scene is the left camera, the second the right one.
"""

from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene
from data.layouts.tartanair import ned_rows

PLACE = "a house/Data_easy/P000"
CAMERAS = ("lcam_front", "rcam_front")


def write(root: Path, *scenes: Scene) -> Written:
    place = root / PLACE
    for camera, scene in zip(CAMERAS, scenes, strict=False):
        for frame in range(scene.num_frames):
            depth = np.where(scene.depth[frame] > 0, scene.depth[frame], [65504.0, 12_345.0][frame % 2])
            write_png(place / f"image_{camera}" / f"{frame:06d}_{camera}.png", scene.frames[frame])
            write_depth(place / f"depth_{camera}" / f"{frame:06d}_{camera}_depth.png", depth)
        np.savetxt(place / f"pose_{camera}.txt", ned_rows(scene))
    (place / "seg_lcam_front").mkdir()
    (place / "pose_lcam_back.txt").write_text("0 0 0 0 0 0 1\n")  # its images were not downloaded
    return Written(root, dict(zip([f"{PLACE}/{camera}" for camera in CAMERAS], scenes, strict=False)))


def write_depth(file: Path, depth: np.ndarray) -> None:
    """The four bytes of a float32, low to high, as blue, green, red, alpha."""
    blue, green, red, alpha = np.moveaxis(depth.astype("<f4").view(np.uint8).reshape(*depth.shape, 4), -1, 0)
    write_png(file, np.stack((red, green, blue, alpha), -1))
