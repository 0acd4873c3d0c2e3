"""Guidance in some of the steps."""

from dataclasses import dataclass

from diff4splat.diffusion.guidance.schedule import check_step
from diff4splat.diffusion.guidance.wrapper import GuidanceWrapper

__all__ = ["IntervalGuidance"]


@dataclass(frozen=True)
class IntervalGuidance(GuidanceWrapper):
    """Another guidance, applied only in an interval of the sampling steps.

    Source: Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution
    Quality".
    Differs: the interval counts steps, that of the source is one of noise levels.

    Args:
        guidance: The guidance used inside the interval.
        start: First fraction of the steps that is guided, in [0, 1].
        stop: Fraction of the steps at which guidance ends, in [0, 1]; outside, the scale is 1.

    Raises:
        ValueError: If not 0 <= `start` <= `stop` <= 1.
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.start <= self.stop <= 1.0:
            raise ValueError(f"expected 0 <= start <= stop <= 1, got start={self.start}, stop={self.stop}.")

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance` inside the interval, 1 outside."""
        return self.guidance.scale(step, num_steps) if self._inside(step, num_steps) else 1.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether a step is inside the interval and `guidance` needs the second pass there."""
        return self._inside(step, num_steps) and self.guidance.needs_unconditional(step, num_steps)

    def _inside(self, step: int, num_steps: int) -> bool:
        check_step(step, num_steps)
        return self.start <= step / num_steps < self.stop
