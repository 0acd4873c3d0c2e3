"""What the losses refuse before they compute."""

import torch
from torch import Tensor


def check_floating(num_axes: int, **tensors: Tensor) -> None:
    """TypeError for integers, whose mean would be cut to an integer; ValueError where an axis is missing."""
    for name, values in tensors.items():
        if not values.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {values.dtype}.")
        if values.ndim < num_axes:
            raise ValueError(f"{name} must have at least {num_axes} axes, got shape {tuple(values.shape)}.")


def check_boolean(name: str, mask: Tensor) -> None:
    """TypeError for a mask of numbers, which could be meant as weights."""
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be boolean, got {mask.dtype}.")
