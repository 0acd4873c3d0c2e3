"""A camera path as a small drawing beside other pictures."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.pictures.lines import draw_line
from diff4splat.pictures.path_geometry import PATH_VIEWS, PathGeometry, path_geometry, round_length
from diff4splat.pictures.sheets import stack_pictures, text_size_for
from diff4splat.pictures.trails import time_bar, time_to_color
from diff4splat.pictures.words import draw_words, fit_words, line_height, word_width

__all__ = ["PathView", "path_picture"]

PathView = Literal["from above", "from the side", "from behind", "in space"]

_PAPER = 0.96
_GREY, _BLACK = (0.6, 0.6, 0.6), (0.0, 0.0, 0.0)
_STAR = (0.1, 0.45, 0.75)


def path_picture(
    cameras: Cameras,
    *,
    height: int,
    width: int,
    view: PathView = "in space",
    focus_depth: float | None = None,
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 picture_height width"]:
    """One view of a camera path, in the coordinates of its first camera.

    Pyramids show where some of the cameras look, coloured by time as motion trails are, with a thicker line
    at the upper edge of the image; a ring is the start, a cross the point that the path looks at, where that
    is near enough. The bar tells the scale. `draw_path` draws four views with axes, for print.

    Args:
        cameras: One path without batch axes, in any world frame.
        height: Rows of the drawing, at least 16.
        width: Columns of the drawing, at least 16.
        view: Where it is seen from.
        focus_depth: Depth of the scene in the first camera, scene units; see `describe_path`.
        text_size: Size of the letters, pixels; fitting to the drawing when omitted.

    Returns:
        The drawing above the scale of time, on the CPU.

    Raises:
        ValueError: If the path cannot be described, `view` is unknown, or there are too few pixels.
    """
    if view not in PATH_VIEWS:
        raise ValueError(f"view must be one of {', '.join(PATH_VIEWS)}, got {view!r}.")
    for name, value in (("height", height), ("width", width)):
        if value < 16:
            raise ValueError(f"{name} must be at least 16 pixels, got {value}.")
    drawn = path_geometry(cameras, focus_depth)
    size = text_size_for(height, width) if text_size is None else text_size
    line = line_height(size) + size // 2
    picture = torch.full((3, height, width), _PAPER)
    right, up = PATH_VIEWS[view][:2]
    # free of words: one line above, one below
    pixels_per_unit, place = _fit(drawn.reach @ np.stack((right, -up), axis=-1), height, width, line)

    def to_pixels(points: np.ndarray) -> Tensor:
        return torch.from_numpy(place(points @ np.stack((right, -up), axis=-1)))

    _draw(picture, drawn, to_pixels)
    margin = size // 2
    words = fit_words(view, size, width - 2 * margin)
    draw_words(picture, words, left=margin, top=margin // 2, size=size, color=(0.35, 0.35, 0.35))
    if drawn.at_one_place:
        words = fit_words("all cameras at one place", size, width - 2 * margin)
        draw_words(picture, words, left=margin, top=height - line, size=size)
    else:
        _draw_scale(picture, width / pixels_per_unit, pixels_per_unit, size)
    return stack_pictures([picture, time_bar(width, text_size=size)])


def _fit(
    points: np.ndarray, height: int, width: int, line: int
) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    """Pixels per scene unit, and the map from the plane of the drawing to pixels."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.maximum([width * 0.88, height - 2.2 * line], 4)
    pixels_per_unit = float((room / np.maximum(high - low, 1e-12)).min())
    middle = np.array([width / 2, height / 2])

    def place(flat: np.ndarray) -> np.ndarray:
        return (flat - (low + high) / 2) * pixels_per_unit + middle

    return pixels_per_unit, place


def _draw(picture: Tensor, drawn: PathGeometry, to_pixels: Callable[[np.ndarray], Tensor]) -> None:
    thick = max(1.0, min(picture.shape[1:]) / 250)
    times = torch.linspace(0, 1, max(len(drawn.positions), 2))[: len(drawn.positions)]
    colors = time_to_color(times)
    draw_line(picture, to_pixels(drawn.positions), color=_GREY, width=thick)
    if drawn.drawn_focus is not None:
        star = to_pixels(drawn.drawn_focus[None])[0]
        for step in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)):
            arm = star.new_tensor(step) * 6 * thick
            draw_line(picture, torch.stack((star - arm, star + arm)), color=_STAR, width=1.3 * thick)
    for index in sorted(drawn.pyramids, reverse=True):
        centre, *corners = to_pixels(drawn.pyramids[index])
        color = colors[index : index + 1]
        for corner in corners:
            draw_line(picture, torch.stack((centre, corner)), color=color, width=thick)
        draw_line(picture, torch.stack([*corners, corners[0]]), color=color, width=1.2 * thick)
        draw_line(picture, torch.stack(corners[:2]), color=color, width=2.6 * thick)
    start = to_pixels(drawn.positions[:1])
    draw_line(picture, start, color=colors[:1], width=7 * thick)
    draw_line(picture, start, color=(1.0, 1.0, 1.0), width=4 * thick)


def _draw_scale(picture: Tensor, side: float, pixels_per_unit: float, size: int) -> None:
    """A bar of a round length in the lower left corner, and its length beside it."""
    length, margin = round_length(side), size // 2
    bar = round(length * pixels_per_unit)
    bottom = picture.shape[1] - margin - line_height(size) // 2
    picture[:, bottom - 1 : bottom + 2, margin : margin + bar] = 0.0
    words = f"{length:g} {'unit' if length == 1 else 'units'}"
    if margin + bar + word_width(words, size) + size < picture.shape[2]:
        top = bottom - line_height(size) // 2
        draw_words(picture, words, left=margin + bar + margin, top=top, size=size, color=_BLACK)
