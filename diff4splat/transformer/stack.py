"""Blocks one after another over the tokens of a video, on all of them or by turns in space and time."""

from collections.abc import Sequence
from typing import Any, Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diff4splat.transformer.blocks import TransformerBlock
from diff4splat.transformer.factorized import run_factorized
from diff4splat.transformer.positions import rotary_positions

__all__ = ["run_blocks"]

_Axis = Literal["space", "time"]


def run_blocks(
    blocks: Sequence[TransformerBlock] | nn.ModuleList,
    tokens: Float[Tensor, "batch token dim"],
    *,
    grid: tuple[int, int, int],
    attention: Literal["full", "factorized"] = "full",
    keep: Sequence[int] | None = None,
    checkpointing: bool = False,
) -> list[Float[Tensor, "batch frame height width dim"]]:
    """Token grids after blocks that run one after another, with rotary positions.

    Args:
        blocks: Blocks without modulation and context.
        tokens: Tokens of a video grid, frame-major, then row-major.
        grid: Frames, rows and columns of tokens.
        attention: "full" lets every token read every other; in "factorized" even blocks mix the tokens of
            each frame and odd ones those of each place over time, see `run_factorized`.
        keep: Numbers of the blocks whose tokens are wanted, ascending, repeats allowed; the last when
            omitted.
        checkpointing: Keep the input of each block for its gradients and compute the rest again.

    Returns:
        One grid per entry of `keep`.

    Raises:
        ValueError: If the tokens do not fill the grid, or `attention` is unknown.
    """
    if attention not in ("full", "factorized"):
        raise ValueError(f"attention must be 'full' or 'factorized', got {attention!r}.")
    frames, height, width = grid
    if tokens.shape[1] != frames * height * width:
        raise ValueError(
            f"tokens must be {frames * height * width} for a grid of {frames} x {height} x {width}, got "
            f"{tokens.shape[1]}."
        )
    stack: list[Any] = list(blocks)
    wanted = [len(stack) - 1] if keep is None else list(keep)
    angles = rotary_positions(*grid, stack[0].attention.head_dim, device=tokens.device)
    kept = []
    for index, block in enumerate(stack):
        axis: _Axis | None = None if attention == "full" else ("space", "time")[index % 2]
        given = (block, tokens, frames, axis, angles)
        tokens = checkpoint(_run, *given, use_reentrant=False) if checkpointing else _run(*given)
        after = rearrange(tokens, "b (f h w) d -> b f h w d", f=frames, h=height, w=width)
        kept += [after] * wanted.count(index)
    return kept


def _run(
    block: TransformerBlock, tokens: Tensor, num_frames: int, axis: _Axis | None, angles: Tensor
) -> Tensor:
    if axis is None:
        return block(tokens, angles=angles)
    return run_factorized(block, tokens, num_frames=num_frames, axis=axis, angles=angles)
