"""Maps of one size brought to the pixels of frames of another, of which they may show a part."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["DepthResampling", "FramePlacement", "resample_depth", "resample_nearest"]

DepthResampling = Literal["nearest", "bilinear"]
"""Depth of the nearest pixel, or between four where they are known and alike."""

_ALIKE = 0.03  # of depth on one surface


class FramePlacement(NamedTuple):
    """Where the pixels of frames lie in maps.

    Args:
        height: Rows of the frames.
        width: Columns of the frames.
        full_height: Rows that maps would have if they showed whole frames.
        full_width: Columns of the same.
    """

    height: int
    width: int
    full_height: float
    full_width: float

    def rows(self) -> np.ndarray:
        """Place of the centre of each row of the frames, in rows of maps, the first of which is at 0.5."""
        return (np.arange(self.height) + 0.5) * (self.full_height / self.height)

    def columns(self) -> np.ndarray:
        """The same of columns."""
        return (np.arange(self.width) + 0.5) * (self.full_width / self.width)


def resample_nearest(
    maps: Tensor, placement: FramePlacement
) -> tuple[Tensor, Bool[Tensor, "frame_height frame_width"]]:
    """Values of the nearest pixel; those of the edge where maps do not reach.

    Args:
        maps: Any type, `[frame, height, width]`.
        placement: Where the pixels of frames lie.

    Returns:
        Maps of the size of the frames, and where maps reach.
    """
    height, width = maps.shape[-2:]
    rows, columns = (np.floor(places).astype(int) for places in (placement.rows(), placement.columns()))
    inside = torch.from_numpy((rows < height)[:, None] & (columns < width))
    index = torch.from_numpy(rows.clip(max=height - 1)), torch.from_numpy(columns.clip(max=width - 1))
    return maps[:, index[0]][:, :, index[1]], inside


def resample_depth(
    depth: Float[Tensor, "frame height width"],
    mask: Bool[Tensor, "frame height width"],
    placement: FramePlacement,
    resampling: DepthResampling,
) -> tuple[Float[Tensor, "frame rows columns"], Bool[Tensor, "frame rows columns"]]:
    """Depth, or disparity, at the pixels of frames.

    "nearest" takes the nearest pixel. "bilinear" weighs the four around a place where all of them are known
    and the largest differs from the least by at most 3 % of the larger size of the two, and takes the nearest
    elsewhere, so that no depth appears between things that stand apart.

    Args:
        depth: Values; without meaning where `mask` does not hold.
        mask: Where they are known.
        placement: Where the pixels of frames lie.
        resampling: See above.

    Returns:
        Values, 0 where not known, and where they are known.
    """
    values, inside = resample_nearest(depth, placement)
    known, _ = resample_nearest(mask, placement)
    known = known & inside
    if resampling == "bilinear":
        rows = _neighbours(placement.rows(), depth.shape[1])
        columns = _neighbours(placement.columns(), depth.shape[2])
        for frame in range(len(depth)):  # one at a time, for memory
            between, smooth = _between(depth[frame], mask[frame], rows, columns)
            values[frame] = torch.where(smooth & inside, between, values[frame])
    return torch.where(known, values, torch.zeros_like(values)), known


def _between(
    depth: Tensor, mask: Tensor, rows: tuple[Tensor, Tensor, Tensor], columns: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Values between four pixels, and where these are known and alike."""
    upper, lower, down = rows
    left, right, across = columns
    pairs = ((upper, left), (upper, right), (lower, left), (lower, right))
    corners = torch.stack([depth[row][:, column] for row, column in pairs])
    there = torch.stack([mask[row][:, column] for row, column in pairs]).all(0)
    top = torch.lerp(corners[0], corners[1], across.to(depth))
    bottom = torch.lerp(corners[2], corners[3], across.to(depth))
    spread = corners.amax(0) - corners.amin(0)
    alike = spread <= _ALIKE * corners.abs().amax(0)
    return torch.lerp(top, bottom, down.to(depth)[:, None]), there & alike


def _neighbours(places: np.ndarray, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels before and after each place, and how far it is between their centres."""
    centred = (places - 0.5).clip(0, size - 1)
    before = np.floor(centred).astype(int)
    after = np.minimum(before + 1, size - 1)
    return torch.from_numpy(before), torch.from_numpy(after), torch.from_numpy(centred - before)
