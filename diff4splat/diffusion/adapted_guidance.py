"""Guidance around another guidance: in an interval of the steps, or with adapted predictions."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.guidance import Guidance, check_step, guide

__all__ = ["AdaptiveProjectedGuidance", "IntervalGuidance", "ZeroStarGuidance"]


@dataclass(frozen=True)
class IntervalGuidance:
    """Another guidance, applied only in an interval of the sampling steps.

    Source: Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution
    Quality".

    Args:
        guidance: The guidance used inside the interval.
        start: First fraction of the steps that is guided, in [0, 1].
        stop: Fraction of the steps at which guidance ends, in [0, 1]; outside, the scale is 1.

    Raises:
        ValueError: If not 0 <= `start` <= `stop` <= 1.
    """

    guidance: Guidance
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.stop <= 1.0:
            raise ValueError(f"expected 0 <= start <= stop <= 1, got start={self.start}, stop={self.stop}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance` inside the interval, 1 outside.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.guidance.scale(step, num_steps) if self._inside(step, num_steps) else 1.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `step` is inside the interval and `guidance` needs the second pass there.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self._inside(step, num_steps) and self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction of `guidance`.

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
        return self.guidance.combine(conditional, unconditional, scale)

    def _inside(self, step: int, num_steps: int) -> bool:
        check_step(step, num_steps)
        return self.start <= step / num_steps < self.stop


@dataclass(frozen=True)
class ZeroStarGuidance:
    r"""Another guidance's schedule with the unconditional prediction rescaled to fit the conditional one.

    $$\hat v = s v_u + \gamma \, (v_c - s v_u), \quad s = \langle v_c, v_u \rangle / \lVert v_u \rVert^2$$

    with one $s$ per batch element. Source: Fan et al., "CFG-Zero*: Improved Classifier-Free Guidance for Flow
    Matching Models". Differs: the paper's zeroed first steps are left out; a guidance does not decide the
    step.

    Args:
        guidance: Gives the scale of each step and the steps to skip.
    """

    guidance: Guidance

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance`.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.guidance.scale(step, num_steps)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `guidance` needs the second pass at `step`.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction with the fitted unconditional one; a zero unconditional prediction stays zero.

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
        wide = torch.promote_types(conditional.dtype, torch.float32)
        inner = _inner(conditional.to(wide), unconditional.to(wide))
        energy = _inner(unconditional.to(wide), unconditional.to(wide))
        fit = inner / energy.clamp_min(torch.finfo(wide).tiny)
        return guide(conditional, fit.to(conditional.dtype) * unconditional, scale)


@dataclass(frozen=True)
class AdaptiveProjectedGuidance:
    r"""Another guidance's schedule without the part of the update that only raises contrast.

    The difference $d = v_c - v_u$, shortened to at most `norm_limit`, is split into a part parallel to $v_c$
    and a part orthogonal to it:

    $$\hat v = v_c + (\gamma - 1) \, (d_\perp + \eta \, d_\parallel)$$

    Source: Sadat et al., "Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion
    Models".
    Differs: no momentum, so the guidance holds no state.

    Args:
        guidance: Gives the scale of each step and the steps to skip.
        parallel: $\eta$, the share of the parallel part that is kept; 1 is plain guidance.
        norm_limit: Largest L2 norm of $d$ per batch element; infinite by default.

    Raises:
        ValueError: If `norm_limit` is not positive.
    """

    guidance: Guidance
    parallel: float = 0.0
    norm_limit: float = math.inf

    def __post_init__(self) -> None:
        if not self.norm_limit > 0:
            raise ValueError(f"norm_limit must be > 0, got {self.norm_limit}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance`.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.guidance.scale(step, num_steps)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `guidance` needs the second pass at `step`.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction from the projected difference.

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
        if scale == 1.0:
            return conditional
        wide = torch.promote_types(conditional.dtype, torch.float32)
        direction = conditional.to(wide)
        difference = direction - unconditional.to(wide)
        tiny = torch.finfo(wide).tiny
        if math.isfinite(self.norm_limit):
            length = _inner(difference, difference).clamp_min(tiny).sqrt()
            difference = difference * (self.norm_limit / length.clamp_min(self.norm_limit))
        share = _inner(difference, direction) / _inner(direction, direction).clamp_min(tiny)
        along = share * direction
        update = (difference - along) + self.parallel * along
        return (direction + (scale - 1.0) * update).to(conditional.dtype)


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Inner product over all axes but the first, kept as axes of length 1."""
    product = left * right
    return product.flatten(1).sum(1).reshape(-1, *[1] * (product.ndim - 1))
