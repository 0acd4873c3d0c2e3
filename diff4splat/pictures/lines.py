"""Smooth lines on pictures, at exact places between pixels."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["draw_line"]


def draw_line(
    picture: Float[Tensor, "rgb=3 height width"],
    points: Float[Tensor, "point xy=2"],
    *,
    color: Float[Tensor, "#point rgb=3"] | tuple[float, float, float],
    opacity: Float[Tensor, " point"] | float = 1.0,
    width: float = 1.5,
    outline: float = 0.0,
    outline_color: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    r"""Draw a line through points into a picture, in place; one point is a dot.

    A pixel whose centre lies $d$ pixels from the line is covered by

    $$a = \min(\max(\tfrac{w + 1}{2} - d, 0), 1)$$

    with $w$ = `width`. Colour and opacity are those of the nearest place of the line, between its points
    linearly. A line covers a pixel once, however often it comes back: a faint one shows no knots.

    Args:
        picture: Changed in place; on the CPU.
        points: Places in pixels; the centre of the upper left pixel is (0.5, 0.5). The line is broken at
            points that are not finite.
        color: sRGB in [0, 1], one for all or one per point.
        opacity: In [0, 1], one for all or one per point.
        width: Of the line, pixels.
        outline: Width of a dimmer line on each side, pixels.
        outline_color: Its colour.
    """
    places = points.detach().double().cpu().numpy()
    count = len(places)
    ends = picture.new_tensor(color) if isinstance(color, tuple) else color.detach().to(picture)
    colors = ends.expand(count, 3).double().cpu().numpy()
    shares = torch.as_tensor(opacity, dtype=torch.float64).detach().cpu().expand(count).numpy()
    reach = width / 2 + outline + 0.5
    finite = np.isfinite(places).all(axis=-1)
    # far points make no pictures but overflow whole numbers
    near = finite & (np.abs(places) < 1e6).all(axis=-1)
    if not near.any():
        return
    rows, columns = picture.shape[1:]
    low = np.clip(np.floor(places[near].min(axis=0) - reach), 0, (columns, rows)).astype(int)
    high = np.clip(np.ceil(places[near].max(axis=0) + reach), 0, (columns, rows)).astype(int)
    if (high <= low).any():
        return
    distance = np.full(high[::-1] - low[::-1], np.inf)
    place = np.zeros_like(distance)
    for index in range(count):
        follows = index + 1 < count and near[index + 1]
        alone = not follows and (index == 0 or not near[index - 1])
        if near[index] and (follows or alone):
            last = index + 1 if follows else index
            _approach(distance, place, places[index] - low, places[last] - low, index, reach)

    target = picture[:, low[1] : high[1], low[0] : high[0]]
    flat = place.reshape(-1)
    steps = np.arange(count)
    covered = np.clip(width / 2 + 0.5 - distance, 0, 1)
    alpha = np.interp(flat, steps, shares).reshape(distance.shape)
    ink = np.stack([np.interp(flat, steps, colors[:, c]).reshape(distance.shape) for c in range(3)])
    if outline > 0:
        edge = torch.from_numpy(np.clip(reach - distance, 0, 1) * alpha * 0.6).to(picture)
        target += edge * (picture.new_tensor(outline_color)[:, None, None] - target)
    target += torch.from_numpy(covered * alpha).to(picture) * (torch.from_numpy(ink).to(picture) - target)


def _approach(
    distance: np.ndarray, place: np.ndarray, start: np.ndarray, end: np.ndarray, index: int, reach: float
) -> None:
    """Note where a piece of the line is nearer to a pixel than the pieces before it."""
    rows, columns = distance.shape
    low = np.clip(np.floor(np.minimum(start, end) - reach), 0, (columns, rows)).astype(int)
    high = np.clip(np.ceil(np.maximum(start, end) + reach), 0, (columns, rows)).astype(int)
    if (high <= low).any():
        return
    x = np.arange(low[0], high[0]) + 0.5 - start[0]
    y = np.arange(low[1], high[1])[:, None] + 0.5 - start[1]
    along = end - start
    length = float(along @ along)
    share = (
        np.clip((x * along[0] + y * along[1]) / length, 0, 1) if length > 0 else np.zeros((len(y), len(x)))
    )
    found = np.hypot(x - share * along[0], y - share * along[1])
    window = slice(low[1], high[1]), slice(low[0], high[0])
    nearer = found < distance[window]
    distance[window] = np.where(nearer, found, distance[window])
    place[window] = np.where(nearer, index + share, place[window])
