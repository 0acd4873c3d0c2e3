"""What a sampler asks of classifier-free guidance, and the plain formula."""

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["Guidance", "guide", "network_passes"]


@runtime_checkable
class Guidance(Protocol):
    """What a sampler asks of a guidance: how strong, whether it is worth a second pass, how to combine.

    Any object with these three methods is one. It holds no state between steps, so one object serves any
    number of samplers. `GuidanceSchedule` and `GuidanceWrapper` have all but what makes a guidance special.
    """

    @abstractmethod
    def scale(self, step: int, num_steps: int) -> float:
        """Guidance scale of a step.

        Args:
            step: Index of the sampling step, from 0 (pure noise) to `num_steps` - 1.
            num_steps: Number of steps in all.

        Returns:
            The scale; 1 means no guidance.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        ...

    @abstractmethod
    def needs_unconditional(self, step: int, num_steps: int) -> bool:
        """Whether a step is worth a second pass of the network, without the condition.

        Args:
            step: Index of the sampling step, from 0 (pure noise) to `num_steps` - 1.
            num_steps: Number of steps in all.

        Returns:
            True where the sampler shall make the pass and call `combine`; elsewhere it takes the conditional
            prediction as it is.

        Raises:
            ValueError: If `step` is not in [0, `num_steps`).
        """
        ...

    @abstractmethod
    def combine(
        self,
        conditional: Float[Tensor, " batch *event"],
        unconditional: Float[Tensor, " batch *event"],
        scale: float,
    ) -> Float[Tensor, " batch *event"]:
        """Guided prediction from the two predictions of the network.

        Args:
            conditional: Prediction with the condition; velocity, noise or clean sample.
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


def network_passes(guidance: Guidance | None, num_steps: int) -> int:
    """How often a sampler runs the network: once per step, and once more where guidance needs it.

    Args:
        guidance: Guidance of the sampler; None for conditional passes alone.
        num_steps: Number of sampling steps.

    Returns:
        Conditional and unconditional passes together, from `num_steps` to twice as many.

    Raises:
        TypeError: If `guidance` is none.
        ValueError: If `num_steps` < 1.

    Examples:
        >>> from diff4splat.diffusion import ConstantGuidance, CosineGuidance
        >>> network_passes(ConstantGuidance(7.5), 30), network_passes(CosineGuidance(), 30)
        (60, 46)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}.")
    if guidance is None:
        return num_steps
    check_guidance(guidance)
    return num_steps + sum(guidance.needs_unconditional(step, num_steps) for step in range(num_steps))


def check_guidance(guidance: object) -> None:
    """TypeError for what is no guidance, also for a class in place of an object of it."""
    if isinstance(guidance, type) or not isinstance(guidance, Guidance):
        got = f"the class {guidance.__name__}" if isinstance(guidance, type) else type(guidance).__name__
        raise TypeError(f"guidance must be a guidance such as ConstantGuidance(7.5), got {got}.")
