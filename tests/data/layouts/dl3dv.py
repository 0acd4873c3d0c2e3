"""DL3DV-10K: any size and lens; neither depth nor tracks. A recording per scene."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data.layouts.files import Written, write_png
from data.layouts.scene import Scene

HASHES = ("0123456789abcdef" * 4, "f" * 64)
APPLIED = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]


def write(root: Path, *scenes: Scene, without: Iterable[int] = ()) -> Written:
    """Pictures in `images_8`; frames of the numbers in `without` have none. Frames are listed in no order."""
    found = {}
    for key, scene in zip(HASHES, scenes, strict=False):
        place = root / "1K" / key
        for frame in range(scene.num_frames):
            if frame not in without:
                write_png(place / "images_8" / f"frame_{frame + 1:05d}.png", scene.frames[frame])
        order = [*range(1, scene.num_frames), 0]
        (place / "transforms.json").write_text(json.dumps(transforms(scene, order)))
        found[f"1K/{key}"] = scene
    return Written(root, found)


def transforms(scene: Scene, order: Iterable[int], factor: float = 8, **lens: float) -> dict[str, Any]:
    """Cameras with OpenGL axes (y up and z backward: two columns negated), a lens `factor` times as large."""
    frames = []
    for index in order:
        matrix = scene.camera_to_world[index].copy()
        matrix[:, 1:3] *= -1
        name = f"images/frame_{index + 1:05d}.png"
        frames.append({"file_path": name, "transform_matrix": matrix.tolist(), "colmap_im_id": 40 - index})
    (focal_x, _, cx), (_, focal_y, cy), _ = (factor * scene.intrinsics).tolist()
    return {
        **{"w": int(factor * scene.width), "h": int(factor * scene.height)},
        **{"fl_x": focal_x, "fl_y": focal_y, "cx": cx, "cy": cy},
        **{"k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, **lens, "camera_model": "OPENCV"},
        **{"applied_transform": APPLIED, "ply_file_path": "sparse_pc.ply", "frames": frames},
    }
