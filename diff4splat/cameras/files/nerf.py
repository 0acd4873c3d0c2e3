"""`transforms.json` of NeRF and nerfstudio: camera-to-world, OpenGL camera axes, one lens or one each.

`fl_x`, `fl_y`, `cx`, `cy` are in pixels, or `camera_angle_x` in radians; values of a frame win over those of
the file.
"""

import json
import math
from typing import Any

import numpy as np

from diff4splat.cameras.files.matrices import check_rigid, number, numbers
from diff4splat.cameras.files.request import Read, Request, intrinsics_of, stored_size

__all__ = ["read_transforms", "write_transforms"]

_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_FISHEYE = ("OPENCV_FISHEYE", "EQUIRECTANGULAR", "FISHEYE624", "ORTHOPHOTO")


def read_transforms(content: dict[str, Any], request: Request) -> Read:
    """Cameras of a transforms.json, in the order of its frames."""
    request.refuse_stated("transforms.json", "axes", "direction", "field_of_view_deg")
    frames = content["frames"]
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise ValueError("frames must be a list of objects, got something else.")
    matrices = numbers("transform_matrix", [frame.get("transform_matrix") for frame in frames], (4, 4))
    check_rigid("transform_matrix", matrices)
    rows = [{**content, **frame} for frame in frames]
    sizes = {(stored_size("h", row, request.height), stored_size("w", row, request.width)) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"frames must share one image size, got {sorted(sizes)}.")
    height, width = next(iter(sizes), (1, 1))
    intrinsics = np.stack([_lens(row, height, width, request) for row in rows] or [np.eye(3)])
    return Read(matrices @ _OPENGL_TO_OPENCV, intrinsics, height, width)


def _lens(row: dict[str, Any], height: int, width: int, request: Request) -> np.ndarray:
    if row.get("camera_model") in _FISHEYE:
        raise ValueError(f"camera_model must be a pinhole, got {row['camera_model']}.")
    request.take_distortion({name: number(name, row) or 0.0 for name in _DISTORTION})
    focal_x = number("fl_x", row)
    if focal_x is None:
        angle = number("camera_angle_x", row)
        if angle is None or not 0 < angle < math.pi:
            raise ValueError(f"frames must have fl_x or a camera_angle_x between 0 and pi, got {angle}.")
        focal_x = width / (2 * math.tan(angle / 2))
    focal_y, centre_x, centre_y = number("fl_y", row), number("cx", row), number("cy", row)
    return intrinsics_of(
        focal_x,
        focal_x if focal_y is None else focal_y,
        width / 2 if centre_x is None else centre_x,
        height / 2 if centre_y is None else centre_y,
    )


def write_transforms(cameras: Read) -> bytes:
    """The file of cameras without skew; the images are named in order."""
    frames = [
        {
            "file_path": f"images/frame_{index:05d}.png",
            "fl_x": matrix[0, 0],
            "fl_y": matrix[1, 1],
            "cx": matrix[0, 2],
            "cy": matrix[1, 2],
            "transform_matrix": (pose @ _OPENGL_TO_OPENCV).tolist(),
        }
        for index, (pose, matrix) in enumerate(zip(cameras.camera_to_world, cameras.intrinsics, strict=True))
    ]
    content = {"camera_model": "OPENCV", "w": cameras.width, "h": cameras.height, "frames": frames}
    return (json.dumps(content, indent=1) + "\n").encode()
