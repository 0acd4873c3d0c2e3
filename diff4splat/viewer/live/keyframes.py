"""Keys that a viewer set by hand: the smooth path through them, and their file."""

import json
import math
from collections.abc import Sequence
from typing import Any

import torch

from diff4splat.cameras import Cameras, trajectory

__all__ = ["keyframes_json", "keyframes_path"]


def keyframes_path(keys: Sequence[Cameras], num_frames: int) -> Cameras:
    """The smooth path through keys, in world coordinates: what `load_cameras` makes of `keyframes_json`.

    Args:
        keys: At least one camera each, of one image size; the lens of the first key serves all.
        num_frames: Number of cameras, at least 1.

    Returns:
        The path, in float32.

    Raises:
        ValueError: If there is no key or `num_frames` is below 1.
    """
    if not keys:
        raise ValueError("keys must hold at least one camera, got none.")
    first = keys[0]
    path = trajectory.keyframes(
        torch.stack([key.camera_to_world[0] for key in keys]),
        num_frames,
        height=first.height,
        width=first.width,
        field_of_view_deg=_field_of_view_deg(first),
    )
    return Cameras(
        first.camera_to_world[0].to(path.camera_to_world) @ path.camera_to_world,
        path.intrinsics,
        height=first.height,
        width=first.width,
    )


def keyframes_json(keys: Sequence[Cameras], num_frames: int) -> str:
    """Keys as the file that `load_cameras`, `--trajectory` and `diff4splat trajectory` read.

    Args:
        keys: At least one camera each, of one image size; the lens of the first key serves all.
        num_frames: Number of cameras of the path through them, at least 1.

    Returns:
        JSON text of the format `diff4splat-keyframes`.

    Raises:
        ValueError: If there is no key or `num_frames` is below 1.
    """
    if not keys or num_frames < 1:
        raise ValueError(f"keys and num_frames must be at least 1, got {len(keys)} and {num_frames}.")
    content: dict[str, Any] = {
        "format": "diff4splat-keyframes",
        "version": 1,
        "height": keys[0].height,
        "width": keys[0].width,
        "num_frames": num_frames,
        "field_of_view_deg": _field_of_view_deg(keys[0]),
        "keyframes": [{"camera_to_world": key.camera_to_world[0].tolist()} for key in keys],
    }
    return json.dumps(content, indent=1) + "\n"


def _field_of_view_deg(camera: Cameras) -> float:
    """Horizontal field of view."""
    return math.degrees(2 * math.atan(camera.width / (2 * float(camera.intrinsics[0, 0, 0]))))
