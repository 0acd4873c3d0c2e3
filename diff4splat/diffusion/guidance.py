"""Classifier-free guidance: how strongly the condition pulls, at which sampling step.

A guidance answers three questions and holds no state between steps, so one object serves any number of
samplers: `scale` (how strong is this step), `needs_unconditional` (is the second network pass worth its cost)
and `combine`.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["ConstantGuidance", "CosineGuidance", "Guidance", "guide"]


@runtime_checkable
class Guidance(Protocol):
    """What a sampler asks of a guidance; implement these three methods to bring your own."""

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale at `step`, counted from 0 (pure noise) to `num_steps` - 1.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.
        """
        ...

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether this step needs the unconditional prediction at all.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.
        """
        ...

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction from the two predictions of the network.

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
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

    Raises:
        ValueError: If `value` is not finite.
    """

    value: float = 7.5

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"value must be finite, got {self.value}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale at `step`: always `value`.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        check_step(step, num_steps)
        return float(self.value)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether the scale differs from 1.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        return self.scale(step, num_steps) != 1.0

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction, see [guide][diff4splat.diffusion.guide].

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
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

    Raises:
        ValueError: If `maximum` is negative, `exponent` not positive, or either not finite.

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
        """Guidance scale at `step`, from 1 + `maximum` down towards 1.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        check_step(step, num_steps)
        remaining = (num_steps - step) / num_steps
        return 1.0 + self.maximum * (1.0 - math.cos(math.pi * remaining**self.exponent)) / 2.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether the scale at `step` is at least `skip_below` and not exactly 1.

        Args:
            step: Index of the sampling step, from 0 (pure noise).
            num_steps: Number of steps in all.

        Returns:
            True where `combine` will need the unconditional prediction.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        scale = self.scale(step, num_steps)
        return scale >= self.skip_below and scale != 1.0

    def combine(
        self,
        conditional: Float[Tensor, "batch *event"],
        unconditional: Float[Tensor, "batch *event"],
        scale: float,
    ) -> Float[Tensor, "batch *event"]:
        """Guided prediction, see [guide][diff4splat.diffusion.guide].

        Args:
            conditional: Prediction with the condition.
            unconditional: Prediction of the same kind without it.
            scale: Guidance scale; 1 gives `conditional`.

        Returns:
            The guided prediction, in the type of `conditional`.
        """
        return guide(conditional, unconditional, scale)


def check_step(step: int, num_steps: int) -> None:
    """ValueError where a step is none of a number of steps."""
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be in [0, {num_steps}), got {step}.")
