"""A prompt encoder that needs no vocabulary file: UTF-8 bytes in, one vector per byte out."""

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diff4splat.hub import HubModule
from diff4splat.transformer import RMSNorm, TransformerBlock, rotary_positions

__all__ = ["ByteTextEncoder", "bytes_to_ids"]

_logger = logging.getLogger(__name__)
_START = 256
_PADDING = 257


class ByteTextEncoder(HubModule):
    """Transformer over the UTF-8 bytes of a prompt; any language, any length up to a cut.

    The sequence opens with a start symbol, so that the empty prompt, which stands for "no prompt" in
    guidance, is one vector long. Case and runs of white space make no difference.

    Args:
        dim: Width of the vectors.
        num_layers: Transformer blocks.
        num_heads: Attention heads.
        max_bytes: Longer prompts are cut here, with a log message.
    """

    def __init__(self, dim: int = 128, num_layers: int = 2, num_heads: int = 4, max_bytes: int = 128) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.embedding = nn.Embedding(258, dim, padding_idx=_PADDING)
        self.blocks = nn.ModuleList([TransformerBlock(dim, num_heads=num_heads) for _ in range(num_layers)])
        self.neighbours = nn.Conv1d(dim, dim, 5, padding=2)
        self.norm = RMSNorm(dim, eps=1e-6)
        self.head_dim = dim // num_heads

    def forward(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "batch word dim"], Bool[Tensor, "batch word"]]:
        """Encode prompts; what a prompt becomes does not depend on the others of its batch.

        Args:
            prompts: Texts; "" is no prompt.

        Returns:
            One vector per byte, zero at padding; and the places that hold a vector.
        """
        ids = bytes_to_ids(prompts, max_bytes=self.max_bytes, device=self.embedding.weight.device)
        mask = ids != _PADDING
        words = self.embedding(ids) * mask[..., None]
        words = words + self.neighbours(words.transpose(1, 2)).transpose(1, 2)
        angles = rotary_positions(1, 1, ids.shape[1], self.head_dim, device=ids.device)
        for block in self.blocks:
            words = block(words, angles=angles, mask=mask)
        return self.norm(words) * mask[..., None], mask


def bytes_to_ids(
    prompts: Sequence[str], *, max_bytes: int = 128, device: torch.device | None = None
) -> Int[Tensor, "batch word"]:
    """Start symbol (256), UTF-8 bytes (0 to 255), padding (257) to the longest prompt.

    Args:
        prompts: Texts, put into lower case; lone surrogates are replaced by a question mark.
        max_bytes: Bytes kept of a prompt.
        device: Where to make the ids.

    Returns:
        Ids, one row per prompt.
    """
    rows = []
    for prompt in prompts:
        raw = " ".join(prompt.split()).lower().encode("utf-8", errors="replace")
        if len(raw) > max_bytes:
            _logger.warning("prompt cut to its first %d of %d bytes", max_bytes, len(raw))
        rows.append([_START, *raw[:max_bytes]])
    length = max(map(len, rows))
    padded = [row + [_PADDING] * (length - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device)
