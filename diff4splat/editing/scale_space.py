"""Changes of scale in another space."""

from dataclasses import replace
from typing import Literal

import torch

from diff4splat.gaussians import DeformableGaussianField, deform_gaussians, deltas_between

__all__ = ["convert_scale_space"]


def convert_scale_space(
    field: DeformableGaussianField, scale_space: Literal["log", "linear"]
) -> DeformableGaussianField:
    """Field whose changes of scale are added in another space.

    Exact, to rounding, at the stored times. In between scales take another way from one to the next: they
    grow by equal factors in "log" space, by equal amounts in "linear" space; more stored times
    (`resample_times`, before) bring the two together.

    Args:
        field: Any field.
        scale_space: "log" or "linear".

    Returns:
        Field in that space, `field` itself if it is in it.

    Raises:
        ValueError: If `scale_space` is unknown.
    """
    if scale_space not in ("log", "linear"):
        raise ValueError(f"scale_space must be 'log' or 'linear', got {scale_space!r}.")
    if scale_space == field.scale_space:
        return field
    stored = (field.delta_means, field.delta_quaternions, field.delta_scales)
    scales = []
    for index in range(field.num_times):
        state = deform_gaussians(
            field.canonical, *(values[..., index, :, :] for values in stored), scale_space=field.scale_space
        )
        scales.append(deltas_between(field.canonical, state, scale_space=scale_space).scales)
    return replace(field, delta_scales=torch.stack(scales, dim=-3), scale_space=scale_space)
