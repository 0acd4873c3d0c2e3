"""Attention along one axis of a video at a time: within frames, or at one place over time."""

from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.transformer.blocks import TransformerBlock

__all__ = ["run_factorized"]


def run_factorized(
    block: TransformerBlock,
    tokens: Float[Tensor, "batch token dim"],
    *,
    num_frames: int,
    axis: Literal["space", "time"],
    angles: Float[Tensor, "token half"] | None = None,
) -> Float[Tensor, "batch token dim"]:
    """Run a block on the tokens of each frame alone, or of each place alone.

    With F frames of N tokens, attention costs F N² within frames and N F² over time instead of (F N)². Blocks
    that take turns let every token reach every other in two steps. Source: Arnab et al. 2021 (factorised
    self-attention). The block is any plain `TransformerBlock`: weights of full and factorised attention have
    the same names and shapes.

    Args:
        block: Block without modulation and context.
        tokens: Tokens of a video grid, frames one after another.
        num_frames: Frames F.
        axis: "space" mixes the tokens of each frame, "time" those of each place in all frames.
        angles: Rotary positions of the whole grid, as from `rotary_positions`.

    Returns:
        Updated tokens, in the order they came.

    Raises:
        ValueError: If the tokens do not divide into the frames, or `axis` is unknown.
    """
    if axis not in ("space", "time"):
        raise ValueError(f"axis must be 'space' or 'time', got {axis!r}.")
    if num_frames < 1 or tokens.shape[1] % num_frames:
        raise ValueError(f"num_frames must divide the {tokens.shape[1]} tokens, got {num_frames}.")
    places = tokens.shape[1] // num_frames
    batch = tokens.shape[0]
    # Rotary attention sees differences of positions only, so those of one frame, or one place, serve for all.
    if axis == "space":
        rows = rearrange(tokens, "b (f n) d -> (b f) n d", f=num_frames)
        mixed = block(rows, angles=None if angles is None else angles[:places])
        return rearrange(mixed, "(b f) n d -> b (f n) d", b=batch)
    columns = rearrange(tokens, "b (f n) d -> (b n) f d", f=num_frames)
    mixed = block(columns, angles=None if angles is None else angles[::places])
    return rearrange(mixed, "(b n) f d -> b (f n) d", b=batch)
