"""TartanAir v1: 640 x 480 pixels and a lens of 320 pixels, no others; the sky is a very large depth.

The first scene is the left camera, the second the right one.
"""

from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene
from scipy.spatial.transform import Rotation

PLACE = "a room/Easy/P000"
SKY = 20_000.0
# columns: where the axes x right, y down, z forward of OpenCV lie among forward, right, down
AXES = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


def write(root: Path, *scenes: Scene) -> Written:
    place = root / PLACE
    for side, scene in zip(("left", "right"), scenes, strict=False):
        for frame in range(scene.num_frames):
            write_png(place / f"image_{side}" / f"{frame:06d}_{side}.png", scene.frames[frame])
            depth = np.where(scene.depth[frame] > 0, scene.depth[frame], SKY)
            (place / f"depth_{side}").mkdir(exist_ok=True)
            np.save(place / f"depth_{side}" / f"{frame:06d}_{side}_depth.npy", depth.astype(np.float32))
        np.savetxt(place / f"pose_{side}.txt", ned_rows(scene))
    names = [f"{PLACE}/{side}" for side in ("left", "right")]
    return Written(root, dict(zip(names, scenes, strict=False)))


def ned_rows(scene: Scene) -> list[list[float]]:
    """Place and quaternion (x, y, z, w) of cameras whose axes are forward, right, down."""
    return [
        [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3] @ AXES.T).as_quat()]
        for pose in scene.camera_to_world
    ]
