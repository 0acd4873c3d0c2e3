"""Pre-norm Transformer blocks with grouped-query attention; modulation and context where asked for."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diff4splat.transformer.attention import CrossAttention, SelfAttention
from diff4splat.transformer.norms import RMSNorm

__all__ = ["FeedForward", "Modulation", "TransformerBlock"]


class FeedForward(nn.Module):
    r"""Gated feed-forward layer of each token.

    $$y = W_3 (\mathrm{silu}(W_1 x) \odot W_2 x)$$

    with biases. Source: Shazeer 2020 (SwiGLU).

    Args:
        dim: Token width.
        hidden_dim: Inner width; 8/3 of `dim` costs as much as an ungated layer of 4 times `dim`.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate_value = nn.Linear(dim, 2 * hidden_dim)
        self.output = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Transform each token by itself.

        Args:
            tokens: Tokens of any layout.

        Returns:
            What the block adds to them.
        """
        gate, value = self.gate_value(tokens).chunk(2, dim=-1)
        return self.output(F.silu(gate) * value)


class Modulation(nn.Module):
    """Scale, shift and gate of a block's two branches, from a condition that all blocks share.

    Each block adds a table of its own, learned and zero at first, to the six vectors that one linear layer
    makes from the condition. Where that layer starts at zero too, the gates are closed and a fresh block
    leaves its tokens as they are. Source: Peebles & Xie 2023 (adaLN-zero), Chen et al. 2024 (one shared
    layer).

    Args:
        dim: Token width.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(6, dim))

    def forward(self, shared: Float[Tensor, "batch group six_dim"]) -> tuple[Tensor, ...]:
        """The six vectors of this block.

        Args:
            shared: The six vectors that all blocks get, one after another.

        Returns:
            Shift, scale and gate of attention, then of the feed-forward layer, each `batch group dim`.
        """
        vectors = rearrange(shared, "b n (six d) -> six b n d", six=6) + self.table[:, None, None]
        return vectors.unbind(0)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention if asked for, feed-forward; each adds its output to the tokens.

    Source: Diff4Splat, Sec. 3.2, whose blocks are those of Ainslie et al. 2023 (grouped-query attention).

    Args:
        dim: Token width.
        num_heads: Query heads.
        num_key_value_heads: Key-value heads; fewer than `num_heads` is grouped-query attention.
        hidden_dim: Inner width of the feed-forward layer; 8/3 of `dim`, rounded up to 32, when omitted.
        context_dim: Width of a context to read; no cross-attention when omitted.
        modulated: Whether a condition scales, shifts and gates the branches.

    Raises:
        ValueError: If the numbers of heads do not divide.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        num_key_value_heads: int | None = None,
        hidden_dim: int | None = None,
        context_dim: int | None = None,
        modulated: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden_dim if hidden_dim is not None else -(-8 * dim // 96) * 32
        self.attention_norm = RMSNorm(dim, eps=1e-6, elementwise_affine=not modulated)
        self.attention = SelfAttention(dim, num_heads, num_key_value_heads)
        self.feed_forward_norm = RMSNorm(dim, eps=1e-6, elementwise_affine=not modulated)
        self.feed_forward = FeedForward(dim, hidden)
        self.modulation = Modulation(dim) if modulated else None
        if context_dim is None:
            self.context_norm, self.context_attention = None, None
        else:
            self.context_norm = RMSNorm(dim, eps=1e-6)
            self.context_attention = CrossAttention(dim, context_dim, num_heads, num_key_value_heads)

    def forward(
        self,
        tokens: Float[Tensor, "batch token dim"],
        *,
        angles: Float[Tensor, "token half"] | None = None,
        mask: Bool[Tensor, "batch token"] | None = None,
        condition: Float[Tensor, "batch group six_dim"] | None = None,
        context: Float[Tensor, "batch word context_dim"] | None = None,
        context_mask: Bool[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Update the tokens.

        Args:
            tokens: The sequence.
            angles: Rotary positions, radians.
            mask: Tokens that self-attention may read; all when omitted.
            condition: Shared modulation, six vectors per run of tokens; the runs are equal, for instance the
                frames of a video. Needed when `modulated`.
            context: Words to read; needed when built with `context_dim`.
            context_mask: Words that may be read.

        Returns:
            The sequence, same shape.

        Raises:
            ValueError: If a condition or context that the block was built for is missing, or the tokens do
                not divide into the runs of the condition.
        """
        if self.modulation is None:
            tokens = tokens + self.attention(self.attention_norm(tokens), angles, mask)
        else:
            if condition is None:
                raise ValueError("condition is needed: the block was built with modulated=True.")
            if tokens.shape[1] % condition.shape[1]:
                raise ValueError(
                    f"condition must have as many groups as divide the {tokens.shape[1]} tokens, "
                    f"got {condition.shape[1]}."
                )
            shift, scale, gate, shift_ff, scale_ff, gate_ff = self.modulation(condition)
            modulated = _add(_multiply(self.attention_norm(tokens), 1 + scale), shift)
            tokens = tokens + _multiply(self.attention(modulated, angles, mask), gate)
        if self.context_attention is not None and self.context_norm is not None:
            if context is None:
                raise ValueError("context is needed: the block was built with context_dim.")
            tokens = tokens + self.context_attention(self.context_norm(tokens), context, context_mask)
        if self.modulation is None:
            return tokens + self.feed_forward(self.feed_forward_norm(tokens))
        modulated = _add(_multiply(self.feed_forward_norm(tokens), 1 + scale_ff), shift_ff)
        return tokens + _multiply(self.feed_forward(modulated), gate_ff)


def _multiply(tokens: Tensor, factors: Tensor) -> Tensor:
    """Tokens times the factor of their group, without writing the factors out per token."""
    grouped = rearrange(tokens, "b (g n) d -> b g n d", g=factors.shape[1])
    return rearrange(grouped * factors[:, :, None], "b g n d -> b (g n) d")


def _add(tokens: Tensor, terms: Tensor) -> Tensor:
    grouped = rearrange(tokens, "b (g n) d -> b g n d", g=terms.shape[1])
    return rearrange(grouped + terms[:, :, None], "b g n d -> b (g n) d")
