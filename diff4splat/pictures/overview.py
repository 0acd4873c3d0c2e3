"""All there is to see of a scene on one page: what a person looks at first."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pictures.contact_sheet import stack_pictures
from diff4splat.pictures.field_sheet import field_sheet
from diff4splat.pictures.flow_picture import flow_picture
from diff4splat.pictures.motion_trails import motion_trails, word_strip
from diff4splat.pictures.path_picture import PathView, path_picture
from diff4splat.pictures.words import line_height

__all__ = ["overview"]

_GAP = 4
_PATH_VIEWS: tuple[PathView, ...] = ("in space", "from above", "from the side")
_PANEL_HEIGHTS = (200, 430)  # of the pictures of the lower row, at a width of 1600


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
    scale = width / 1600
    size = max(round(17 * scale), 8)
    paths = {"camera path": cameras, **(views or {})}
    parts = [_heading(field, title, width, size)]
    parts.append(_sheet(field, paths, width, size, unit, background))
    parts.append(_panels(field, cameras, width, size))
    return stack_pictures([part.float().cpu() for part in parts], gap=round(6 * scale))


def _heading(field: DeformableGaussianField, title: str, width: int, size: int) -> Tensor:
    moments = f"{field.num_times} times" if field.num_times > 1 else "one time"
    words = f"{field.num_gaussians:,} Gaussians, their motion at {moments}"
    lines = [word_strip(title, width, text_size=round(1.5 * size))] if title else []
    lines.append(word_strip(words, width, text_size=size)[:, (size // 2) * bool(title) :])
    return stack_pictures(lines)


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
    low, high = (round(limit * scale) for limit in _PANEL_HEIGHTS)
    gap = round(16 * scale)
    height = min(max(round((width - 2 * gap) / 3.2 * shape), low), high)
    across = min(max(round(height / shape), 1), round(width * 0.38))
    height = max(round(across * shape), 1)
    left = width - 2 * (across + gap)
    count = min(max(round(left / max(height, low)), 1), len(_PATH_VIEWS))
    each = (left - (count - 1) * _GAP) // count
    camera = cameras.select([0]).resize(height, across)
    drawn = [
        path_picture(cameras, height=max(height, low), width=each, view=view, text_size=size)
        for view in _PATH_VIEWS[:count]
    ]
    panels = {
        "motion: trails, at the end": motion_trails(field, camera, text_size=size),
        "motion: start to end": flow_picture(field, camera, text_size=size),
        f"camera path, {cameras.num_frames} cameras": stack_pictures(drawn, across=True, gap=_GAP),
    }
    named = [
        stack_pictures([word_strip(name, picture.shape[2], text_size=size)[:, : -(size // 3)], picture])
        for name, picture in panels.items()
    ]
    return stack_pictures(named, across=True, gap=gap)
