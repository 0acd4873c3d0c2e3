"""Attention within frames and over all frames by turns."""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.models.movies.codes import patch_angles
from diff4splat.models.movies.layers import Block

__all__ = ["FrameAggregator"]


class FrameAggregator(nn.Module):
    """Lets the patches of a video read each other, beside tokens for time, pose, camera and scratch space.

    Source: Wang et al. 2025 (VGGT), Sec. 3.2 (alternating attention); Lin et al. 2026 (MoVieS), the tokens
    of time and pose.

    Args:
        dim: Token width.
        num_layers: Pairs of a block within frames and a block over all of them.
        num_heads: Attention heads; `dim` / `num_heads` is a multiple of 4.
        time_dim: Length of a time code.
        num_registers: Register tokens of each frame.
    """

    def __init__(
        self, dim: int, *, num_layers: int, num_heads: int, time_dim: int, num_registers: int = 4
    ) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        # index 0 is for the first frame, whose camera is the world, index 1 for all others
        self.camera_token = nn.Parameter(torch.randn(1, 2, 1, dim) * 1e-6)
        self.register_token = nn.Parameter(torch.randn(1, 2, num_registers, dim) * 1e-6)
        self.frame_blocks, self.global_blocks = (
            nn.ModuleList(
                [
                    Block(dim, num_heads, normalize=True, initial_scale=0.01, eps=1e-5)
                    for _ in range(num_layers)
                ]
            )
            for _ in range(2)
        )
        self.extra_embed = nn.Linear(9, dim)
        self.time_embed = nn.Linear(time_dim, dim)

    def forward(
        self,
        patches: Float[Tensor, "batch frame row column dim"],
        poses: Float[Tensor, "batch frame code=9"],
        times: Float[Tensor, "batch frame time_code"],
        *,
        keep: tuple[int, ...],
    ) -> list[Float[Tensor, "batch frame patch two_dim"]]:
        """Features of the patches after some of the layers.

        Args:
            patches: Encoded patches.
            poses: From `camera_code`.
            times: From `time_code`.
            keep: Layers to return, ascending.

        Returns:
            Per layer in `keep`, what the block within frames gave and what the block over frames made of it.
        """
        batch, frames, rows, columns, _ = patches.shape
        special = [
            rearrange(self.time_embed(times), "b f d -> (b f) 1 d"),
            rearrange(self.extra_embed(poses), "b f d -> (b f) 1 d"),
            _per_frame(self.camera_token, batch, frames),
            _per_frame(self.register_token, batch, frames),
        ]
        tokens = torch.cat((*special, rearrange(patches, "b f h w d -> (b f) (h w) d")), dim=1)
        start = tokens.shape[1] - rows * columns
        angles = patch_angles(rows, columns, num_special=start, head_dim=self.head_dim, device=patches.device)
        angles_of_all = repeat(angles, "a n q -> a (f n) q", f=frames)
        kept = []
        for layer, (within, across) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            of_frame = within(tokens, angles)
            of_all = across(rearrange(of_frame, "(b f) n d -> b (f n) d", f=frames), angles_of_all)
            tokens = rearrange(of_all, "b (f n) d -> (b f) n d", f=frames)
            if layer in keep:
                both = torch.cat((of_frame[:, start:], tokens[:, start:]), dim=-1)
                kept.append(rearrange(both, "(b f) n d -> b f n d", f=frames))
        return kept


def _per_frame(tokens: Tensor, batch: int, frames: int) -> Tensor:
    """The first of two sets of tokens for the first frame, the second for each later one."""
    index = [0] + [1] * (frames - 1)
    return repeat(tokens[0, index], "f n d -> (b f) n d", b=batch)
