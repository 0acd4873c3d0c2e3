"""CFG-Zero*: guidance from an unconditional prediction of fitting length."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.guidance.inner_product import inner_product
from diff4splat.diffusion.guidance.wrapper import GuidanceWrapper

__all__ = ["ZeroStarGuidance"]


@dataclass(frozen=True)
class ZeroStarGuidance(GuidanceWrapper):
    r"""Another guidance with the unconditional prediction rescaled to fit the conditional one.

    $$\hat v = s v_u + \gamma \, (v_c - s v_u), \quad s = \langle v_c, v_u \rangle / \lVert v_u \rVert^2$$

    with one $s$ per batch element. Source: Fan et al., "CFG-Zero*: Improved Classifier-Free Guidance for Flow
    Matching Models". Differs: the zeroed first steps of the source are left to the sampler, because a
    combination does not know the step; a callback of `euler_sample` that returns the noise after these steps
    does exactly that.

    Args:
        guidance: Gives the scale of each step, the steps to skip, and what is done with the two predictions.
    """

    def combine(
        self,
        conditional: Float[Tensor, " batch *event"],
        unconditional: Float[Tensor, " batch *event"],
        scale: float,
    ) -> Float[Tensor, " batch *event"]:
        """Guided prediction with the fitted unconditional one; a zero unconditional prediction stays zero."""
        wide = torch.promote_types(conditional.dtype, torch.float32)
        target, source = conditional.to(wide), unconditional.to(wide)
        energy = inner_product(source, source).clamp_min(torch.finfo(wide).tiny)
        fit = inner_product(target, source) / energy
        return self.guidance.combine(target, fit * source, scale).to(conditional.dtype)
