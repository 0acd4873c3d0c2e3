"""A camera path as a picture: its cameras from above, from the side, from behind and in space."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diff4splat.cameras import Cameras, describe_path
from diff4splat.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_path"]

_SUFFIXES = (".png", ".svg", ".pdf")
_MAX_DRAWN = 9  # cameras as pyramids; the path itself is drawn through all of them
_FAR = 1.5  # times the size of the path: a focus further away would leave too little room for the path
# Directions that point right and up in each view, in the axes of the first camera (right, down, forward).
_ACROSS = np.array([1.0, 0.0, 0.0])
_UP, _AHEAD = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_TURN, _TILT = math.radians(35), math.radians(28)
_SPACE_RIGHT = math.cos(_TURN) * _ACROSS + math.sin(_TURN) * _AHEAD
_SPACE_BACK = -math.sin(_TURN) * _ACROSS + math.cos(_TURN) * _AHEAD
_VIEWS = {
    "from above": (_ACROSS, _AHEAD, "right", "forward"),
    "from the side": (_AHEAD, _UP, "forward", "up"),
    "from behind": (_ACROSS, _UP, "right", "up"),
    "in space": (_SPACE_RIGHT, math.cos(_TILT) * _UP + math.sin(_TILT) * _SPACE_BACK, "", ""),
}


def draw_path(
    cameras: Cameras, path: str | Path, *, focus_depth: float | None = None, title: str | None = None
) -> None:
    """Draw a camera path in the coordinates of its first camera: four views at one scale.

    Pyramids show where some of the cameras look, coloured from start to end and numbered by frame; a star is
    the point that the path looks at. The bar tells the scale, in scene units.

    Args:
        cameras: One path without batch axes, in any world frame.
        path: Picture to write: .png, .svg or .pdf; its folder must exist.
        focus_depth: Depth of the scene in the first camera, scene units; see `describe_path`.
        title: Line above the picture; the length of the path when omitted.

    Raises:
        ValueError: If the suffix is unknown, or the path cannot be described.
        ModuleNotFoundError: If matplotlib is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"path must end in {', '.join(_SUFFIXES)}, got {path.name!r}.")
    description = describe_path(cameras, focus_depth)
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "drawing a path needs matplotlib: pip install 'diff4splat[plot]'", name="matplotlib"
        ) from error

    matrices = cameras.relative_to().camera_to_world.detach().cpu().double().numpy()
    lenses = cameras.intrinsics.detach().cpu().double().numpy()
    reach = matrices[:, :3, 3]
    span = float(np.ptp(reach, axis=0).max())
    focus = None if description.focus is None else np.array(description.focus)
    beyond = focus is not None and np.linalg.norm(reach - focus, axis=-1).min() > _FAR * span > 0
    if focus is not None and not beyond:
        reach = np.concatenate((reach, focus[None]))
        span = float(np.ptp(reach, axis=0).max())
    at_one_place = span == 0
    size, span = (0.5, 1.0) if at_one_place else (0.09 * span, span)
    pyramids = {
        index: _pyramid(matrices[index], lenses[index], cameras, depth=size)
        for index in _drawn_frames(len(matrices))
    }
    # numbers stand at the cameras, or at their images where all cameras are at one place
    labels = {i: p[1:].mean(axis=0) if at_one_place else p[0] for i, p in pyramids.items()}
    reach = np.concatenate([reach, *pyramids.values()])

    figure = Figure(figsize=(10, 10), layout="constrained")
    grid = figure.subplots(2, 2).ravel()
    colors = colormaps["viridis"](np.linspace(0, 0.92, max(len(matrices), 2)))
    for axis, (name, (right, up, right_name, up_name)) in zip(grid, _VIEWS.items(), strict=True):
        plane = np.stack((right, up), axis=-1)
        _draw_cameras(axis, matrices[:, :3, 3] @ plane, {i: p @ plane for i, p in pyramids.items()}, colors)
        if focus is not None and not beyond:
            axis.plot(*(focus @ plane), "*", color="tab:orange", ms=13, zorder=6, label="looks at")
        _number(axis, {i: point @ plane for i, point in labels.items()}, span)
        _frame(axis, reach @ plane, span)
        if not at_one_place:
            _draw_scale(axis)
        axis.set_title(name)
        axis.set(xlabel=right_name and f"{right_name} →", ylabel=up_name and f"{up_name} →")
    grid[0].legend(loc="best", fontsize=9, framealpha=0.9)
    if title is None:
        way = "at one place" if at_one_place else f"along {description.length:.3g} units"
        title = f"{len(matrices)} cameras {way}"
    if focus is not None and beyond:
        title += f", looking at a point {np.linalg.norm(focus):.3g} units away (beyond the picture)"
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=110)


def _drawn_frames(count: int) -> list[int]:
    """Frames to draw a camera for, spread evenly, the first and the last among them."""
    return sorted({round(float(index)) for index in np.linspace(0, count - 1, min(count, _MAX_DRAWN))})


def _pyramid(matrix: np.ndarray, lens: np.ndarray, cameras: Cameras, *, depth: float) -> np.ndarray:
    """Centre and image corners of a camera, [5, 3]: corners in order around the image, the top edge first."""
    corners = np.array([[0, 0], [cameras.width, 0], [cameras.width, cameras.height], [0, cameras.height]])
    pixels = np.concatenate((corners, np.ones((4, 1))), axis=-1)
    rays = np.linalg.solve(lens, pixels.T).T
    rays *= depth / np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.concatenate((np.zeros((1, 3)), rays)) @ matrix[:3, :3].T + matrix[:3, 3]


def _draw_cameras(
    axis: "Axes", positions: np.ndarray, pyramids: dict[int, np.ndarray], colors: np.ndarray
) -> None:
    axis.plot(*positions.T, "-", color="0.65", lw=1.2, zorder=1)
    last = len(positions) - 1
    for index, pyramid in pyramids.items():
        color = colors[index]
        centre, corners = pyramid[0], pyramid[1:]
        axis.fill(*corners.T, color=color, alpha=0.25, lw=0, zorder=2)
        axis.plot(*np.concatenate((corners, corners[:1])).T, "-", color=color, lw=1.1, zorder=3)
        for corner in corners:
            axis.plot(*np.stack((centre, corner)).T, "-", color=color, lw=0.8, zorder=3)
        axis.plot(*corners[:2].T, "-", color=color, lw=2.6, zorder=3)  # the upper edge of the image
    axis.plot(
        *positions[0], "o", color="white", mec="black", mew=1.5, ms=11, zorder=4, label="start, frame 0"
    )
    axis.plot(
        *positions[last], "s", color=colors[last], mec="black", ms=6, zorder=5, label=f"end, frame {last}"
    )


def _number(axis: "Axes", points: dict[int, np.ndarray], span: float) -> None:
    """Frame numbers beside points, where they would not lie on each other."""
    placed: list[np.ndarray] = []
    frames = list(points)
    for index in dict.fromkeys([frames[0], frames[-1], *frames]):
        if all(np.linalg.norm(points[index] - other) > 0.06 * span for other in placed):
            placed.append(points[index])
            axis.annotate(
                str(index),
                (float(points[index][0]), float(points[index][1])),
                (-8, -14),
                textcoords="offset points",
                fontsize=8,
                color="0.2",
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            )


def _frame(axis: "Axes", points: np.ndarray, span: float) -> None:
    """Limits around the points, of one scale in both directions and in every view."""
    middle, half = (points.min(axis=0) + points.max(axis=0)) / 2, 0.67 * span
    axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axis.set_aspect("equal")
    axis.grid(visible=True, alpha=0.25)
    axis.tick_params(labelsize=8)


def _draw_scale(axis: "Axes") -> None:
    """A bar of a round length in the lower left corner."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    side = right - left
    magnitude = 10.0 ** math.floor(math.log10(side / 2))
    length = next(step * magnitude for step in (5, 2, 1, 0.5) if step * magnitude <= 0.4 * side)
    x, y = left + 0.035 * side, low + 0.035 * (high - low)
    axis.plot([x, x + length], [y, y], "-", color="black", lw=3, solid_capstyle="butt")
    words = f"{length:g} {'unit' if length == 1 else 'units'}"
    axis.annotate(words, (x, y), (0, 4), textcoords="offset points", fontsize=9)
