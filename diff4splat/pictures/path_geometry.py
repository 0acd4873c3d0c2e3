"""Where the cameras of a path stand and look in a drawing of it."""

import math
from dataclasses import dataclass

import numpy as np

from diff4splat.cameras import Cameras, PathDescription, describe_path

__all__ = ["PATH_VIEWS", "PathGeometry", "path_geometry", "round_length"]

MAX_DRAWN = 9
"""Most cameras that are drawn as pyramids; the path itself goes through all of them."""

_FAR = 1.5  # times the size of the path: a focus further away would leave too little room for the path
# Directions that point right and up in each view, in the axes of the first camera (right, down, forward).
_ACROSS = np.array([1.0, 0.0, 0.0])
_UP, _AHEAD = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_TURN, _TILT = math.radians(35), math.radians(28)
_SPACE_RIGHT = math.cos(_TURN) * _ACROSS + math.sin(_TURN) * _AHEAD
_SPACE_BACK = -math.sin(_TURN) * _ACROSS + math.cos(_TURN) * _AHEAD

PATH_VIEWS: dict[str, tuple[np.ndarray, np.ndarray, str, str]] = {
    "from above": (_ACROSS, _AHEAD, "right", "forward"),
    "from the side": (_AHEAD, _UP, "forward", "up"),
    "from behind": (_ACROSS, _UP, "right", "up"),
    "in space": (_SPACE_RIGHT, math.cos(_TILT) * _UP + math.sin(_TILT) * _SPACE_BACK, "", ""),
}
"""Views of a path: directions to the right and up in the drawing, and what the axes are called."""


@dataclass(frozen=True)
class PathGeometry:
    """A path in the coordinates of its first camera, as it is drawn.

    Args:
        description: The path in numbers and words.
        positions: Camera centres, `[frame, 3]`.
        pyramids: Centre and image corners of the cameras that are drawn, `[5, 3]` by frame.
        labels: Where their numbers stand, by frame.
        focus: Point that the path looks at, where there is one.
        beyond: Whether that point is too far away to be drawn.
        span: Longest side of the box around everything drawn but the pyramids, scene units; 1 at one place.
        at_one_place: Whether the camera does not move.
    """

    description: PathDescription
    positions: np.ndarray
    pyramids: dict[int, np.ndarray]
    labels: dict[int, np.ndarray]
    focus: np.ndarray | None
    beyond: bool
    span: float
    at_one_place: bool

    @property
    def drawn_focus(self) -> np.ndarray | None:
        """The point that is looked at, where it is drawn."""
        return None if self.beyond else self.focus

    @property
    def reach(self) -> np.ndarray:
        """All points of the drawing, `[point, 3]`."""
        focus = [] if self.drawn_focus is None else [self.drawn_focus[None]]
        return np.concatenate([self.positions, *focus, *self.pyramids.values()])

    @property
    def words(self) -> str:
        """How many cameras there are, and how far they go."""
        way = "at one place" if self.at_one_place else f"along {self.description.length:.3g} units"
        return f"{len(self.positions)} cameras {way}"

    @property
    def beyond_words(self) -> str:
        """How far away the point is that the path looks at, where it is not drawn."""
        if self.focus is None or not self.beyond:
            return ""
        return f", looking at a point {np.linalg.norm(self.focus):.3g} units away (beyond the picture)"


def path_geometry(cameras: Cameras, focus_depth: float | None = None) -> PathGeometry:
    """Places of everything in the drawing of a path.

    Args:
        cameras: One path without batch axes, in any world frame.
        focus_depth: Depth of the scene in the first camera, scene units; see `describe_path`.

    Returns:
        The drawing in three dimensions.

    Raises:
        ValueError: If the path cannot be described.
    """
    description = describe_path(cameras, focus_depth)
    matrices = cameras.relative_to().camera_to_world.detach().cpu().double().numpy()
    lenses = cameras.intrinsics.detach().cpu().double().numpy()
    positions = matrices[:, :3, 3]
    span = float(np.ptp(positions, axis=0).max())
    focus = None if description.focus is None else np.array(description.focus)
    beyond = focus is not None and bool(np.linalg.norm(positions - focus, axis=-1).min() > _FAR * span > 0)
    if focus is not None and not beyond:
        span = float(np.ptp(np.concatenate((positions, focus[None])), axis=0).max())
    at_one_place = span == 0
    size, span = (0.5, 1.0) if at_one_place else (0.09 * span, span)
    pyramids = {
        index: _pyramid(matrices[index], lenses[index], cameras, depth=size)
        for index in _drawn_frames(len(matrices))
    }
    # numbers stand at the cameras, or at their images where all cameras are at one place
    labels = {i: p[1:].mean(axis=0) if at_one_place else p[0] for i, p in pyramids.items()}
    return PathGeometry(description, positions, pyramids, labels, focus, beyond, span, at_one_place)


def round_length(side: float) -> float:
    """A round length for the bar that tells the scale of a drawing.

    Args:
        side: Width of the drawing, scene units.

    Returns:
        1, 2 or 5 times a power of ten, at most 40 % of the side.
    """
    magnitude = 10.0 ** math.floor(math.log10(side / 2))
    return next(step * magnitude for step in (5, 2, 1, 0.5) if step * magnitude <= 0.4 * side)


def _drawn_frames(count: int) -> list[int]:
    """Frames to draw a camera for, spread evenly, the first and the last among them."""
    return sorted({round(float(index)) for index in np.linspace(0, count - 1, min(count, MAX_DRAWN))})


def _pyramid(matrix: np.ndarray, lens: np.ndarray, cameras: Cameras, *, depth: float) -> np.ndarray:
    """Centre and image corners of a camera, [5, 3]: corners in order around the image, the top edge first."""
    corners = np.array([[0, 0], [cameras.width, 0], [cameras.width, cameras.height], [0, cameras.height]])
    pixels = np.concatenate((corners, np.ones((4, 1))), axis=-1)
    rays = np.linalg.solve(lens, pixels.T).T
    rays *= depth / np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.concatenate((np.zeros((1, 3)), rays)) @ matrix[:3, :3].T + matrix[:3, 3]
