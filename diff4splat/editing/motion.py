"""Motion made larger or smaller."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from diff4splat.editing.arguments import check_mask, check_number
from diff4splat.editing.deltas_at import deltas_at
from diff4splat.gaussians import (
    DeformableGaussianField,
    Deltas,
    compose_deltas,
    interpolate_deltas,
    invert_deltas,
)

__all__ = ["scale_motion"]


def scale_motion(
    field: DeformableGaussianField,
    factor: float | int,
    *,
    time: float | int = 0.0,
    mask: Bool[Tensor, "*#batch gaussian"] | None = None,
) -> DeformableGaussianField:
    r"""Field whose motion is exaggerated, damped or turned round.

    $$A'_t = A_{t_0} \, (A_{t_0}^{-1} A_t)^k$$

    with $A_t$ the deformation at time $t$, $t_0$ = `time` and $k$ = `factor`: displacements and changes of
    scale since $t_0$ are multiplied by $k$, rotations since $t_0$ have their angle multiplied, taken the
    short way round. At $t_0$ nothing changes. Exact at stored times, and in between for all but rotations.

    Args:
        field: Any field.
        factor: 0 holds still, 1 changes nothing, 2 moves twice as far, -1 the other way.
        time: Time in [0, 1] that motion is counted from.
        mask: Gaussians that are changed; the others move on, unchanged to the last bit. All when omitted.

    Returns:
        Field with the stored times of `field`; gradients flow to its deltas.

    Raises:
        ValueError: If `factor` is not finite, `time` lies outside [0, 1], or `mask` has another length than
            the field.
    """
    check_number("factor", factor)
    if not 0 <= time <= 1:
        raise ValueError(f"time must lie in [0, 1], got {time:.6g}.")
    if mask is None:
        mask = torch.ones(field.num_gaussians, dtype=torch.bool, device=field.device)
    check_mask(mask, field)
    if factor == 1:
        return field
    stored = Deltas(field.delta_means, field.delta_quaternions, field.delta_scales)
    start = Deltas(
        *(values.expand_as(like) for values, like in zip(deltas_at(field, [time]), stored, strict=True))
    )
    since = compose_deltas(invert_deltas(start), stored)
    rest = torch.zeros_like(since.quaternions)
    rest[..., 0] = 1
    still = Deltas(torch.zeros_like(since.means), rest, torch.zeros_like(since.scales))
    changed = compose_deltas(start, interpolate_deltas(still, since, factor))
    chosen = mask[..., None, :, None]
    means, quaternions, scales = (torch.where(chosen, *pair) for pair in zip(changed, stored, strict=True))
    return replace(field, delta_means=means, delta_quaternions=quaternions, delta_scales=scales)
