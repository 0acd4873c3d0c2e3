"""A small world with exact truth, drawn without the package: a wall, a box before it, a camera that moves.

Axes are OpenCV's (x right, y down, z forward), units metres, everything float64 and written out.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from data.layouts.files import write_video
from data.layouts.scene import Scene

WALL_Z = 7.0
BOX = (np.array([-0.7, -0.5, 4.0]), np.array([0.6, 0.8, 5.0]))  # two corners


def camera_to_world(index: int) -> np.ndarray:
    """A camera that goes right, up and forward while it turns left and nods."""
    yaw, pitch, roll = 0.03 * index + 0.1, -0.02 * index + 0.05, 0.01 * index
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    )
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_y @ about_x @ about_z
    matrix[:3, 3] = [0.11 * index, -0.05 * index, 0.07 * index - 0.3]
    return matrix


def world_to_camera(index: int) -> np.ndarray:
    return np.linalg.inv(camera_to_world(index))


def depth_map(index: int, height: int, width: int, focal: float) -> np.ndarray:
    """z-depth at the centres of the pixels, float64; a centred lens."""
    pose = camera_to_world(index)
    depth = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            ray = np.array([(column + 0.5 - width / 2) / focal, (row + 0.5 - height / 2) / focal, 1.0])
            depth[row, column] = _hit(pose[:3, 3], pose[:3, :3] @ ray)
    return depth


def _hit(start: np.ndarray, ray: np.ndarray) -> float:
    """How many times the ray, whose z in the camera is 1, until the box or the wall."""
    near, far = -np.inf, np.inf
    for axis in range(3):
        ends = sorted((corner[axis] - start[axis]) / ray[axis] for corner in BOX)
        near, far = max(near, ends[0]), min(far, ends[1])
    return near if 0 < near < far else (WALL_Z - start[2]) / ray[2]


def pixel(point: np.ndarray, index: int, height: int, width: int, focal: float) -> np.ndarray:
    """Where a point of the world is seen, x before y, pixel centres at +0.5."""
    x, y, z = (world_to_camera(index) @ [*point, 1])[:3]
    return np.array([focal * x / z + width / 2, focal * y / z + height / 2])


def shade(index: int) -> int:
    """The one grey of all pixels of a picture or frame 0 to 42, by which it is known again."""
    return 20 + 5 * index


def picture(path: Path, index: int, height: int, width: int) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (shade(index), 0, 255 - shade(index))).save(path)


def video(
    path: Path, count: int, height: int, width: int, *, fps: float = 15, codec: str = "libx264"
) -> None:
    """Frames of one grey each; sides must be even for H.264."""
    write_video(path, shaded(range(count), height, width), fps, codec=codec)


def shaded(indices: Iterable[int], height: int, width: int) -> np.ndarray:
    """Frames of one grey each."""
    return np.stack([np.full((height, width, 3), shade(index), np.uint8) for index in indices])


def wall_scene(
    indices: Sequence[int],
    height: int,
    width: int,
    focal: float | tuple[float, float],
    *,
    depth: bool = False,
    fps: float = 30.0,
) -> Scene:
    """Frames of one grey each with the cameras of these indices, and no points."""
    count = len(indices)
    focal_x, focal_y = focal if isinstance(focal, tuple) else (focal, focal)
    maps = [depth_map(each, height, width, focal_x) for each in indices] if depth else 0.0
    return Scene(
        frames=shaded(indices, height, width),
        camera_to_world=np.stack([camera_to_world(index) for index in indices]),
        intrinsics=np.array([[focal_x, 0, width / 2], [0, focal_y, height / 2], [0, 0, 1]]),
        depth=np.zeros((count, height, width)) + maps,
        moving=np.zeros((count, height, width), bool),
        points=np.zeros((count, 0, 3)),
        pixels=np.zeros((count, 0, 2)),
        visible=np.zeros((count, 0), bool),
        fps=fps,
    )


def shades(frames: np.ndarray) -> list[int]:
    """Which frames these are, by their grey (first channel, middle pixel), allowing for compression."""
    middle = frames[:, 0, frames.shape[2] // 2, frames.shape[3] // 2].astype(int)
    return [min(range(43), key=lambda index: abs(shade(index) - grey)) for grey in middle]
