"""A camera path as a picture: its cameras from above, from the side, from behind and in space."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diff4splat.cameras import Cameras
from diff4splat.files import atomic_path
from diff4splat.pictures.path_geometry import PATH_VIEWS, path_geometry, round_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_path"]

_SUFFIXES = (".png", ".svg", ".pdf")


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
    drawn = path_geometry(cameras, focus_depth)
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "drawing a path needs matplotlib: pip install 'diff4splat[plot]'", name="matplotlib"
        ) from error

    figure = Figure(figsize=(10, 10), layout="constrained")
    grid = figure.subplots(2, 2).ravel()
    colors = colormaps["viridis"](np.linspace(0, 0.92, max(len(drawn.positions), 2)))
    for axis, (name, (right, up, right_name, up_name)) in zip(grid, PATH_VIEWS.items(), strict=True):
        plane = np.stack((right, up), axis=-1)
        pyramids = {index: pyramid @ plane for index, pyramid in drawn.pyramids.items()}
        _draw_cameras(axis, drawn.positions @ plane, pyramids, colors)
        if drawn.drawn_focus is not None:
            axis.plot(
                *(drawn.drawn_focus @ plane), "*", color="tab:orange", ms=13, zorder=6, label="looks at"
            )
        _number(axis, {i: point @ plane for i, point in drawn.labels.items()}, drawn.span)
        _frame(axis, drawn.reach @ plane, drawn.span)
        if not drawn.at_one_place:
            _draw_scale(axis)
        axis.set_title(name)
        axis.set(xlabel=right_name and f"{right_name} →", ylabel=up_name and f"{up_name} →")
    grid[0].legend(loc="best", fontsize=9, framealpha=0.9)
    figure.suptitle((drawn.words if title is None else title) + drawn.beyond_words)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=110)


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
    length = round_length(side)
    x, y = left + 0.035 * side, low + 0.035 * (high - low)
    axis.plot([x, x + length], [y, y], "-", color="black", lw=3, solid_capstyle="butt")
    words = f"{length:g} {'unit' if length == 1 else 'units'}"
    axis.annotate(words, (x, y), (0, 4), textcoords="offset points", fontsize=9)
