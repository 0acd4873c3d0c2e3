"""The same guidance at every step."""

import math
from dataclasses import dataclass

from diff4splat.diffusion.guidance.schedule import GuidanceSchedule, check_step

__all__ = ["ConstantGuidance"]


@dataclass(frozen=True)
class ConstantGuidance(GuidanceSchedule):
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
        """Guidance scale of a step: always `value`."""
        check_step(step, num_steps)
        return float(self.value)
