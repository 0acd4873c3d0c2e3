"""Choice of Gaussians by a box."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.editing.arguments import Moment, over_moments
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import rigid_inverse

__all__ = ["gaussians_in_box"]


def gaussians_in_box(
    field: DeformableGaussianField,
    low: Float[Tensor, "xyz=3"] | Sequence[float],
    high: Float[Tensor, "xyz=3"] | Sequence[float],
    *,
    box_to_world: Float[Tensor, "4 4"] | None = None,
    time: Moment = None,
) -> Bool[Tensor, "*batch gaussian"]:
    """Which Gaussians have their centre in a box; faces belong to it.

    `field.select(mask)` is the crop, `field.select(~mask)` what it leaves.

    Args:
        field: Any field.
        low: Smallest corner in the axes of the box, scene units; -inf leaves that side open.
        high: Largest corner; inf leaves that side open.
        box_to_world: Rigid transform from the axes of the box to the world; the world's axes when omitted.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.
            Centres move on straight lines between stored times, so that "all" holds between them too; what
            only crosses a corner of the box between two of them is not in "any".

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If a corner is NaN, not smaller than the other along an axis or not of length 3,
            `box_to_world` is not 4 x 4, or `time` is none.

    Examples:
        >>> gaussians = Gaussians(
        ...     torch.eye(3), torch.ones(3, 4), torch.ones(3, 3), torch.ones(3), torch.zeros(3, 1, 3)
        ... )
        >>> field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
        >>> mask = gaussians_in_box(field, (0.5, -1.0, -1.0), (2.0, 1.0, 1.0))
        >>> field.select(mask).num_gaussians
        1
    """
    ends = torch.stack([_corner(name, corner, field) for name, corner in (("low", low), ("high", high))])
    if not (ends[0] < ends[1]).all():
        raise ValueError(
            f"low must be below high along every axis, got {ends[0].tolist()} and {ends[1].tolist()}."
        )
    world_to_box = None
    if box_to_world is not None:
        if box_to_world.shape != (4, 4):
            raise ValueError(f"box_to_world must have shape [4, 4], got {list(box_to_world.shape)}.")
        world_to_box = rigid_inverse(box_to_world).to(field.canonical.means)

    def inside(gaussians: Gaussians) -> Tensor:
        points = gaussians.means.detach()
        if world_to_box is not None:
            points = points @ world_to_box[:3, :3].mT + world_to_box[:3, 3]
        return ((points >= ends[0]) & (points <= ends[1])).all(dim=-1)

    return over_moments(field, time, inside)


def _corner(name: str, corner: Tensor | Sequence[float], field: DeformableGaussianField) -> Tensor:
    values = torch.as_tensor(corner, dtype=field.dtype, device=field.device)
    if values.shape != (3,) or values.isnan().any():
        raise ValueError(f"{name} must be three numbers, got {values.tolist()}.")
    return values
