"""Base of guidance schedules: how strong each step is."""

from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.guidance.guidance import Guidance, guide

__all__ = ["GuidanceSchedule"]


class GuidanceSchedule(Guidance):
    """Base of a schedule: give it `scale`, and it skips the passes that change nothing and combines plainly.

    Attributes:
        skip_below: Steps whose scale is at least 1 and below this use the conditional prediction alone, and
            save one network pass. With 1, the default, only a scale of 1 does. A schedule that is a
            dataclass makes it an option by declaring it as a field.
    """

    skip_below: float = 1.0

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether the scale of a step is neither 1 nor between 1 and `skip_below`."""
        scale = self.scale(step, num_steps)
        return scale != 1.0 and not 1.0 <= scale < self.skip_below

    def combine(
        self,
        conditional: Float[Tensor, " batch *event"],
        unconditional: Float[Tensor, " batch *event"],
        scale: float,
    ) -> Float[Tensor, " batch *event"]:
        """Guided prediction, see [guide][diff4splat.diffusion.guide]."""
        return guide(conditional, unconditional, scale)


def check_step(step: int, num_steps: int) -> None:
    """ValueError where a step is none of a number of steps."""
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be in [0, {num_steps}), got {step}.")
