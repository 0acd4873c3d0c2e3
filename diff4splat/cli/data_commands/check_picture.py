"""A page to look at: frames, what depth and poses make of them, and where that differs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from diff4splat.data.checking import RecordingCheck

__all__ = ["check_sheet"]

_WIDTH = 320
_MOST_ASPECT = 2.5
_DIFFERENCE = 3.0  # times as bright as it is


def check_sheet(checks: "Sequence[RecordingCheck]", *, title: str = "") -> "Tensor | None":
    """One row for each recording: a frame, it as another camera sees it, that camera's frame, and more.

    Args:
        checks: Recordings that were looked at; those without a view have no row.
        title: Line above everything.

    Returns:
        A picture [3, height, width], sRGB in [0, 1]; None where there is no row. Grey stripes are pixels
        that cannot be compared. One scale of depth below holds for all rows.
    """
    import torch

    from diff4splat.assets import depth_limits
    from diff4splat.pictures import contact_sheet, depth_bar, depth_map, stack_pictures

    views = [(check, check.view) for check in checks if check.view is not None]
    if not views:
        return None
    known = torch.cat([view.depth[view.depth_mask] for _, view in views])
    near, far = depth_limits(known[None]) if len(known) else (1.0, 2.0)
    limits = {} if near == far else {"near": near, "far": far}
    height, width = views[0][1].target.shape[-2:]
    size = (round(_WIDTH * min(max(height / width, 1 / _MOST_ASPECT), _MOST_ASPECT)), _WIDTH)
    rows = []
    for _, view in views:
        difference = (view.warped - view.target).abs().mean(0).mul(_DIFFERENCE).clamp(0, 1)
        pictures = (
            view.source,
            _where(view.seen, view.warped),
            view.target,
            _where(view.seen, difference.expand(3, -1, -1)),
            depth_map(view.depth, mask=view.depth_mask, **limits),
        )
        rows.append([_fitted(picture, size) for picture in pictures])
    labels = [
        "a frame",
        "seen from the other",
        "the other frame",
        f"difference x{_DIFFERENCE:g}",
        "its depth",
    ]
    names = [f"{view.numbers[0]} to {view.numbers[1]}, {check.name}" for check, view in views]
    sheet = contact_sheet(rows, row_labels=names, column_labels=labels, title=title)
    bar = depth_bar(near, far, width=sheet.shape[-1], unit=views[0][1].unit, unknown=True)
    return stack_pictures([sheet, bar.to(sheet)])


def _where(seen: "Tensor", picture: "Tensor") -> "Tensor":
    """A picture with stripes where there is nothing to see."""
    import torch

    from diff4splat.pictures.depth_scale import stripes

    return torch.where(seen, picture, stripes(*seen.shape).to(picture))


def _fitted(picture: "Tensor", size: tuple[int, int]) -> "Tensor":
    """A picture made as large as fits, in the middle of white."""
    import torch.nn.functional as F

    height, width = picture.shape[-2:]
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(scale * height)), max(1, round(scale * width)))
    small = F.interpolate(picture[None].float(), inner, mode="bilinear", antialias=True)[0].clamp(0, 1)
    page = small.new_ones(3, *size)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    page[:, top : top + inner[0], left : left + inner[1]] = small
    return page
