"""A depth map in colours, with the scale that says which depth each of them is."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.assets import depth_limits, depth_to_color, position_to_color
from diff4splat.pictures.sheets import stack_pictures, text_size_for
from diff4splat.pictures.words import draw_words, line_height, word_width

__all__ = ["depth_bar", "depth_map", "depth_picture"]

_STRIPES = 8  # pixels from one stripe to the next
_DARK_STRIPE, _LIGHT_STRIPE = 0.62, 0.74
_UNKNOWN = "unknown"
_ENOUGH = 5  # numbers on a scale; with fewer, less round ones are written, too


def depth_picture(
    depth: Float[Tensor, "height width"],
    *,
    near: int | float | None = None,
    far: int | float | None = None,
    mask: Bool[Tensor, "height width"] | None = None,
    unit: str = "units",
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 picture_height width"]:
    """A depth map in colours, above the scale that they are read from.

    Args:
        depth: z-depth, scene units; values that are not finite or not above 0 are unknown.
        near: Depth of the bright end, > 0; by default the 1st percentile of what is known.
        far: Depth of the dark end, > `near`; by default the 99th percentile.
        mask: Pixels that are known.
        unit: What the numbers count, such as "m".
        text_size: Size of the letters, pixels; fitting to the picture when omitted.

    Returns:
        The map as `depth_map` makes it, and `depth_bar` below it, of the same width. A map narrower than the
        scale needs, some 8 letters, has none.

    Raises:
        ValueError: If there is no pixel, or the limits are not 0 < near < far.
    """
    if 0 in depth.shape:
        raise ValueError(f"depth must have pixels, got shape {list(depth.shape)}.")
    pixels = depth_map(depth, near=near, far=far, mask=mask)
    near, far = depth_limits(depth, near=near, far=far, mask=mask)
    values = depth.detach()
    known = _known(values, mask)
    size = text_size_for(*depth.shape) if text_size is None else text_size
    bar = depth_bar(
        near,
        far,
        width=depth.shape[1],
        unit=unit,
        text_size=size,
        unknown=not bool(known.all()),
        below=bool((known & (values < near)).any()),
        above=bool((known & (values > far)).any()),
        empty=not bool(known.any()),
    )
    return stack_pictures([pixels, bar.to(pixels)])


def depth_map(
    depth: Float[Tensor, "*batch height width"],
    *,
    near: int | float | None = None,
    far: int | float | None = None,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, "*batch rgb=3 height width"]:
    """Depth in the colours of `depth_to_color`, with grey stripes where it is unknown.

    Args:
        depth: z-depth, scene units; values that are not finite or not above 0 are unknown.
        near: Depth of the bright end, > 0; by default the 1st percentile of what is known.
        far: Depth of the dark end; by default the 99th percentile.
        mask: Pixels that are known.

    Returns:
        sRGB in [0, 1], not differentiable.

    Raises:
        ValueError: If the limits are not 0 < near < far.
    """
    near, far = depth_limits(depth, near=near, far=far, mask=mask)
    # where all depths are equal, they are the limits that the function finds itself
    limits = {} if near == far else {"near": near, "far": far}
    color = depth_to_color(depth, mask=mask, **limits)
    unknown = ~_known(depth.detach(), mask)
    return torch.where(unknown[..., None, :, :], stripes(*depth.shape[-2:]).to(color), color)


def stripes(height: int, width: int) -> Float[Tensor, "height width"]:
    """Slanted stripes of two greys: what stands where nothing is known.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        Brightness, in [0, 1].
    """
    across = torch.arange(height)[:, None] + torch.arange(width)
    dark = across % _STRIPES < _STRIPES // 2
    return torch.where(dark, _DARK_STRIPE, _LIGHT_STRIPE)


def depth_bar(
    near: int | float,
    far: int | float,
    *,
    width: int,
    unit: str = "units",
    text_size: int = 14,
    unknown: bool = False,
    below: bool = False,
    above: bool = False,
    empty: bool = False,
) -> Float[Tensor, "rgb=3 height width"]:
    r"""The scale of a depth map: colours from near to far, and numbers below them.

    The colour at a share $x$ of the way from the left is that of the depth

    $$z = \frac{1}{(1 - x)/z_n + x/z_f}$$

    with $z_n$ = `near` and $z_f$ = `far`: depths are spread as `depth_to_color` spreads them. The limits are
    written at the ends, and as many round depths between them as there is room for.

    Args:
        near: Depth of the left end, > 0.
        far: Depth of the right end; equal to `near` where a map has one depth only.
        width: Columns.
        unit: What the numbers count.
        text_size: Size of the letters, pixels.
        unknown: Whether to say what grey stripes mean.
        below: Whether there are depths below `near`, which have its colour.
        above: Whether there are depths above `far`, which have its colour.
        empty: Whether nothing is known: there is no scale then.

    Returns:
        White strip with the scale; of no rows where it is too narrow for one.

    Raises:
        ValueError: If the limits are not 0 < near <= far.
    """
    if not 0.0 < near <= far < math.inf:
        raise ValueError(f"near and far must satisfy 0 < near <= far, got {near} and {far}.")
    if width < 8 * text_size:
        return torch.ones(3, 0, width)
    line = line_height(text_size)
    high = max(text_size * 2 // 3, 6)
    margin = text_size // 2
    legend = word_width(_UNKNOWN, text_size) + 2 * text_size if unknown and not empty else 0
    below_all = bool(legend) and width < legend + 8 * text_size  # no room beside the scale
    strip = torch.ones(3, 2 * margin + high + 2 + line * (1 + below_all), width)
    if empty:
        words = "no depth is known"
        _swatch(strip, margin, high, margin, text_size)
        draw_words(strip, words, left=2 * margin + text_size, top=margin - (line - high) // 2, size=text_size)
        return strip
    left, right = margin, width - margin - (legend + margin if legend and not below_all else 0)
    strip[:, margin : margin + high, left:right] = bar_colors(right - left, one=near == far)[:, None]
    numbers = margin + high + 2
    if near == far:
        words = f"{_number(near, near / 100)} {unit} everywhere"
        draw_words(strip, words, left=left, top=numbers, size=text_size)
    else:
        _number_the_bar(strip, near, far, (left, right), numbers, text_size, unit, below, above)
    if legend:
        start = left if below_all else width - margin - legend + text_size // 2
        top = numbers + line if below_all else margin - (line - high) // 2
        _swatch(strip, top + (line - high) // 2, high, start, text_size)
        draw_words(strip, _UNKNOWN, left=start + text_size + text_size // 3, top=top, size=text_size)
    return strip


def bar_colors(length: int, *, one: bool = False) -> Float[Tensor, "rgb=3 length"]:
    """Colours of a scale of depth from near to far, the middle of pixel i at a share (i + 0.5) / length.

    Args:
        length: Pixels.
        one: Whether there is one depth only, which has the colour of near.

    Returns:
        sRGB in [0, 1].
    """
    share = (torch.arange(length) + 0.5) / length
    return position_to_color(torch.ones(length) if one else 1 - share).T


def _number_the_bar(
    strip: Tensor,
    near: float,
    far: float,
    ends: tuple[int, int],
    top: int,
    size: int,
    unit: str,
    below: bool,
    above: bool,
) -> None:
    """Write the limits at the ends, and round depths where there is room between them."""
    left, right = ends
    step = (far - near) / 50
    low, high = _number(near, step), _number(far, step)
    low, high = f"< {low}" if below else low, f"> {high} {unit}" if above else f"{high} {unit}"
    if left + word_width(low, size) + size + word_width(high, size) > right:
        high = high.removesuffix(f" {unit}")
    taken = [(left, left + word_width(low, size)), (right - word_width(high, size), right)]
    if taken[0][1] + size // 2 > taken[1][0]:
        taken, high = taken[:1], ""
    draw_words(strip, low, left=left, top=top, size=size)
    draw_words(strip, high, left=right - word_width(high, size), top=top, size=size)
    for rank in _round_depths(near, far):
        if len(taken) >= _ENOUGH:
            break
        taken = _write_depths(strip, rank, near, far, ends, top, size, taken)


def _write_depths(
    strip: Tensor,
    depths: list[float],
    near: float,
    far: float,
    ends: tuple[int, int],
    top: int,
    size: int,
    taken: list[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Write depths where there is room, and return the columns that are taken then."""
    left, right = ends
    taken = list(taken)
    for value in depths:
        share = (1 / near - 1 / value) / (1 / near - 1 / far)
        place = left + share * (right - left)
        words = f"{value:.6g}"
        start = round(place - word_width(words, size) / 2)
        end = start + word_width(words, size)
        if all(end + size < a or start > b + size for a, b in taken):
            taken.append((start, end))
            draw_words(strip, words, left=start, top=top, size=size)
            strip[:, top - 2 : top + 1, round(place - 0.5)] = 0.0
    return taken


def _round_depths(near: float, far: float) -> list[list[float]]:
    """Depths between the limits, in ranks: the roundest first, which have the fewest digits."""
    powers = range(math.floor(math.log10(near)) - 1, math.ceil(math.log10(far)) + 1)
    tens = (1, 2, 5), (3, 4, 6, 8), (1.5, 2.5, 3.5, 4.5, 7, 9), tuple(d / 10 for d in range(11, 100))
    ranks: list[list[float]] = []
    for digits in (*tens, tuple(d / 100 for d in range(101, 1000))):
        values = sorted({float(f"{digit}e{power}") for power in powers for digit in digits})
        ranks.append([value for value in values if near < value < far])
    return ranks


def _number(value: float, step: float) -> str:
    """A depth with the digits that matter where depths differ by `step`."""
    digits = min(max(2, math.ceil(math.log10(value / step))), 6)
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.6g}" if rounded < 1e6 else f"{rounded:.{digits - 1}e}"


def _swatch(strip: Tensor, top: int, height: int, left: int, size: int) -> None:
    strip[:, top : top + height, left : left + size] = stripes(height, size)


def _known(values: Tensor, mask: Tensor | None) -> Tensor:
    known = torch.isfinite(values) & (values > 0)
    return known if mask is None else known & mask
