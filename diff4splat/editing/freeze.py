"""Gaussians held as they are at one moment."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import check_mask
from diff4splat.editing.deltas_at import deltas_at
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["freeze"]


def freeze(
    field: DeformableGaussianField, time: float | int, *, mask: Bool[Tensor, "*#batch gaussian"] | None = None
) -> DeformableGaussianField:
    """Field whose Gaussians, all or some, stay as they are at one time of the clip.

    Args:
        field: Any field.
        time: Time in [0, 1] at which they are taken.
        mask: Gaussians that are held; the others move on, unchanged to the last bit. All when omitted.

    Returns:
        Field with the stored times of `field`; gradients flow to its deltas.

    Raises:
        ValueError: If `time` lies outside [0, 1] or is NaN, or `mask` has another length than the field.
    """
    if not 0 <= time <= 1:
        raise ValueError(f"time must lie in [0, 1], got {time:.6g}.")
    if mask is None:
        mask = torch.ones(field.num_gaussians, dtype=torch.bool, device=field.device)
    check_mask(mask, field)
    held = deltas_at(field, [time])
    chosen = mask[..., None, :, None]
    return replace(
        field,
        delta_means=torch.where(chosen, held.means, field.delta_means),
        delta_quaternions=torch.where(chosen, held.quaternions, field.delta_quaternions),
        delta_scales=torch.where(chosen, held.scales, field.delta_scales),
    )
