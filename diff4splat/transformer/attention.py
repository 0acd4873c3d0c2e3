"""Attention in which several query heads share one key-value head."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diff4splat.transformer.norms import RMSNorm
from diff4splat.transformer.positions import rotate_by_position

__all__ = ["CrossAttention", "SelfAttention"]


class _GroupedAttention(nn.Module):
    """Projections and heads that both kinds of attention have; abstract."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, num_key_value_heads: int | None) -> None:
        super().__init__()
        key_value_heads = num_heads if num_key_value_heads is None else num_key_value_heads
        _check_heads(dim, num_heads, key_value_heads)
        self.num_heads = num_heads
        self.num_key_value_heads = key_value_heads
        self.head_dim = dim // num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(context_dim, 2 * key_value_heads * self.head_dim, bias=False)
        self.query_norm = RMSNorm(self.head_dim, eps=1e-6)
        self.key_norm = RMSNorm(self.head_dim, eps=1e-6)
        self.output = nn.Linear(dim, dim)

    def _attend(
        self, tokens: Tensor, context: Tensor, mask: Tensor | None, angles: Tensor | None = None
    ) -> Tensor:
        query = rearrange(self.query(tokens), "b n (h d) -> b h n d", h=self.num_heads)
        key, value = rearrange(
            self.key_value(context), "b n (two h d) -> two b h n d", two=2, h=self.num_key_value_heads
        )
        query, key = self.query_norm(query), self.key_norm(key)
        if angles is not None:
            query, key = rotate_by_position(query, angles), rotate_by_position(key, angles)
        mixed = F.scaled_dot_product_attention(
            query.to(value.dtype),  # a norm may have widened it
            key.to(value.dtype),
            value,
            attn_mask=None if mask is None else rearrange(mask, "b n -> b 1 1 n"),
            enable_gqa=self.num_heads != self.num_key_value_heads,
        )
        return self.output(rearrange(mixed, "b h n d -> b n (h d)"))


class SelfAttention(_GroupedAttention):
    r"""Grouped-query self-attention with normalised queries and keys.

    $$\mathrm{head}_i = \mathrm{softmax}\!\left(\frac{Q_i K_{g(i)}^\top}{\sqrt{d_h}}\right) V_{g(i)}$$

    where query head $i$ reads the key-value head $g(i) = \lfloor i\, n_{kv} / n_q \rfloor$.
    Source: Ainslie et al. 2023 (GQA); queries and keys pass an RMS norm per head.

    Args:
        dim: Token width.
        num_heads: Query heads; divides `dim`.
        num_key_value_heads: Key-value heads; divides `num_heads`. As many as `num_heads`, the default, is
            ordinary attention; 1 is multi-query attention.

    Raises:
        ValueError: If the numbers do not divide.
    """

    def __init__(self, dim: int, num_heads: int, num_key_value_heads: int | None = None) -> None:
        super().__init__(dim, dim, num_heads, num_key_value_heads)

    def forward(
        self,
        tokens: Float[Tensor, "batch token dim"],
        angles: Float[Tensor, "token half"] | None = None,
        mask: Bool[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Mix the tokens of each sequence.

        Args:
            tokens: The sequences.
            angles: Rotary positions in radians, see `rotary_positions`; no positions when omitted.
            mask: Tokens that may be read; all when omitted. At least one per sequence.

        Returns:
            Mixed tokens, also at places that are not read.
        """
        return self._attend(tokens, tokens, mask, angles)


class CrossAttention(_GroupedAttention):
    """Attention from tokens to a context of another width, for example the words of a prompt.

    Args:
        dim: Token width.
        context_dim: Width of the context.
        num_heads: Query heads; divides `dim`.
        num_key_value_heads: Key-value heads; divides `num_heads`.

    Raises:
        ValueError: If the numbers do not divide.
    """

    def __init__(
        self, dim: int, context_dim: int, num_heads: int, num_key_value_heads: int | None = None
    ) -> None:
        super().__init__(dim, context_dim, num_heads, num_key_value_heads)

    def forward(
        self,
        tokens: Float[Tensor, "batch token dim"],
        context: Float[Tensor, "batch word context_dim"],
        mask: Bool[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Let every token read the context.

        Args:
            tokens: The sequences.
            context: What is read.
            mask: Words that may be read; all when omitted. At least one per sequence.

        Returns:
            What each token has read.
        """
        return self._attend(tokens, context, mask)


def _check_heads(dim: int, num_heads: int, num_key_value_heads: int) -> None:
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"num_heads must divide dim={dim}, got {num_heads}.")
    if num_key_value_heads < 1 or num_heads % num_key_value_heads:
        raise ValueError(f"num_key_value_heads must divide num_heads={num_heads}, got {num_key_value_heads}.")
