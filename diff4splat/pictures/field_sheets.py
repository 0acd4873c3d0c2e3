"""A moving scene on one sheet: times from left to right, views from top to bottom."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets import depth_limits
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pictures.depth_scale import depth_bar, depth_map
from diff4splat.pictures.sheets import contact_sheet, stack_pictures, text_size_for
from diff4splat.pictures.words import line_height
from diff4splat.rendering import render_field

__all__ = ["field_sheet"]

_SEEN = 0.5  # pixels covered less have no depth


def field_sheet(
    field: DeformableGaussianField,
    views: Mapping[str, Cameras],
    times: Float[Tensor, " time"] | Sequence[float],
    *,
    depth: bool = False,
    title: str = "",
    unit: str = "units",
    background: Float[Tensor, "rgb=3"] | None = None,
    gap: int = 4,
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 sheet_height sheet_width"]:
    """A contact sheet of a field: one row per view, one column per time.

    Args:
        field: One scene without batch axes.
        views: Cameras by the words that stand beside their row: one camera per time, or one that stands
            still; all for images of one size.
        times: Times of the columns, in [0, 1].
        depth: Add a row with the depth of the first view, and its scale below it: one scale for all times.
        title: Line above everything.
        unit: What the numbers of the depth scale count.
        background: RGB behind the scene, in [0, 1]; black when omitted.
        gap: Pixels between pictures and around them.
        text_size: Size of the letters, pixels; fitting to the pictures when omitted.

    Returns:
        The sheet that `contact_sheet` makes, on the device of the field; below it the depth scale.

    Raises:
        ValueError: If there is no view or no time, the cameras have batch axes, another number than the
            times, or different sizes, the field has batch axes, or a time is outside [0, 1].
    """
    moments = [float(time) for time in times]
    paths = {name: _one_per_time(name, cameras, len(moments)) for name, cameras in views.items()}
    if not paths or not moments:
        raise ValueError(f"there must be a view and a time, got {len(paths)} views, {len(moments)} times.")
    if len({(path.height, path.width) for path in paths.values()}) > 1:
        sizes = ", ".join(f"{path.height} x {path.width}" for path in paths.values())
        raise ValueError(f"all views must have images of one size, got {sizes}.")
    if len(field.batch_shape) > 0:
        raise ValueError(
            f"field must be one scene without batch axes, got batch axes {list(field.batch_shape)}."
        )
    field = field.detach()
    size, names = text_size_for(*_size(paths)) if text_size is None else text_size, list(paths)
    rows: list[list[Tensor | None]] = []
    with torch.no_grad():
        for path in paths.values():
            fitted = path.to(device=field.device, dtype=field.dtype)
            film = render_field(field, fitted, moments, background=background)
            rows.append(list(film.color.clamp(0, 1)))
            if depth and len(rows) == 1:
                maps, known = film.depth[:, 0], film.alpha[:, 0] > _SEEN
    words = [f"time {moment:.2f}" for moment in moments]
    if not depth:
        return contact_sheet(
            rows, row_labels=names, column_labels=words, title=title, gap=gap, text_size=size
        )
    near, far = depth_limits(maps, mask=known)
    rows.append(list(depth_map(maps, near=None if near == far else near, far=far, mask=known)))
    names.append("depth")
    sheet = contact_sheet(rows, row_labels=names, column_labels=words, title=title, gap=gap, text_size=size)
    left = 2 * gap + line_height(size)
    shown = maps[known]
    bar = depth_bar(
        near,
        far,
        width=sheet.shape[2] - left - gap,
        unit=unit,
        text_size=size,
        unknown=not bool(known.all()),
        below=bool((shown < near).any()),
        above=bool((shown > far).any()),
        empty=not bool(known.any()),
    ).to(sheet)
    return stack_pictures([sheet, stack_pictures([sheet.new_ones(3, bar.shape[1], left), bar], across=True)])


def _one_per_time(name: str, cameras: Cameras, num_times: int) -> Cameras:
    if len(cameras.batch_shape) > 0:
        raise ValueError(
            f"view {name!r} must be one path without batch axes, got batch axes {list(cameras.batch_shape)}."
        )
    if cameras.num_frames == 1:
        return cameras.select([0] * num_times)
    if cameras.num_frames != num_times:
        raise ValueError(
            f"view {name!r} must have one camera, or one per time ({num_times}), got {cameras.num_frames}."
        )
    return cameras


def _size(paths: Mapping[str, Cameras]) -> tuple[int, int]:
    first = next(iter(paths.values()))
    return first.height, first.width
