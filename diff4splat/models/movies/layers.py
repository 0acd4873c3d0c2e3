"""The Transformer block that DINOv2 and VGGT share, under the names of their published weights."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.transformer.positions import rotate_by_position

__all__ = ["Block"]


class Block(nn.Module):
    r"""Pre-norm self-attention and feed-forward layer, each scaled per channel before it is added.

    $$x' = x + \gamma_1 A(\mathrm{LN}_1(x)), \qquad
      y = x' + \gamma_2\,W_2\,\mathrm{gelu}(W_1\,\mathrm{LN}_2(x'))$$

    Source: Touvron et al. 2021 (CaiT, Eq. 5 to 7), as DINOv2 and VGGT use it.

    Args:
        dim: Token width.
        num_heads: Attention heads; divides `dim`.
        normalize: Whether queries and keys pass a layer norm per head.
        initial_scale: What each of $\gamma_1, \gamma_2$ starts at.
        eps: Added to the variance in the two norms of the block.
    """

    def __init__(
        self, dim: int, num_heads: int, *, normalize: bool, initial_scale: float, eps: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = _Attention(dim, num_heads, normalize)
        self.ls1 = _ChannelScale(dim, initial_scale)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        layers = {"fc1": nn.Linear(dim, 4 * dim), "gelu": nn.GELU(), "fc2": nn.Linear(4 * dim, dim)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ls2 = _ChannelScale(dim, initial_scale)

    def forward(
        self,
        tokens: Float[Tensor, "batch token dim"],
        angles: Float[Tensor, "axis=2 token quarter"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Update the tokens of each sequence.

        Args:
            tokens: The sequences.
            angles: Rotary angles in radians by row and by column, see `patch_angles`; none when omitted.

        Returns:
            The sequences, same shape.
        """
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), angles))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class _Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int, normalize: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.q_norm = nn.LayerNorm(dim // num_heads) if normalize else nn.Identity()
        self.k_norm = nn.LayerNorm(dim // num_heads) if normalize else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, angles: Tensor | None) -> Tensor:
        query, key, value = rearrange(
            self.qkv(tokens), "b n (three h d) -> three b h n d", three=3, h=self.num_heads
        )
        query, key = self.q_norm(query), self.k_norm(key)
        if angles is not None:
            query, key = _rotate(query, angles), _rotate(key, angles)
        # under autocast the norms widen queries and keys
        mixed = F.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value)
        return self.proj(rearrange(mixed, "b h n d -> b n (h d)"))


class _ChannelScale(nn.Module):
    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), initial))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


def _rotate(values: Tensor, angles: Tensor) -> Tensor:
    """The first half of a head's channels is turned by the row, the second half by the column."""
    halves = zip(values.chunk(2, dim=-1), angles, strict=True)
    return torch.cat([rotate_by_position(half, angle) for half, angle in halves], dim=-1)
