"""The paper's guidance: strong at first, fading with a cosine."""

import math
from dataclasses import dataclass

from diff4splat.diffusion.guidance.schedule import GuidanceSchedule, check_step

__all__ = ["CosineGuidance"]


@dataclass(frozen=True)
class CosineGuidance(GuidanceSchedule):
    r"""Guidance that is strong while the layout forms and fades before the details do.

    $$\gamma(t) = 1 + \gamma_{\max} \, \frac{1 - \cos\left(\pi \left(\frac{N - t}{N}\right)^5\right)}{2}$$

    with $\gamma_{\max}$ = `maximum`, $N$ = `num_steps`, the 5 = `exponent`, and $t$ = `step`, the index of
    the step (0 is pure noise). It starts at 1 + `maximum` and ends near 1. Source: Diff4Splat, Eq. 6.

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
        ValueError: If `maximum` is negative, `exponent` not positive, or an option not finite.

    Examples:
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
        if not math.isfinite(self.skip_below):
            raise ValueError(f"skip_below must be finite, got {self.skip_below}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale of a step, from 1 + `maximum` down towards 1."""
        check_step(step, num_steps)
        remaining = (num_steps - step) / num_steps
        return 1.0 + self.maximum * (1.0 - math.cos(math.pi * remaining**self.exponent)) / 2.0
