"""Base of guidance that changes one thing about another guidance."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diff4splat.diffusion.guidance.guidance import Guidance, check_guidance

__all__ = ["GuidanceWrapper"]


@dataclass(frozen=True)
class GuidanceWrapper(Guidance):
    """Base of guidance around another: all is as `guidance` has it, but for the methods that are overridden.

    A combination overrides `combine`: it changes the predictions and hands them to `guidance.combine`. So any
    schedule goes with any combination, and combinations with each other.

    Args:
        guidance: The guidance inside.

    Raises:
        TypeError: If `guidance` is none.
    """

    guidance: Guidance

    def __post_init__(self) -> None:
        check_guidance(self.guidance)

    def scale(self, step: int, num_steps: int) -> float:
        """Scale of `guidance`."""
        return self.guidance.scale(step, num_steps)

    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether `guidance` needs the second pass."""
        return self.guidance.needs_unconditional(step, num_steps)

    def combine(
        self,
        conditional: Float[Tensor, " batch *event"],
        unconditional: Float[Tensor, " batch *event"],
        scale: float,
    ) -> Float[Tensor, " batch *event"]:
        """Guided prediction of `guidance`."""
        return self.guidance.combine(conditional, unconditional, scale)
