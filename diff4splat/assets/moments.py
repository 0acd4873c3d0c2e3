"""The moments of a field that a file of several holds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["check_times", "moments"]


def check_times(
    field: DeformableGaussianField, times: Float[Tensor, " frame"] | Sequence[float] | None
) -> list[float]:
    """Times as numbers, once they are known to be some.

    Args:
        field: Where the times come from when they are omitted.
        times: Times in [0, 1], strictly ascending; those stored in the field when None.

    Returns:
        At least one time.

    Raises:
        ValueError: If there is none, or they do not ascend in [0, 1].
    """
    values = field.times if times is None else torch.as_tensor(times, dtype=torch.float64)
    numbers = [float(value) for value in values.detach().reshape(-1).tolist()]
    if not numbers:
        raise ValueError("times must name at least one time, got none.")
    if not all(0 <= value <= 1 for value in numbers) or sorted(set(numbers)) != numbers:
        raise ValueError(f"times must ascend strictly in [0, 1], got {numbers}.")
    return numbers


def moments(field: DeformableGaussianField, times: Sequence[float]) -> Iterator[Gaussians]:
    """Gaussians at each time, for programs that blend from one to the next.

    Args:
        field: One field without batch axes.
        times: Times in [0, 1], ascending.

    Yields:
        Gaussians with unit quaternions, each on the side of the one at the time before: halfway between the
        two is then no zero, however far apart the times are.
    """
    before = None
    for time in times:
        gaussians = field.at(time)
        if before is not None:
            turned_over = (gaussians.quaternions * before).sum(-1, keepdim=True) < 0
            signed = torch.where(turned_over, -gaussians.quaternions, gaussians.quaternions)
            gaussians = replace(gaussians, quaternions=signed)
        before = gaussians.quaternions
        yield gaussians
