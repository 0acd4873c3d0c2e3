"""APG: guidance without the part of the update that oversaturates."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.guidance.inner_product import inner_product
from diff4splat.diffusion.guidance.wrapper import GuidanceWrapper

__all__ = ["AdaptiveProjectedGuidance"]


@dataclass(frozen=True)
class AdaptiveProjectedGuidance(GuidanceWrapper):
    r"""Another guidance without the part of the update that only raises contrast.

    The difference $d = v_c - v_u$, shortened to at most `norm_limit`, is split into a part parallel to $v_c$
    and a part orthogonal to it:

    $$\hat v = v_c + (\gamma - 1) \, (d_\perp + \eta \, d_\parallel)$$

    which is plain guidance from $v_c - d_\perp - \eta \, d_\parallel$ in place of $v_u$.
    Source: Sadat et al., "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion
    Models".
    Differs: no momentum, so the guidance holds no state.

    Args:
        guidance: Gives the scale of each step, the steps to skip, and what is done with the two predictions.
        parallel: $\eta$, the share of the parallel part that is kept; 1 is plain guidance.
        norm_limit: Largest L2 norm of $d$ per batch element; infinite by default.

    Raises:
        ValueError: If `norm_limit` is not positive or `parallel` not finite.
    """

    parallel: float = 0.0
    norm_limit: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.parallel):
            raise ValueError(f"parallel must be finite, got {self.parallel}.")
        if not self.norm_limit > 0:
            raise ValueError(f"norm_limit must be > 0, got {self.norm_limit}.")

    def combine(
        self,
        conditional: Float[Tensor, " batch *event"],
        unconditional: Float[Tensor, " batch *event"],
        scale: float,
    ) -> Float[Tensor, " batch *event"]:
        """Guided prediction from the projected difference."""
        wide = torch.promote_types(conditional.dtype, torch.float32)
        direction = conditional.to(wide)
        difference = direction - unconditional.to(wide)
        tiny = torch.finfo(wide).tiny
        if math.isfinite(self.norm_limit):
            length = inner_product(difference, difference).clamp_min(tiny).sqrt()
            difference = difference * (self.norm_limit / length.clamp_min(self.norm_limit))
        share = inner_product(difference, direction) / inner_product(direction, direction).clamp_min(tiny)
        along = share * direction
        update = (difference - along) + self.parallel * along
        return self.guidance.combine(direction, direction - update, scale).to(conditional.dtype)
