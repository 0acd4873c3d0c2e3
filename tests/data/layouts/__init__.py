"""Writers of every dataset, from the descriptions of their formats alone: nothing here knows the readers.

`LAYOUTS[key](root, *scenes)` writes scenes in the layout of a dataset into a folder that need not be there.
Where a dataset has several cameras of one place, the scenes are those cameras (left, right; cam01, cam02);
elsewhere each is a recording of its own. `nearest_size` and `lens` tell what a dataset can store.
"""

import math
from collections.abc import Callable

import numpy as np
from data.layouts import (
    colmap,
    dl3dv,
    dynamicreplica,
    matrixcity,
    multicamvideo,
    pointodyssey,
    realestate10k,
    spring,
    stereo4d,
    tartanair,
    tartanair2,
    video,
    vkitti2,
)
from data.layouts.files import Written
from data.layouts.scene import Scene, make_scene

LAYOUTS: dict[str, Callable[..., Written]] = {
    "colmap": colmap.write,
    "dl3dv": dl3dv.write,
    "dynamicreplica": dynamicreplica.write,
    "matrixcity": matrixcity.write,
    "multicamvideo": multicamvideo.write,
    "pointodyssey": pointodyssey.write,
    "realestate10k": realestate10k.write,
    "spring": spring.write,
    "stereo4d": stereo4d.write,
    "tartanair": tartanair.write,
    "tartanair2": tartanair2.write,
    "video": video.write,
    "vkitti2": vkitti2.write,
}
BASELINES = {"spring": 0.065, "tartanair": 0.25, "tartanair2": 0.25, "vkitti2": 0.532725}  # metres
VIDEOS = ("multicamvideo", "stereo4d", "video")  # lossy, and of even sides


def nearest_size(key: str, height: int, width: int) -> tuple[int, int]:
    """A size that a dataset can store, not far from this one."""
    if key == "tartanair":
        return 480, 640
    if key == "tartanair2":
        return min(height, width), min(height, width)
    return (height // 2 * 2, width // 2 * 2) if key in VIDEOS else (height, width)


def lens(key: str, height: int, width: int) -> np.ndarray:
    """A lens that a dataset can store, for pictures of this size."""
    fields_of_view = {"tartanair": 90.0, "tartanair2": 90.0, "stereo4d": 60.0}
    focal = float(round(0.9 * width))  # whole numbers: PointOdyssey rounds to float16
    if key in fields_of_view:
        focal = width / 2 / math.tan(math.radians(fields_of_view[key]) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def make_scenes(key: str, num_frames: int, height: int, width: int, count: int = 1) -> list[Scene]:
    """Scenes that a dataset can store, of its nearest size: cameras side by side, where it has two."""
    height, width = nearest_size(key, height, width)
    step = BASELINES.get(key, 0.3)
    return [
        make_scene(num_frames, height, width, lens(key, height, width), baseline=step * index)
        for index in range(count)
    ]
