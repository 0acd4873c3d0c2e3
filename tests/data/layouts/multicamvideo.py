"""MultiCamVideo: even sides, square pixels and a centred lens. Neither depth nor tracks.

The scenes are cameras of one scene, cam01, cam02, ..., with the lens of the first.
"""

import json
from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_video
from data.layouts.scene import Scene

SENSOR_MM = 23.76


def write(root: Path, *scenes: Scene) -> Written:
    focal_mm = scenes[0].intrinsics[0, 0] / scenes[0].width * SENSOR_MM
    name = f"train/f{focal_mm:g}_aperture5/scene 1"
    (root / name / "cameras").mkdir(parents=True)
    poses = [scene.camera_to_world for scene in scenes]
    (root / name / "cameras" / "camera_extrinsics.json").write_text(json.dumps(cameras(*poses), indent=4))
    for index, scene in enumerate(scenes, start=1):
        write_video(root / name / "videos" / f"cam{index:02d}.mp4", scene.frames, 15)
    return Written(root, {f"{name}/cam{index:02d}": scene for index, scene in enumerate(scenes, start=1)})


def unreal(pose: np.ndarray) -> str:
    """A camera as Unreal writes it: rows forward, right, up and place of x, y, z in cm.

    Its x is our z, its y our x, its z our -y; numbers are printed with %g, a zero may be -0.
    """
    right, down, forward, place = (pose[:3, column] for column in range(4))
    rows = []
    for vector, last in ((forward, 0), (right, 0), (-down, 0), (100 * place, 1)):
        rows.append(f"[{vector[2]:g} {vector[0]:g} {-vector[1]:g} {last}]")
    return " ".join(rows) + " "


def cameras(*poses: np.ndarray) -> dict[str, dict[str, str]]:
    """Frames stand in the order of texts, so frame10 would stand before frame2."""
    names = sorted(f"frame{index}" for index in range(len(poses[0])))
    return {
        name: {f"cam{key:02d}": unreal(pose[int(name[5:])]) for key, pose in enumerate(poses, start=1)}
        for name in names
    }
