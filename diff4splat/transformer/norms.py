"""Root mean square norm that computes in the type of its weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RMSNorm"]


class RMSNorm(nn.RMSNorm):
    """`torch.nn.RMSNorm` for tokens of a narrower type than its weights.

    Under autocast a linear layer hands on bfloat16 while the gains of a norm stay float32. Tokens are widened
    to the type of the gains first, as autocast does for other norms; torch's own layer would warn and leave
    its fast path. Equal types give what `torch.nn.RMSNorm` gives, bit by bit.
    """

    def forward(self, tokens: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Tokens divided by their root mean square, times the gains.

        Args:
            tokens: Tokens of any layout.

        Returns:
            Normalised tokens, in the wider of the types of tokens and gains.
        """
        if self.weight is None:
            return super().forward(tokens)
        return super().forward(tokens.to(torch.promote_types(tokens.dtype, self.weight.dtype)))
