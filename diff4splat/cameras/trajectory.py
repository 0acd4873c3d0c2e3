"""Camera paths for one input image: every path starts at the identity, the input image's camera.

Axes are OpenCV's, so "upward" moves towards -y. Positions are spaced evenly along the path, so the camera
moves at constant speed. Lengths are in scene units; the defaults suit content two to ten units in front of
the camera.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.cameras.curves import at_constant_speed, pose_curve

__all__ = [
    "NAMES",
    "backward",
    "by_name",
    "downward",
    "forward",
    "keyframes",
    "look_at",
    "orbit",
    "spiral",
    "static",
    "upward",
]


def spiral(
    num_frames: int,
    *,
    height: int,
    width: int,
    amplitude: float = 0.5,
    turns: float = 1.0,
    focus_depth: float = 4.0,
    field_of_view_deg: float = 60.0,
) -> Cameras:
    r"""Path that winds outwards from the input camera, looking at one point in front of it.

    $$p(u) = a\,u\,(\cos 2\pi k u,\; \sin 2\pi k u,\; 0), \qquad u \in [0, 1]$$

    with $a$ = `amplitude` and $k$ = `turns` (an Archimedean spiral in the image plane), walked at constant
    speed.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Final distance from the input camera, scene units.
        turns: Number of turns.
        focus_depth: Depth of the point looked at, scene units, > 0.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.

    Examples:
        >>> spiral(5, height=64, width=96).camera_to_world.shape
        torch.Size([5, 4, 4])
    """
    _check_positive("focus_depth", focus_depth)
    _check_finite("amplitude", amplitude)
    _check_finite("turns", turns)
    parameter = torch.linspace(0, 1, 4097, dtype=torch.float64)
    angle = 2 * math.pi * turns * parameter
    radius = amplitude * parameter
    curve = torch.stack((radius * angle.cos(), radius * angle.sin(), torch.zeros_like(radius)), dim=-1)
    eyes = at_constant_speed(curve, _fractions(num_frames))
    target = eyes.new_tensor([0.0, 0.0, focus_depth])
    return _cameras(look_at(eyes, target), height, width, field_of_view_deg)


def forward(
    num_frames: int, *, height: int, width: int, amplitude: float = 1.0, field_of_view_deg: float = 60.0
) -> Cameras:
    """Straight path into the scene, looking ahead.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Length of the path, scene units.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    return _straight((0.0, 0.0, amplitude), num_frames, height, width, field_of_view_deg)


def backward(
    num_frames: int, *, height: int, width: int, amplitude: float = 1.0, field_of_view_deg: float = 60.0
) -> Cameras:
    """Straight path out of the scene, looking ahead.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Length of the path, scene units.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    return _straight((0.0, 0.0, -amplitude), num_frames, height, width, field_of_view_deg)


def upward(
    num_frames: int, *, height: int, width: int, amplitude: float = 0.5, field_of_view_deg: float = 60.0
) -> Cameras:
    """Straight path up (towards -y), looking ahead.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Length of the path, scene units.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    return _straight((0.0, -amplitude, 0.0), num_frames, height, width, field_of_view_deg)


def downward(
    num_frames: int, *, height: int, width: int, amplitude: float = 0.5, field_of_view_deg: float = 60.0
) -> Cameras:
    """Straight path down (towards +y), looking ahead.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Length of the path, scene units.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    return _straight((0.0, amplitude, 0.0), num_frames, height, width, field_of_view_deg)


def orbit(
    num_frames: int,
    *,
    height: int,
    width: int,
    degrees: float = 360.0,
    focus_depth: float = 4.0,
    field_of_view_deg: float = 60.0,
) -> Cameras:
    """Circle around a point in front of the input camera, in its horizontal plane, looking at that point.

    Args:
        num_frames: Number of cameras, at least 1. After 360 degrees the last camera equals the first.
        height: Image rows.
        width: Image columns.
        degrees: Arc travelled; positive values leave to the right.
        focus_depth: Depth of the centre, which is also the radius, scene units, > 0.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    _check_positive("focus_depth", focus_depth)
    _check_finite("degrees", degrees)
    angle = _fractions(num_frames) * math.radians(degrees)
    zero = torch.zeros_like(angle)
    eyes = focus_depth * torch.stack((angle.sin(), zero, 1 - angle.cos()), dim=-1)
    return _cameras(look_at(eyes, eyes.new_tensor([0.0, 0.0, focus_depth])), height, width, field_of_view_deg)


def static(num_frames: int, *, height: int, width: int, field_of_view_deg: float = 60.0) -> Cameras:
    """Camera that stays where the input image was taken.

    Args:
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes, all the identity.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """
    return _straight((0.0, 0.0, 0.0), num_frames, height, width, field_of_view_deg)


def keyframes(
    camera_to_world: Sequence[Float[Tensor, "4 4"]] | Float[Tensor, "keyframe 4 4"],
    num_frames: int,
    *,
    height: int,
    width: int,
    times: Sequence[float] | None = None,
    interpolation: Literal["smooth", "linear"] = "smooth",
    field_of_view_deg: float = 60.0,
) -> Cameras:
    """Smooth path through given cameras, the first of which becomes the identity.

    Positions follow a Catmull-Rom spline and rotations its counterpart on the sphere (squad), so neither has
    a kink at a key. Frames are spread evenly in time from the first key to the last.

    Args:
        camera_to_world: At least one rigid transform, OpenCV camera axes.
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        times: Ascending time of each key, in any unit; evenly spread when omitted.
        interpolation: "smooth", or "linear" for straight lines and constant turning between keys.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes, in the type of torch's default.

    Raises:
        ValueError: If there is no key, a key is not rigid, the times do not ascend or are not one per key, or
            another argument is out of range.
    """
    if len(camera_to_world) < 1:
        raise ValueError("camera_to_world must hold at least one key, got none.")
    keys = torch.stack([key.detach().double().cpu() for key in camera_to_world])
    intrinsics = torch.eye(3, dtype=keys.dtype).expand(len(keys), 3, 3)
    cameras = Cameras(keys, intrinsics, height, width)
    cameras.validate()
    keys = cameras.relative_to().camera_to_world

    if interpolation not in ("smooth", "linear"):
        raise ValueError(f"interpolation must be smooth or linear, got {interpolation!r}.")
    if times is not None and len(times) != len(keys):
        raise ValueError(f"times must be one per key, got {len(times)} for {len(keys)} keys.")
    at_keys = torch.tensor(range(len(keys)) if times is None else times, dtype=keys.dtype)
    at_frames = torch.lerp(at_keys[0], at_keys[-1], _fractions(num_frames))
    path = pose_curve(keys, at_keys, at_frames, interpolation=interpolation)
    return _cameras(path, height, width, field_of_view_deg)


_BY_NAME: dict[str, Callable[..., Cameras]] = {
    "spiral": spiral,
    "forward": forward,
    "backward": backward,
    "upward": upward,
    "downward": downward,
    "orbit": orbit,
    "static": static,
}

NAMES = tuple(_BY_NAME)
"""Names that `by_name` knows; the first five are the trajectories of the paper."""


def by_name(
    name: str,
    num_frames: int,
    *,
    height: int,
    width: int,
    amplitude: float | None = None,
    focus_depth: float | None = None,
    field_of_view_deg: float | None = None,
) -> Cameras:
    """Trajectory chosen by its name; options left out take that trajectory's own default.

    Args:
        name: One of `NAMES`.
        num_frames: Number of cameras, at least 1.
        height: Image rows.
        width: Image columns.
        amplitude: Size of the motion in scene units; of no effect on "orbit" (its radius is `focus_depth`)
            and "static".
        focus_depth: Depth of the point looked at; of no effect on the paths that look ahead.
        field_of_view_deg: Horizontal field of view in degrees.

    Returns:
        Cameras without batch axes; the first is the identity.

    Raises:
        ValueError: If the name is unknown or an argument is out of range.
    """
    if name not in _BY_NAME:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}.")
    options: dict[str, Any] = {"field_of_view_deg": field_of_view_deg}
    if name not in ("orbit", "static"):
        options["amplitude"] = amplitude
    if name in ("orbit", "spiral"):
        options["focus_depth"] = focus_depth
    given = {key: value for key, value in options.items() if value is not None}
    return _BY_NAME[name](num_frames, height=height, width=width, **given)


def look_at(
    eye: Float[Tensor, "*#batch xyz=3"],
    target: Float[Tensor, "*#batch xyz=3"],
    up: Float[Tensor, "*#batch xyz=3"] | None = None,
) -> Float[Tensor, "*batch 4 4"]:
    """Camera at one point that looks at another.

    Args:
        eye: Camera centres, world coordinates.
        target: Points that appear at the principal point.
        up: World direction that appears upwards; -y when omitted, which is up in OpenCV axes.

    Returns:
        Rigid camera-to-world transforms, OpenCV camera axes.

    Raises:
        ValueError: If the camera stands at its target or looks along `up`.
    """
    up = eye.new_tensor([0.0, -1.0, 0.0]) if up is None else up
    eye, target, up = torch.broadcast_tensors(eye, target, up)
    ahead = target - eye
    if (torch.linalg.vector_norm(ahead, dim=-1) == 0).any():
        raise ValueError("target must differ from eye, got equal points.")
    z = torch.nn.functional.normalize(ahead, dim=-1)
    right = torch.linalg.cross(z, torch.nn.functional.normalize(up, dim=-1))
    if (torch.linalg.vector_norm(right, dim=-1) < 1e-6).any():
        raise ValueError("up must not be parallel to the viewing direction, got parallel directions.")
    x = torch.nn.functional.normalize(right, dim=-1)
    y = torch.linalg.cross(z, x)
    upper_rows = torch.stack((x, y, z, eye), dim=-1)
    last_row = eye.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*eye.shape[:-1], 1, 4)
    return torch.cat((upper_rows, last_row), dim=-2)


def _fractions(num_frames: int) -> Tensor:
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}.")
    return torch.linspace(0, 1, num_frames, dtype=torch.float64)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be > 0 and finite, got {value}.")


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")


def _straight(
    end: tuple[float, float, float], num_frames: int, height: int, width: int, field_of_view_deg: float
) -> Cameras:
    _check_finite("amplitude", sum(end))
    path = torch.eye(4, dtype=torch.float64).repeat(num_frames, 1, 1)
    path[:, :3, 3] = _fractions(num_frames)[:, None] * path.new_tensor(end)
    return _cameras(path, height, width, field_of_view_deg)


def _cameras(camera_to_world: Tensor, height: int, width: int, field_of_view_deg: float) -> Cameras:
    camera_to_world = camera_to_world.to(torch.get_default_dtype())
    intrinsics = field_of_view_to_intrinsics(field_of_view_deg, height=height, width=width)
    return Cameras(camera_to_world, intrinsics.repeat(len(camera_to_world), 1, 1), height, width)
