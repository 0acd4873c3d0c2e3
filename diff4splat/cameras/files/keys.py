"""Camera paths written by hand: keys with smooth motion between them, and lists of places and targets.

Both are JSON, in OpenCV axes, like the world of the photograph: its camera stands at 0 0 0, looks along +z,
and up is -y.
"""

from typing import Any

import numpy as np
import torch

from diff4splat.cameras.curves import pose_curve
from diff4splat.cameras.files.matrices import check_rigid, number, numbers, quaternions_to_matrices, square
from diff4splat.cameras.files.request import Read, Request, stored_size
from diff4splat.cameras.trajectory import look_at

__all__ = ["KEYFRAMES_NAME", "read_keyframes", "read_look_at"]

KEYFRAMES_NAME = "diff4splat-keyframes"

_MAX_FRAMES = 100_000
_KNOWN_OF_FILE = {
    *("field_of_view_deg", "format", "height", "interpolation", "keyframes", "num_frames", "version", "width")
}
_KNOWN_OF_KEY = {
    *(
        "camera_to_world",
        "field_of_view_deg",
        "look_at",
        "position",
        "quaternion_wxyz",
        "target",
        "time",
        "up",
    )
}


def read_keyframes(content: dict[str, Any], request: Request) -> Read:
    """Cameras along a smooth path through keys.

    `{"format": "diff4splat-keyframes", "version": 1, "num_frames": 49, "keyframes": [...]}`, optionally with
    `height`, `width`, `field_of_view_deg` and `interpolation` ("smooth" or "linear"). A key holds `position`
    with `look_at` (and `up`) or with `quaternion_wxyz`, or a 4 x 4 `camera_to_world`; optionally `time`, in
    any unit, ascending, and its own `field_of_view_deg`.

    Args:
        content: The JSON object.
        request: What the caller says.

    Returns:
        `num_frames` cameras, evenly in time from the first key to the last.
    """
    request.refuse_stated("keyframe", "axes", "direction")
    if content.get("version") != 1:
        raise ValueError(f"version must be 1, got {content.get('version')!r}.")
    _refuse_unknown("file", content, _KNOWN_OF_FILE)
    keys = _objects("keyframes", content.get("keyframes"))
    count = number("num_frames", content)
    if count is None or count % 1 or not 1 <= count <= _MAX_FRAMES:
        raise ValueError(f"num_frames must be a whole number from 1 to {_MAX_FRAMES}, got {count}.")
    interpolation = content.get("interpolation", "smooth")
    if interpolation not in ("smooth", "linear"):
        raise ValueError(f"interpolation must be smooth or linear, got {interpolation!r}.")
    height = stored_size("height", content, request.height)
    width = stored_size("width", content, request.width)

    poses = np.stack([_pose(index, key) for index, key in enumerate(keys)])
    times = _times(keys)
    at = np.linspace(times[0], times[-1], int(count))
    path = pose_curve(*map(torch.from_numpy, (poses, times, at)), interpolation=interpolation).numpy()
    return Read(path, _lenses(content, keys, times, at, height, width, request), height, width)


def read_look_at(rows: list[Any], request: Request) -> Read:
    """Cameras of a list of objects, one per frame: `position`, `look_at` or `target`, and `up` if not -y."""
    request.refuse_stated("look-at", "axes", "direction")
    rows = _objects("list", rows)
    height, width = request.both_sides("look-at")
    poses = np.stack([_pose(index, row) for index, row in enumerate(rows)])
    return Read(poses, request.lenses(len(rows), height, width), height, width)


def _objects(name: str, rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} must be a list of at least one JSON object, got something else.")
    return rows


def _refuse_unknown(name: str, content: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(content.keys() - known)
    if unknown:
        raise ValueError(f"{name} must hold only {', '.join(sorted(known))}, got {unknown[0]!r}.")


def _pose(index: int, key: dict[str, Any]) -> np.ndarray:
    """Camera-to-world matrix of a key."""
    name = f"key {index}"
    _refuse_unknown(name, key, _KNOWN_OF_KEY)
    targets = [word for word in ("look_at", "target") if word in key]
    ways = [word for word in ("camera_to_world", "quaternion_wxyz", *targets) if word in key]
    if len(ways) != 1 or ("position" in key) == (ways == ["camera_to_world"]):
        raise ValueError(
            f"{name} must hold camera_to_world, or position with look_at or quaternion_wxyz, "
            f"got {', '.join(sorted(key)) or 'nothing'}."
        )
    if ways == ["camera_to_world"]:
        values = np.asarray(key["camera_to_world"], dtype=object)
        shape = (3, 4) if values.shape == (3, 4) else (4, 4)
        matrix = square(numbers(f"{name} camera_to_world", [key["camera_to_world"]], shape))
        check_rigid(f"{name} camera_to_world", matrix)
        return matrix[0]
    position = numbers(f"{name} position", [key["position"]], (3,))
    if ways == ["quaternion_wxyz"]:
        return quaternions_to_matrices(numbers(f"{name} quaternion_wxyz", [key[ways[0]]], (4,)), position)[0]
    target = numbers(f"{name} {ways[0]}", [key[ways[0]]], (3,))
    up = numbers(f"{name} up", [key.get("up", [0.0, -1.0, 0.0])], (3,))
    try:
        return look_at(*map(torch.from_numpy, (position, target, up)))[0].numpy()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _times(keys: list[dict[str, Any]]) -> np.ndarray:
    given = [number("time", key) for key in keys]
    if all(time is None for time in given):
        return np.arange(len(keys), dtype=np.float64)
    times = np.array([np.nan if time is None else time for time in given])
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"time must be said by every key or by none, and ascend, got {given}.")
    return times


def _lenses(
    content: dict[str, Any],
    keys: list[dict[str, Any]],
    times: np.ndarray,
    at: np.ndarray,
    height: int,
    width: int,
    request: Request,
) -> np.ndarray:
    """Intrinsics of each frame; the focal length goes linearly from key to key."""
    of_file = number("field_of_view_deg", content)
    angles = [number("field_of_view_deg", key, of_file) for key in keys]
    if all(angle is None for angle in angles):
        return request.lenses(len(at), height, width)
    request.refuse_stated("such keyframe", "field_of_view_deg")
    if not all(angle is not None and 0 < angle < 180 for angle in angles):
        raise ValueError(
            f"field_of_view_deg must be said for the file or for every key, between 0 and 180, got {angles}."
        )
    focal = width / (2 * np.tan(np.radians(np.array(angles, dtype=np.float64)) / 2))
    lenses = np.tile(np.eye(3), (len(at), 1, 1))
    lenses[:, [0, 1], [0, 1]] = np.interp(at, times, focal)[:, None]
    lenses[:, :2, 2] = [width / 2, height / 2]
    return lenses
