"""The camera paths of the protocol: the paper's five, and one that comes back to where it began."""

import math

import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.cameras.trajectory import look_at

__all__ = ["PAPER_TRAJECTORIES", "loop", "protocol_cameras"]

PAPER_TRAJECTORIES = ("spiral", "forward", "backward", "upward", "downward")
"""The paths that the paper evaluates on."""


def loop(
    num_frames: int,
    *,
    height: int,
    width: int,
    amplitude: float = 0.5,
    focus_depth: float = 4.0,
    field_of_view_deg: float = 60.0,
) -> Cameras:
    r"""Circle through the input camera, in its image plane, looking at one point; ends where it began.

    $$p(u) = \frac{a}{2}\,(1 - \cos 2\pi u,\; \sin 2\pi u,\; 0), \qquad u \in [0, 1]$$

    with $a$ = `amplitude`. The last camera is the first one, bit for bit, so a scene that forgets nothing
    shows the same picture twice. Unlike a turn of 360 degrees around the scene it stays in front of what the
    image shows, and inside a room.

    Args:
        num_frames: Number of cameras, at least 3.
        height: Image rows.
        width: Image columns.
        amplitude: Largest distance from the input camera, scene units; positive leads to the right.
        focus_depth: Depth of the point looked at, scene units, > 0.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first and the last are the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    if num_frames < 3:
        raise ValueError(f"num_frames must be at least 3 to leave and come back, got {num_frames}.")
    if not math.isfinite(amplitude):
        raise ValueError(f"amplitude must be finite, got {amplitude}.")
    if not 0 < focus_depth < math.inf:
        raise ValueError(f"focus_depth must be > 0 and finite, got {focus_depth}.")
    angle = 2 * math.pi * torch.linspace(0, 1, num_frames, dtype=torch.float64)
    eyes = amplitude / 2 * torch.stack((1 - angle.cos(), angle.sin(), torch.zeros_like(angle)), dim=-1)
    poses = look_at(eyes, eyes.new_tensor([0.0, 0.0, focus_depth]))
    poses[0] = poses[-1] = torch.eye(4, dtype=poses.dtype)
    still = trajectory.static(num_frames, height=height, width=width, field_of_view_deg=field_of_view_deg)
    return Cameras(poses.to(still.camera_to_world), still.intrinsics, height, width)


def protocol_cameras(
    name: str,
    num_frames: int,
    *,
    height: int,
    width: int,
    amplitude: float = 0.5,
    focus_depth: float = 4.0,
    field_of_view_deg: float = 60.0,
) -> Cameras:
    """Path of the protocol by its name.

    Args:
        name: "closed" for `loop`, or one of `diff4splat.cameras.trajectory.NAMES`.
        num_frames: Number of cameras, at least 1; 3 for "closed".
        height: Image rows.
        width: Image columns.
        amplitude: Size of the motion, scene units; of no effect on "orbit" and "static".
        focus_depth: Depth of the point looked at; of no effect on the paths that look ahead.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity, and of "closed" and "orbit" also the last.

    Raises:
        ValueError: If the name is unknown or an argument is out of range.
    """
    if name == "closed":
        return loop(
            num_frames,
            height=height,
            width=width,
            amplitude=amplitude,
            focus_depth=focus_depth,
            field_of_view_deg=field_of_view_deg,
        )
    if name not in trajectory.NAMES:
        raise ValueError(f"name must be closed, {', '.join(trajectory.NAMES)}, got {name!r}.")
    cameras = trajectory.by_name(
        name,
        num_frames,
        height=height,
        width=width,
        amplitude=amplitude,
        focus_depth=focus_depth,
        field_of_view_deg=field_of_view_deg,
    )
    if name == "orbit":  # the sine of a whole turn is not quite zero in floating point
        cameras.camera_to_world[-1] = cameras.camera_to_world[0]
    return cameras
