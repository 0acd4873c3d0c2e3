"""Depth between the centres of pixels, where these lie on one surface."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["pixel_corners", "surface_depth"]


def pixel_corners(
    pixels: Float[Tensor, "point xy=2"], height: int, width: int
) -> tuple[Int[Tensor, "point corner=4"], Float[Tensor, "point corner=4"], Bool[Tensor, " point"]]:
    """The four pixels around each place of an image, and how much each counts.

    Args:
        pixels: Finite coordinates (x, y), centres at +0.5.
        height: Image rows.
        width: Image columns.

    Returns:
        Indices into the flattened image, moved to its edge where they would be outside; bilinear weights,
        which sum to 1; and whether all four are inside.
    """
    place = pixels - 0.5
    low = place.floor()
    share_x, share_y = (place - low).unbind(-1)
    column, row = low.long().unbind(-1)
    inside = (column >= 0) & (column + 1 < width) & (row >= 0) & (row + 1 < height)
    columns = torch.stack((column, column + 1, column, column + 1), -1).clamp(0, width - 1)
    rows = torch.stack((row, row, row + 1, row + 1), -1).clamp(0, height - 1)
    weights = torch.stack(
        ((1 - share_x) * (1 - share_y), share_x * (1 - share_y), (1 - share_x) * share_y, share_x * share_y),
        -1,
    )
    return rows * width + columns, weights, inside


def surface_depth(
    depth: Float[Tensor, "height width"],
    known: Bool[Tensor, "height width"],
    pixels: Float[Tensor, "point xy=2"],
    *,
    agree: float = 0.03,
    edge: float = 0.03,
) -> tuple[Float[Tensor, " point"], Bool[Tensor, " point"]]:
    """Depth at places between pixels, without mixing what is in front with what is behind.

    Where the four pixels around a place are within `agree` of each other, $1/z$ is interpolated bilinearly,
    which is exact on planes; where they are within `edge`, the depth of the nearest pixel is taken; beyond,
    there is none.

    Args:
        depth: z-depth, scene units.
        known: Where it means something.
        pixels: Finite coordinates (x, y); outside of the image those at its edge count.
        agree: Largest over smallest of the four, minus 1, up to which they are interpolated.
        edge: The same up to which the nearest one is taken; no less than `agree`.

    Returns:
        Depth in float64, and where it means something: all four are known, finite, > 0 and close enough.
    """
    index, weights, _ = pixel_corners(pixels, *depth.shape)
    values = depth.flatten()[index].double()
    good = known.flatten()[index].all(-1) & torch.isfinite(values).all(-1)
    least, most = values.amin(-1), values.amax(-1)
    good &= (least > 0) & (most <= (1 + max(agree, edge)) * least)
    between = 1 / (weights / values).sum(-1)
    nearest = values.gather(-1, weights.argmax(-1, keepdim=True))[:, 0]
    return torch.where(most <= (1 + agree) * least, between, nearest), good
