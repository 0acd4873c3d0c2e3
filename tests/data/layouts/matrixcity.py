"""MatrixCity: any size; square pixels and a centred lens. No tracks. A block per scene."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene

NAME = "small_city/aerial/train/block_1"


def write(root: Path, *scenes: Scene, numbers: Sequence[int] | None = None) -> Written:
    """Blocks block_1, block_10, ... with depth in half floats; frames have these numbers, in any order."""
    found = {}
    for index, scene in enumerate(scenes):
        name = f"{NAME}{'0' * index}"
        place, depths = root / name, root / name.replace("small_city", "small_city_depth")
        chosen = list(range(scene.num_frames)) if numbers is None else list(numbers)
        for frame, number in enumerate(chosen):
            write_png(place / f"{number:04d}.png", scene.frames[frame])
            depth = np.where(scene.depth[frame] > 0, scene.depth[frame], 655.04)
            write_depth(depths / f"{number:04d}.exr", depth)
        (place / "transforms.json").write_text(json.dumps(block(scene, chosen)))
        found[name] = scene
    return Written(root, found)


def block(scene: Scene, numbers: Sequence[int]) -> dict[str, Any]:
    """Cameras with OpenGL axes (y up and z backward), their rotation times 0.01."""
    frames = []
    for pose, number in zip(scene.camera_to_world, numbers, strict=True):
        matrix = pose.copy()
        matrix[:, 1:3] *= -1
        matrix[:3, :3] *= 0.01
        frames.append({"frame_index": number, "rot_mat": matrix.tolist(), "euler": [0.0, 0.1, 0.2]})
    return {"camera_angle_x": 2 * math.atan(scene.width / 2 / scene.intrinsics[0, 0]), "frames": frames}


def write_depth(file: Path, metres: np.ndarray, dtype: type = np.float16) -> None:
    import OpenEXR

    file.parent.mkdir(parents=True, exist_ok=True)
    values = (metres * 100).astype(dtype)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {name: values for name in "BGR"}).write(str(file.absolute()))
