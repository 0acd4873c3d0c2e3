"""Classifier-free guidance: how strongly the condition pulls, at which sampling step.

A guidance answers three questions and holds no state between steps, so one object serves any number of
samplers: `scale` (how strong is this step), `needs_unconditional` (is the second network pass worth its cost)
and `combine`.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "AdaptiveProjectedGuidance",
    "ConstantGuidance",
    "CosineGuidance",
    "Guidance",
    "IntervalGuidance",
    "ZeroStarGuidance",
    "guide",
]


@runtime_checkable
class Guidance(Protocol):
    """What a sampler asks of a guidance; implement these three methods to bring your own."""

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale at `step`, counted from 0 (pure noise) to `num_steps` - 1."""
        ...

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether this step needs the unconditional prediction at all."""
        ...

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction from the two predictions of the network."""
        ...


def guide(
    conditional: Float[Tensor, "*shape"], unconditional: Float[Tensor, "*shape"], scale: float
) -> Float[Tensor, "*shape"]:
    r"""Extrapolate from the unconditional through the conditional prediction.

    $$\hat v = v_u + \gamma \, (v_c - v_u)$$

    with $v_c$ = `conditional`, $v_u$ = `unconditional`, $\gamma$ = `scale`.
    Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", with $\gamma = 1 + w$ in the notation of
    Eq. 6.

    Args:
        conditional: Prediction with the condition; velocity, noise or clean sample.
        unconditional: Prediction of the same kind without the condition.
        scale: 0 gives `unconditional`, 1 gives `conditional` to the last bit.

    Returns:
        The guided prediction.
    """
    if scale == 1.0:
        return conditional
    return unconditional + scale * (conditional - unconditional)


@dataclass(frozen=True)
class ConstantGuidance:
    """The same guidance scale at every step.

    Args:
        value: Guidance scale; 1 switches guidance, and with it the second network pass, off.
    """

    value: float = 7.5

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"value must be finite, got {self.value}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale at `step`: always `value`."""
        _check_step(step, num_steps)
        return float(self.value)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether the scale differs from 1."""
        return self.scale(step, num_steps) != 1.0

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction, see [guide][diff4splat.diffusion.guide]."""
        return guide(conditional, unconditional, scale)


@dataclass(frozen=True)
class CosineGuidance:
    r"""Guidance that is strong while the layout forms and fades before the details do.

    $$\gamma(t) = 1 + \gamma_{max} \, \frac{1 - \cos\left(\pi \left(\frac{N - t}{N}\right)^5\right)}{2}$$

    with $\gamma_{max}$ = `maximum`, $N$ = `num_steps`, the 5 = `exponent`, and $t$ = `step`, the index of the
    step (0 is pure noise). It starts at 1 + `maximum` and ends near 1. Source: Diff4Splat, Eq. 6.

    Reading: the paper calls $t$ the current timestep. It is the step index here, the only reading under which
    the scale falls monotonically, as the paper says it does; a training timestep of 0..999 in its place makes
    the scale jump at random.

    Args:
        maximum: Largest addition to a scale of 1.
        exponent: Larger values fade earlier.
        skip_below: Steps whose scale lies below this use the conditional prediction alone and save one
            network pass; with the defaults and 30 steps that is 14 passes of 60. Set 1 to skip nothing but
            scale 1 itself.

    Example:
        >>> guidance = CosineGuidance()
        >>> [round(guidance.scale(step, 30), 2) for step in (0, 5, 10, 29)]
        [8.5, 3.61, 1.32, 1.0]
    """

    maximum: float = 7.5
    exponent: float = 5.0
    skip_below: float = 1.01

    def __post_init__(self) -> None:
        if not (math.isfinite(self.maximum) and self.maximum >= 0):
            raise ValueError(f"maximum must be finite and >= 0, got {self.maximum}.")
        if not (math.isfinite(self.exponent) and self.exponent > 0):
            raise ValueError(f"exponent must be finite and > 0, got {self.exponent}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale at `step`, from 1 + `maximum` down towards 1."""
        _check_step(step, num_steps)
        remaining = (num_steps - step) / num_steps
        return 1.0 + self.maximum * (1.0 - math.cos(math.pi * remaining**self.exponent)) / 2.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether the scale at `step` is at least `skip_below` and not exactly 1."""
        scale = self.scale(step, num_steps)
        return scale >= self.skip_below and scale != 1.0

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction, see [guide][diff4splat.diffusion.guide]."""
        return guide(conditional, unconditional, scale)


@dataclass(frozen=True)
class IntervalGuidance:
    """Another guidance, applied only in an interval of the sampling steps.

    Source: Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution
    Quality".

    Args:
        guidance: The guidance used inside the interval.
        start: First fraction of the steps that is guided, in [0, 1].
        stop: Fraction of the steps at which guidance ends, in [0, 1]; outside, the scale is 1.
    """

    guidance: Guidance
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.stop <= 1.0:
            raise ValueError(f"expected 0 <= start <= stop <= 1, got start={self.start}, stop={self.stop}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance` inside the interval, 1 outside."""
        return self.guidance.scale(step, num_steps) if self._inside(step, num_steps) else 1.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `step` is inside the interval and `guidance` needs the second pass there."""
        return self._inside(step, num_steps) and self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction of `guidance`."""
        return self.guidance.combine(conditional, unconditional, scale)

    def _inside(self, step: int, num_steps: int) -> bool:
        _check_step(step, num_steps)
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
        """Scale of `guidance`."""
        return self.guidance.scale(step, num_steps)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `guidance` needs the second pass at `step`."""
        return self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction with the fitted unconditional one; a zero unconditional prediction stays zero."""
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
    """

    guidance: Guidance
    parallel: float = 0.0
    norm_limit: float = math.inf

    def __post_init__(self) -> None:
        if not self.norm_limit > 0:
            raise ValueError(f"norm_limit must be > 0, got {self.norm_limit}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance`."""
        return self.guidance.scale(step, num_steps)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `guidance` needs the second pass at `step`."""
        return self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction from the projected difference."""
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


def _check_step(step: int, num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be in [0, {num_steps}), got {step}.")
