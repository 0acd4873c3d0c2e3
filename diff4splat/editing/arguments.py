"""Arguments that several edits share: moments, masks and thresholds, checked in words."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["Moment", "check_mask", "check_number", "check_single", "over_moments", "to_times"]

Moment = float | int | Literal["any", "all"] | None
"""When a Gaussian is looked at: in its canonical state (None), at one time, or at any or all stored times."""


def over_moments(field: DeformableGaussianField, time: Moment, test: Callable[[Gaussians], Tensor]) -> Tensor:
    """What a test says of the Gaussians at a moment, or at any or all of the stored times."""
    if time is None:
        return test(field.canonical)
    if not isinstance(time, str):
        return test(field.at(time))
    if time not in ("any", "all"):
        raise ValueError(f"time must be a number in [0, 1], 'any', 'all' or None, got {time!r}.")
    answers = torch.stack([test(field.at(moment)) for moment in field.times.detach()])
    return answers.any(dim=0) if time == "any" else answers.all(dim=0)


def check_single(edit: str, field: DeformableGaussianField) -> None:
    """ValueError for a batch of fields, where an edit looks at one."""
    if field.batch_shape:
        raise ValueError(
            f"{edit} needs one field without batch axes (see DeformableGaussianField.batch), "
            f"got batch shape {list(field.batch_shape)}."
        )


def check_mask(mask: Tensor, field: DeformableGaussianField) -> None:
    """ValueError for anything but one truth value per Gaussian."""
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean, got {mask.dtype}.")
    if tuple(mask.shape) not in ((field.num_gaussians,), (*field.batch_shape, field.num_gaussians)):
        raise ValueError(
            f"mask must have one entry for each of {field.num_gaussians} Gaussians, "
            f"got shape {list(mask.shape)}."
        )


def check_number(
    name: str, value: float | int, *, above: float | int = -math.inf, least: float | int = -math.inf
) -> None:
    """ValueError for a number that is NaN, infinite or too small."""
    if not math.isfinite(value) or value <= above or value < least:
        bound = f" above {above:g}" if above > -math.inf else f" of at least {least:g}"
        bound = bound if max(above, least) > -math.inf else ""
        raise ValueError(f"{name} must be a finite number{bound}, got {value}.")


def to_times(name: str, times: Tensor | Sequence[float], field: DeformableGaussianField) -> Tensor:
    """Times in the type of the field's own, without gradient; ValueError outside [0, 1]."""
    moments = torch.as_tensor(times, dtype=field.times.dtype, device=field.device).detach()
    if moments.ndim != 1 or moments.shape[0] < 1:
        raise ValueError(f"{name} must have one axis of at least one time, got shape {list(moments.shape)}.")
    if not ((moments >= 0) & (moments <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1], got {moments.tolist()}.")
    return moments
