"""Depth as colours that the eye reads as an even scale."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["depth_limits", "depth_to_color", "position_to_color"]

# OKLab to linear sRGB. Source: B. Ottosson, "A perceptual color space for image processing" (2020).
LAB_TO_CONE = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
CONE_TO_RGB = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)
SCALE_STEPS = 4096
"""Steps of the scale of colours: finer than 8 bits can show."""


def depth_to_color(
    depth: Float[Tensor, "*batch height width"],
    *,
    near: int | float | None = None,
    far: int | float | None = None,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, "*batch rgb=3 height width"]:
    r"""Colours of depth maps: near is bright and warm, far is dark and cool, nothing is black.

    The position on the scale is linear in inverse depth,

    $$v = \frac{1/z - 1/z_f}{1/z_n - 1/z_f},$$

    with $z$ = `depth`, $z_n$ = `near` and $z_f$ = `far`, so that near structure gets most of the colours.
    Colours follow a path in OKLCh whose lightness is linear in $v$, in 4096 steps. The limits hold
    for everything passed in one call: pass a whole clip, not its frames, and colours keep their meaning over
    time.

    Args:
        depth: z-depth, scene units; values that are not finite or not above 0 count as nothing.
        near: Depth of the warm end, > 0; by default the 1st percentile of all valid pixels.
        far: Depth of the cool end, > `near`; by default the 99th percentile.
        mask: Pixels to colour; the others become black.

    Returns:
        Display-ready sRGB in [0, 1]; not differentiable.

    Raises:
        ValueError: If the limits are not 0 < near < far.
    """
    values = depth.detach()
    valid = _valid(values, mask)
    near, far = depth_limits(values, near=near, far=far, mask=mask)
    span = max(1.0 / near - 1.0 / far, 1e-12)  # zero on a flat map, which is then all near
    scale = torch.linspace(0.0, 1.0, SCALE_STEPS + 1, device=values.device, dtype=values.dtype)
    colors = torch.cat([position_to_color(scale), scale.new_zeros(1, 3)]).T  # the last is for nothing
    color = values.new_empty(*values.shape[:-2], 3, *values.shape[-2:])
    count, size = values.shape[:-2].numel(), values.shape[-2:]
    maps, masks, pictures = (
        v.reshape(count, *axes, *size) for v, axes in ((values, ()), (valid, ()), (color, (3,)))
    )
    for picture, depth_map, some in zip(pictures, maps, masks, strict=True):
        position = (1.0 - (1.0 / near - 1.0 / torch.where(some, depth_map, near)) / span).clamp(0.0, 1.0)
        picture.copy_(colors[:, torch.where(some, (position * SCALE_STEPS).round().long(), SCALE_STEPS + 1)])
    return color


def depth_limits(
    depth: Float[Tensor, "*batch height width"],
    *,
    near: int | float | None = None,
    far: int | float | None = None,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> tuple[float, float]:
    """The depths between which `depth_to_color` spreads its colours.

    Args:
        depth: z-depth, scene units; values that are not finite or not above 0 count as nothing.
        near: Depth of the warm end, > 0; by default the 1st percentile of all valid pixels.
        far: Depth of the cool end, > `near`; by default the 99th percentile.
        mask: Pixels that count.

    Returns:
        Near and far; they are equal where all depths are. Any where nothing is valid and none are given.

    Raises:
        ValueError: If the limits are not 0 < near < far.
    """
    values = depth.detach()
    valid = _valid(values, mask)
    if not valid.any():  # nothing to colour, so any limits do
        near = (1.0 if far is None else far / 2) if near is None else near
        far, flat = (2 * near if far is None else far), False
    elif near is None or far is None:
        low, high = _percentiles(values[valid])
        near, far = (low if near is None else near), (high if far is None else far)
        flat = low == high
    else:
        flat = False
    if not 0.0 < near <= far < math.inf or (near == far and not flat):
        raise ValueError(f"near and far must satisfy 0 < near < far, got {near} and {far}.")
    return float(near), float(far)


def position_to_color(position: Float[Tensor, " *shape"]) -> Float[Tensor, "*shape rgb=3"]:
    """Colours along the scale: 0 is a dark blue, 1 a light yellow, through violet, red and orange.

    Lightness goes linearly from 0.22 to 0.92 and hue from 270 to 445 degrees, with a chroma that stays inside
    sRGB.

    Args:
        position: Places on the scale, in [0, 1].

    Returns:
        Display-ready sRGB in [0, 1].
    """
    lightness = 0.22 + 0.70 * position
    hue = torch.deg2rad(270.0 + 175.0 * position)
    chroma = 0.085 + 0.30 * position * (1.0 - position)
    lab = torch.stack([lightness, chroma * hue.cos(), chroma * hue.sin()], dim=-1)
    cones = (lab @ lab.new_tensor(LAB_TO_CONE).T) ** 3
    linear = (cones @ lab.new_tensor(CONE_TO_RGB).T).clamp(0.0, 1.0)
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055
    )


def _valid(values: Tensor, mask: Tensor | None) -> Tensor:
    valid = torch.isfinite(values) & (values > 0)
    return valid if mask is None else valid & mask


def _percentiles(values: Float[Tensor, " pixel"]) -> tuple[float, float]:
    """1st and 99th percentile, from at most a million evenly spaced pixels."""
    ordered = values[:: max(1, values.numel() // 1_000_000)].double().sort().values
    last = len(ordered) - 1
    return float(ordered[round(0.01 * last)]), float(ordered[round(0.99 * last)])
