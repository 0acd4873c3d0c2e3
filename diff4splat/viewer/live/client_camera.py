"""Cameras of a page of viser and ours: same axes, but theirs are told by angle and by what they look at."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from diff4splat.cameras import Cameras
from diff4splat.geometry import quaternion_to_matrix

__all__ = ["ClientView", "cameras_to_view", "view_to_cameras"]


class ClientView(NamedTuple):
    """How viser describes a camera: world coordinates, and the vertical field of view in radians."""

    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    up: tuple[float, float, float]
    fov: float


def view_to_cameras(
    wxyz: Sequence[float], position: Sequence[float], fov: float, *, height: int, width: int
) -> Cameras:
    r"""The camera of a page: OpenCV axes, square pixels, principal point in the middle.

    The focal length is $h / (2 \tan(\beta / 2))$ pixels.

    Args:
        wxyz: Rotation from camera to world, unit quaternion.
        position: Camera centre, world coordinates.
        fov: Vertical field of view $\beta$, radians, in (0, pi).
        height: Image rows $h$.
        width: Image columns; more of them show more to both sides.

    Returns:
        One camera in float32.
    """
    camera_to_world = torch.eye(4, dtype=torch.float64)
    camera_to_world[:3, :3] = quaternion_to_matrix(
        torch.tensor([float(v) for v in wxyz], dtype=torch.float64)
    )
    camera_to_world[:3, 3] = torch.tensor([float(v) for v in position], dtype=torch.float64)
    focal = height / (2 * math.tan(fov / 2))
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(camera_to_world[None], intrinsics[None], height, width).to(dtype=torch.float32)


def cameras_to_view(cameras: Cameras, *, focus: float, aspect: float | None = None) -> ClientView:
    """What to tell viser so that a page stands at our camera and sees all that it sees.

    The direction that the page keeps upright is the world's (-y), turned as little as an exact camera allows:
    a camera that is not rolled leaves it alone, so that orbiting stays level.

    Args:
        cameras: One camera, in world coordinates; the middle of the page is its principal axis.
        focus: Distance of the point that the page turns around, scene units, > 0.
        aspect: Width of the page over its height; where it is narrower than the camera's image, the field of
            view grows until the width fits. As wide as needed when omitted.

    Returns:
        The view.
    """
    matrix = cameras.camera_to_world[0].detach().cpu().double()
    lens = cameras.intrinsics[0].detach().cpu().double()
    right, down, forward = matrix[:3, 0], matrix[:3, 1], matrix[:3, 2]
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    up = up - (up @ right) * right
    if up @ -down < 0.05:  # upside down, or looking straight up or down
        up = -down
    tangent = cameras.height / (2 * float(lens[1, 1]))
    if aspect is not None:
        tangent = max(tangent, cameras.width / (2 * float(lens[0, 0])) / aspect)
    position = matrix[:3, 3]
    return ClientView(
        _triple(position), _triple(position + focus * forward), _triple(up), 2 * math.atan(tangent)
    )


def _triple(vector: torch.Tensor) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
