"""Seconds that a step of the protocol takes."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["timed"]

Result = TypeVar("Result")


def timed(
    work: Callable[[], Result], num_scenes: int, device: torch.device
) -> tuple[Result, Float[Tensor, " batch"]]:
    """Result of some work on a batch of scenes, and its wall-clock seconds per scene.

    Args:
        work: What to do.
        num_scenes: Scenes in the batch.
        device: Where the work happens; a GPU is waited for before and after.

    Returns:
        The result, and the seconds of the batch divided by its scenes, once per scene.
    """
    _wait_for(device)
    start = time.perf_counter()
    result = work()
    _wait_for(device)
    return result, torch.full((num_scenes,), (time.perf_counter() - start) / num_scenes)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
