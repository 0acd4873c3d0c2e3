"""`camera_extrinsics.json` of MultiCamVideo (ReCamMaster): Unreal Engine, several cameras per frame.

`{"frame0": {"cam01": "[a b c 0] [d e f 0] [g h i 0] [x y z 1] ", ...}, ...}`: the rows are the forward, right
and up axes of the camera and its place in centimetres, in a left-handed world with z up. That world is
mirrored to a right-handed one with x right, y down and z forward, in metres. Neither a lens nor an image size
is stored.
"""

import re
from typing import Any

import numpy as np

from diff4splat.cameras.files.matrices import check_rigid
from diff4splat.cameras.files.request import Read, Request

__all__ = ["is_multicam", "read_multicam"]

# Rows: right, down and forward of our world in Unreal's axes (forward, right, up).
_WORLD = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def is_multicam(content: dict[str, Any]) -> bool:
    """Whether a JSON object holds cameras by frame and name."""
    return bool(content) and all(
        re.fullmatch(r"frame\d+", name) and isinstance(cameras, dict) for name, cameras in content.items()
    )


def read_multicam(content: dict[str, Any], request: Request) -> Read:
    """One of the cameras, in the order of the frames' numbers."""
    request.refuse_stated("MultiCamVideo", "axes", "direction")
    height, width = request.both_sides("MultiCamVideo")
    frames = sorted(content, key=lambda name: int(name.removeprefix("frame")))
    names = sorted(set.intersection(*(set(content[frame]) for frame in frames)))
    if request.camera not in names:
        got = "nothing" if request.camera is None else repr(request.camera)
        raise ValueError(f"camera must be one of {', '.join(names)}, got {got}.")
    rows = np.stack([_rows(frame, content[frame][request.camera]) for frame in frames])
    matrices = np.tile(np.eye(4), (len(rows), 1, 1))
    axes = np.stack((rows[:, 1], -rows[:, 2], rows[:, 0]), axis=-1)  # columns: right, down, forward
    matrices[:, :3, :3] = _WORLD @ axes
    matrices[:, :3, 3] = rows[:, 3] @ _WORLD.T / 100
    check_rigid("cameras", matrices)
    return Read(matrices, request.lenses(len(rows), height, width), height, width)


def _rows(frame: str, text: Any) -> np.ndarray:
    """The four rows of a matrix, without their last column."""
    groups = re.findall(r"\[([^\[\]]*)\]", text) if isinstance(text, str) else []
    try:
        rows = [[float(word) for word in group.split()[:3]] for group in groups]
        return np.array(rows, dtype=np.float64).reshape(4, 3)
    except ValueError:
        raise ValueError(f"{frame} must hold four rows of numbers in brackets, got {text!r}.") from None
