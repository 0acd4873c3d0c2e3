"""Virtual KITTI 2: any size and lens. The first scene is camera 0, the second camera 1, to its right.

What moves is a car with track 7; in the lower left corner is one with track 3 that is parked.
"""

from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_jpg, write_png
from data.layouts.scene import Scene

PLACE = "Scene01/15-deg-left"
BASELINE = 0.532725
ROAD, SKY, CAR, TRUCK, VAN = (100, 60, 100), (90, 200, 255), (255, 127, 80), (160, 60, 60), (0, 139, 139)
LENSES = "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"
POSES = "frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"
BOXES = "frame cameraID trackID left right top bottom number_pixels truncation_ratio occupancy_ratio isMoving"


def write(root: Path, *scenes: Scene) -> Written:
    place = root / PLACE
    lenses, poses, boxes = [LENSES], [POSES], [BOXES]
    for frame in range(scenes[0].num_frames):
        for camera, scene in enumerate(scenes[:2]):
            _write_pictures(place / "frames", f"Camera_{camera}", scene, frame)
            (focal_x, _, cx), (_, focal_y, cy), _ = scene.intrinsics
            # centres of pixels at whole numbers: the middle of 34 columns is 16.5
            lenses.append(f"{frame} {camera} {focal_x:g} {focal_y:g} {cx - 0.5:g} {cy - 0.5:g}")
            numbers = " ".join(f"{number:.9f}" for number in scene.world_to_camera[frame].ravel())
            poses.append(f"{frame} {camera} {numbers}")
            for track, flag in ((3, False), (7, True)):
                boxes.append(f"{frame} {camera} {track} 0 9 0 9 81 0 1 {flag}")
            boxes.append(f"{frame} {1 - camera} 3 0 9 0 9 81 0 1 False")
    for file, rows in (("intrinsic.txt", lenses), ("extrinsic.txt", poses), ("bbox.txt", boxes)):
        (place / file).write_text("\n".join(rows) + "\n")
    return Written(root, {f"{PLACE}/Camera_{camera}": scene for camera, scene in enumerate(scenes[:2])})


def _write_pictures(frames: Path, end: str, scene: Scene, frame: int) -> None:
    write_jpg(frames / "rgb" / end / f"rgb_{frame:05d}.jpg", scene.frames[frame])
    depth = np.where(scene.depth[frame] > 0, np.rint(scene.depth[frame] * 100), 65535).astype(np.uint16)
    write_png(frames / "depth" / end / f"depth_{frame:05d}.png", depth)
    colors = np.full((scene.height, scene.width, 3), ROAD, np.uint8)
    colors[scene.depth[frame] == 0] = SKY
    colors[-3:, :4], colors[-3:, 4:6], colors[-3:, 6:9] = CAR, TRUCK, VAN
    colors[scene.moving[frame]] = CAR
    write_png(frames / "classSegmentation" / end / f"classgt_{frame:05d}.png", colors)
    instances = np.zeros((scene.height, scene.width), np.uint8)
    instances[-3:, :4] = 3 + 1
    instances[scene.moving[frame]] = 7 + 1
    write_png(frames / "instanceSegmentation" / end / f"instancegt_{frame:05d}.png", instances, palette=True)
