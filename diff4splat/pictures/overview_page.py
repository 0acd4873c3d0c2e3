"""All there is to see of a scene on one page: what a person looks at first."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pictures.field_sheets import field_sheet
from diff4splat.pictures.flow import flow_picture
from diff4splat.pictures.path_drawing import PathView, path_picture
from diff4splat.pictures.path_geometry import PATH_VIEWS, path_geometry
from diff4splat.pictures.sheets import stack_pictures
from diff4splat.pictures.trails import motion_trails
from diff4splat.pictures.words import draw_words, fit_words, line_height

__all__ = ["overview", "overview_sheet"]

_GAP = 4
_GREY = (0.35, 0.35, 0.35)
_FLAT_VIEWS: tuple[PathView, ...] = ("from above", "from the side", "from behind")


def overview(
    field: DeformableGaussianField,
    cameras: Cameras,
    *,
    views: Mapping[str, Cameras] | None = None,
    title: str = "",
    unit: str = "units",
    width: int = 1600,
    background: Float[Tensor, "rgb=3"] | None = None,
) -> Float[Tensor, "rgb=3 height width"]:
    """A scene on one page: its video, other views and depth over time; its motion; and the camera path.

    Above, a sheet with times from left to right: the camera path, one row per other view, and the depth along
    the path with its scale. Below, seen from the first camera: the trails of what moves, over the scene at
    the end; how far everything moves from the first time to the last, as colours; and the path itself.

    Args:
        field: One scene without batch axes.
        cameras: The path, two or more cameras, spread evenly over the clip.
        views: Other paths, as many cameras each, by the words that stand beside them.
        title: Line above everything, in larger letters.
        unit: What lengths and depths count.
        width: Columns of the page, at least 400.
        background: RGB behind the scene, in [0, 1]; black when omitted.

    Returns:
        The page, on the CPU.

    Raises:
        ValueError: If there are batch axes, fewer than two cameras, another number of them in a view, or
            `width` is too small.
    """
    sheet = overview_sheet(
        field, cameras, views=views, title=title, unit=unit, width=width, background=background
    )
    size, margin = _sizes(width)
    panels = _panels(field, cameras, width - 2 * margin, size)
    below = torch.nn.functional.pad(panels.float().cpu(), (margin, margin, 0, margin), value=1.0)
    return stack_pictures([sheet, below])


def overview_sheet(
    field: DeformableGaussianField,
    cameras: Cameras,
    *,
    views: Mapping[str, Cameras] | None = None,
    title: str = "",
    unit: str = "units",
    width: int = 1600,
    background: Float[Tensor, "rgb=3"] | None = None,
) -> Float[Tensor, "rgb=3 height width"]:
    """The upper part of `overview`: a scene over time, along its path and others, and its depth.

    The columns are frames of the path, spread evenly from the first to the last; the wider the frames, the
    fewer there are.

    Args:
        field: One scene without batch axes.
        cameras: The path, two or more cameras, spread evenly over the clip.
        views: Other paths, as many cameras each, by the words that stand beside them.
        title: Line above everything, in larger letters.
        unit: What depths count.
        width: Columns of the page, at least 400.
        background: RGB behind the scene, in [0, 1]; black when omitted.

    Returns:
        The page, on the CPU.

    Raises:
        ValueError: As for `overview`.
    """
    if width < 400:
        raise ValueError(f"width must be at least 400 pixels, got {width}.")
    if cameras.num_frames < 2 or len(cameras.batch_shape) > 0:
        shape = [*cameras.batch_shape, cameras.num_frames]
        raise ValueError(f"cameras must be one path of two or more cameras, got {shape}.")
    for name, view in (views or {}).items():
        if view.num_frames != cameras.num_frames:
            raise ValueError(
                f"view {name!r} must have as many cameras as the path ({cameras.num_frames}), "
                f"got {view.num_frames}."
            )
    size, margin = _sizes(width)
    inside = width - 2 * margin
    paths = {"camera path": cameras, **(views or {})}
    parts = [
        _heading(field, title, inside, size),
        _sheet(field, paths, inside, size, unit, background),
    ]
    page = stack_pictures([part.float().cpu() for part in parts], gap=margin // 2)
    return torch.nn.functional.pad(page, (margin, margin, margin, margin // 2), value=1.0)


def _sizes(width: int) -> tuple[int, int]:
    """Size of the letters and margin of a page."""
    return max(round(17 * width / 1600), 8), round(14 * width / 1600)


def _heading(field: DeformableGaussianField, title: str, width: int, size: int) -> Tensor:
    moments = f"{field.num_times} times" if field.num_times > 1 else "one time"
    words = f"{field.num_gaussians:,} Gaussians, their motion at {moments}"
    large = round(1.5 * size)
    heading = torch.ones(3, line_height(large) * bool(title) + line_height(size) + size // 2, width)
    draw_words(heading, fit_words(title, large, width), left=0, top=0, size=large)
    top = heading.shape[1] - line_height(size) - size // 2
    draw_words(heading, fit_words(words, size, width), left=0, top=top, size=size, color=_GREY)
    return heading


def _sheet(
    field: DeformableGaussianField,
    paths: Mapping[str, Cameras],
    width: int,
    size: int,
    unit: str,
    background: Tensor | None,
) -> Tensor:
    """Views and depth at times that are frames of the path, spread evenly from the first to the last."""
    first = next(iter(paths.values()))
    shape = first.height / first.width
    columns = min(max(round(6 * math.sqrt(shape)), 4), 9, first.num_frames)
    across = (width - 2 * _GAP - line_height(size) - columns * _GAP) // columns
    height = max(round(across * shape), 1)
    frames = [round(float(i)) for i in torch.linspace(0, first.num_frames - 1, columns)]
    chosen = {name: path.select(frames).resize(height, across) for name, path in paths.items()}
    times = torch.linspace(0, 1, first.num_frames)[frames]
    sheet = field_sheet(
        field, chosen, times, depth=True, unit=unit, background=background, gap=_GAP, text_size=size
    )
    page = sheet.new_ones(3, sheet.shape[1], width)
    page[:, :, : sheet.shape[2]] = sheet
    return page


def _panels(field: DeformableGaussianField, cameras: Cameras, width: int, size: int) -> Tensor:
    """Motion as trails and as colours, and the camera path, side by side below their names."""
    scale, shape = width / 1600, cameras.height / cameras.width
    gap = round(16 * scale)
    across = max(round(min(430 * scale / math.sqrt(shape), 0.31 * width)), 1)
    height = max(round(across * shape), 1)
    left = width - 2 * (across + gap)
    drawn_height = min(max(height, round(240 * scale)), round(430 * scale))
    camera = cameras.select([0]).resize(height, across)
    flow = flow_picture(field, camera, text_size=size)
    _frame(flow[:, :height])
    panels = {
        "motion: trails of Gaussians, at the end": motion_trails(field, camera, text_size=size),
        "motion: from start to end, as colours": flow,
        f"camera path: {cameras.num_frames} cameras": _paths(cameras, drawn_height, left, size),
    }
    named = [_named(name, picture, size) for name, picture in panels.items()]
    return stack_pictures(named, across=True, gap=gap)


def _paths(cameras: Cameras, height: int, width: int, size: int) -> Tensor:
    """The path in space, and as many of the views along an axis as there is room for, the fullest first."""
    drawn = path_geometry(cameras)
    room = {
        name: float(np.prod(np.ptp(drawn.reach @ np.stack(PATH_VIEWS[name][:2], axis=-1), axis=0)))
        for name in _FLAT_VIEWS
    }
    views: list[PathView] = ["in space", *sorted(_FLAT_VIEWS, key=lambda name: -room[name])]
    count = min(max(round(width / (0.85 * height)), 1), 3)
    each = (width - (count - 1) * _GAP) // count
    pictures = [
        path_picture(cameras, height=height, width=each, view=view, text_size=size) for view in views[:count]
    ]
    return stack_pictures(pictures, across=True, gap=_GAP)


def _named(name: str, picture: Tensor, size: int) -> Tensor:
    """A picture below its name."""
    heading = torch.ones(3, line_height(size) + size // 4, picture.shape[2])
    draw_words(heading, fit_words(name, size, picture.shape[2]), left=0, top=0, size=size)
    return stack_pictures([heading, picture])


def _frame(picture: Tensor) -> None:
    """A thin line along the border, in place: it tells white that means something from the page."""
    for edge in (picture[:, 0], picture[:, -1], picture[..., 0], picture[..., -1]):
        edge.fill_(0.75)
