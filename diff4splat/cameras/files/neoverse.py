"""Trajectories of NeoVerse: named moves at key frames, or sparse camera-to-world matrices, OpenCV axes.

Source: https://github.com/IamCreateAI/NeoVerse, docs/trajectory_format.md; where its text and its program
differ (the size of a move that is not said), the program counts. Rotations are interpolated spherically,
positions linearly. Neither a lens nor an image size is stored, but a `zoom_ratio` of the focal length.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diff4splat.cameras.curves import pose_curve
from diff4splat.cameras.files.archives import open_npz
from diff4splat.cameras.files.matrices import check_rigid, number, numbers
from diff4splat.cameras.files.request import Read, Request

__all__ = ["is_neoverse", "read_neoverse", "read_sparse", "write_neoverse"]

_FRAMES, _MAX_FRAMES = 81.0, 100_000
_DEFAULTS = {"distance": 0.1, "angle": 30.0, "orbit_radius": 0.5}
_STEPS = {  # direction of a unit step
    "move_left": (-1, 0, 0),
    "move_right": (1, 0, 0),
    "push_in": (0, 0, 1),
    "pull_out": (0, 0, -1),
    "boom_up": (0, -1, 0),
    "boom_down": (0, 1, 0),
}
_TURNS = {"pan_left": -1, "pan_right": 1, "tilt_up": 1, "tilt_down": -1, "orbit_left": -1, "orbit_right": 1}


def is_neoverse(content: dict[str, Any]) -> bool:
    """Whether a JSON object is a trajectory of NeoVerse: matrices, or key frames named by their numbers."""
    if isinstance(content.get("trajectory"), dict):
        return True
    keys = content.get("keyframes")
    return isinstance(keys, list) and all(
        isinstance(key, dict) and len(key) == 1 and next(iter(key)).isdecimal() for key in keys
    )


def read_neoverse(content: dict[str, Any], folder: Path, request: Request) -> Read:
    """Cameras of a trajectory file.

    Args:
        content: The JSON object.
        folder: Where a file that it refers to is looked for, when it is not where it says.
        request: What the caller says.

    Returns:
        One camera per frame.
    """
    count = number("num_frames", content, _FRAMES)
    if count is None or count % 1 or not 1 <= count <= _MAX_FRAMES:
        raise ValueError(f"num_frames must be a whole number from 1 to {_MAX_FRAMES}, got {count}.")
    zoom = number("zoom_ratio", content, 1.0)
    if zoom is None or not 0 < zoom < math.inf:
        raise ValueError(f"zoom_ratio must be > 0, got {zoom}.")
    if "keyframes" in content:
        indices, matrices = _compose(content["keyframes"])
        if indices[0] != 0 or indices[-1] != count - 1:
            raise ValueError(
                f"keyframes must go from 0 to num_frames - 1 = {count - 1:g}, "
                f"got {indices[0]:g} to {indices[-1]:g}."
            )
    else:
        indices, matrices = _sparse(content["trajectory"], folder)
    return read_sparse(indices, matrices, int(count), zoom, request)


def read_sparse(indices: Any, matrices: Any, count: int | None, zoom: float, request: Request) -> Read:
    """Cameras between camera-to-world matrices at some of the frames.

    Args:
        indices: Frame of each matrix, ascending.
        matrices: `[key, 4, 4]`.
        count: Frames in all, spread from the first to the last index; to the last index when None.
        zoom: Focal length at the last frame over that at the first.
        request: What the caller says.

    Returns:
        One camera per frame.
    """
    request.refuse_stated("NeoVerse", "axes", "direction")
    height, width = request.both_sides("NeoVerse")
    times = numbers("frame_indices", indices, ())
    keys = numbers("frame_matrices", matrices, (4, 4))
    if len(times) != len(keys) or len(keys) == 0:
        raise ValueError(f"frame_matrices must be one per frame index, got {len(keys)} for {len(times)}.")
    if not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError("frame_indices must ascend from 0 or more, got another order.")
    if times[-1] >= _MAX_FRAMES:
        raise ValueError(f"frame_indices must be below {_MAX_FRAMES}, got {times[-1]:g}.")
    check_rigid("frame_matrices", keys)
    count = int(times[-1]) + 1 if count is None else count
    if len(keys) != count:
        at = torch.linspace(0, max(float(times[-1]), 1.0), count, dtype=torch.float64)
        keys = pose_curve(torch.from_numpy(keys), torch.from_numpy(times), at, interpolation="linear").numpy()
    lenses = request.lenses(count, height, width)
    lenses[:, [0, 1], [0, 1]] *= np.linspace(1.0, zoom, count)[:, None]
    return Read(keys, lenses, height, width)


def _sparse(trajectory: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    if "file" not in trajectory:
        return trajectory.get("frame_indices"), trajectory.get("frame_matrices")
    named = trajectory["file"]
    if not isinstance(named, str):
        raise ValueError(f"trajectory file must be the name of an npz, got {named!r}.")
    path = next((path for path in (folder / named, folder / Path(named).name) if path.is_file()), Path(named))
    arrays = open_npz(path, ("frame_indices", "frame_matrices"))
    if len(arrays) < 2:
        raise ValueError(f"{path} must hold frame_indices and frame_matrices, got {sorted(arrays)}.")
    return arrays["frame_indices"], arrays["frame_matrices"]


def _compose(keys: Sequence[dict[str, Any]]) -> tuple[list[float], np.ndarray]:
    """Key frames and their poses; every move starts where the last one ended."""
    if not keys:
        raise ValueError("keyframes must hold at least one key, got none.")
    pose, indices, poses = np.eye(4), [], []
    for key in keys:
        frame, moves = next(iter(key.items()))
        if not isinstance(moves, list) or not all(
            isinstance(move, dict) and len(move) == 1 for move in moves
        ):
            raise ValueError(f"keyframe {frame} must be a list of moves, each with one name, got {moves!r}.")
        for move in moves:
            name, sizes = next(iter(move.items()))
            if not isinstance(sizes, dict):
                raise ValueError(f"{name} must have an object of sizes, got {sizes!r}.")
            pose = pose @ _move(name, sizes)
        indices.append(float(frame))
        poses.append(pose)
    return indices, np.stack(poses)


def _move(name: str, sizes: dict[str, Any]) -> np.ndarray:
    """Camera-to-world matrix of one named move."""
    distance, angle_deg, radius = (number(key, sizes, default) or 0.0 for key, default in _DEFAULTS.items())
    pose = np.eye(4)
    if name in _STEPS:
        pose[:3, 3] = distance * np.array(_STEPS[name])
    elif name in _TURNS:
        angle = _TURNS[name] * math.radians(angle_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        if name.startswith("tilt"):
            pose[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
        elif name.startswith("pan"):
            pose[np.ix_([0, 2], [0, 2])] = [[cosine, sine], [-sine, cosine]]
        else:  # on a circle around a point ahead, looking at it
            pose[np.ix_([0, 2], [0, 2])] = [[cosine, -sine], [sine, cosine]]
            pose[:3, 3] = radius * np.array([sine, 0.0, 1.0 - cosine])
    elif name != "static":
        known = ", ".join([*_STEPS, *_TURNS, "static"])
        raise ValueError(f"move must be one of {known}, got {name!r}.")
    return pose


def write_neoverse(cameras: Read) -> bytes:
    """A trajectory with a matrix for every frame; the lens is not part of the format."""
    content = {
        "name": "diff4splat",
        "mode": "relative",
        "num_frames": len(cameras.camera_to_world),
        "trajectory": {
            "frame_indices": list(range(len(cameras.camera_to_world))),
            "frame_matrices": cameras.camera_to_world.tolist(),
        },
    }
    return (json.dumps(content) + "\n").encode()
