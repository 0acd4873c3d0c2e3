"""Where a token stands: sinusoidal codes of scalars, rotary codes of video grids."""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["rotary_positions", "rotate_by_position", "sinusoidal_embedding"]


def sinusoidal_embedding(
    values: Float[Tensor, " *batch"], dim: int, *, max_period: float = 10_000.0, scale: float = 1_000.0
) -> Float[Tensor, "*batch dim"]:
    r"""Sines and cosines of a scalar at geometrically spaced frequencies.

    $$e_{i} = \cos(s v\, p^{-i/h}), \quad e_{h+i} = \sin(s v\, p^{-i/h}), \quad i = 0 \dots h-1,\; h = d/2$$

    with $v$ = `values`, $s$ = `scale`, $p$ = `max_period`, $d$ = `dim`.
    Source: Vaswani et al. 2017, Sec. 3.5, cosines first.

    Args:
        values: Scalars, usually times in [0, 1].
        dim: Length of a code; even.
        max_period: $p$, which the ratio of the longest to the shortest wavelength, $p^{(h-1)/h}$, comes near.
        scale: Multiplies the values, so that [0, 1] spans many radians at the highest frequency.

    Returns:
        Codes in [-1, 1].

    Raises:
        ValueError: If `dim` is odd.
    """
    if dim % 2:
        raise ValueError(f"dim must be even, got {dim}.")
    half = dim // 2
    wide = torch.promote_types(values.dtype, torch.float32)
    exponent = torch.arange(half, device=values.device, dtype=wide) / half
    angle = scale * values.to(wide)[..., None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat((angle.cos(), angle.sin()), dim=-1).to(values.dtype)


def rotary_positions(
    num_frames: int,
    height: int,
    width: int,
    head_dim: int,
    *,
    base: float = 100.0,
    device: torch.device | None = None,
) -> Float[Tensor, "token half"]:
    r"""Rotary angles of the tokens of a video grid, axis by axis.

    $$\theta_i(p) = p\, b^{-i/m}, \quad i = 0 \dots m-1$$

    for position $p$ along an axis to which $m$ of the head's channel pairs belong: about a quarter of them to
    the frame axis, the rest halved between row and column. Source: Su et al. 2021 (RoPE), Eq. 15, per axis.

    Args:
        num_frames: Latent frames.
        height: Token rows.
        width: Token columns.
        head_dim: Channels of one attention head; even.
        base: $b$, bound of the ratio between the slowest and the fastest turn.
        device: Where to make the angles.

    Returns:
        Angles in radians, tokens in frame-major order, float32.

    Raises:
        ValueError: If `head_dim` is odd.
    """
    if head_dim % 2:
        raise ValueError(f"head_dim must be even, got {head_dim}.")
    half = head_dim // 2
    frame_pairs = max(1, half // 4)
    row_pairs = (half - frame_pairs) // 2
    pairs = (frame_pairs, row_pairs, half - frame_pairs - row_pairs)
    angles = []
    for axis, (length, count) in enumerate(zip((num_frames, height, width), pairs, strict=True)):
        exponent = torch.arange(count, device=device, dtype=torch.float32) / max(count, 1)
        angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * base**-exponent
        shape = [1, 1, 1, count]
        shape[axis] = length
        angles.append(angle.reshape(shape).expand(num_frames, height, width, count))
    return rearrange(torch.cat(angles, dim=-1), "f h w c -> (f h w) c")


def rotate_by_position(
    values: Float[Tensor, "*batch token head_dim"], angles: Float[Tensor, "token half"]
) -> Float[Tensor, "*batch token head_dim"]:
    """Turn the channel pairs (i, i + half) of each token by its rotary angles.

    The dot product of a turned query and a turned key depends on their positions by the difference alone.

    Args:
        values: Queries or keys of one or more heads.
        angles: From `rotary_positions`, radians; half as many as channels.

    Returns:
        Rotated values, same lengths.
    """
    first, second = values.chunk(2, dim=-1)
    cos, sin = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
