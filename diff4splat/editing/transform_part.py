"""A part of a scene moved, turned and scaled, once or over time."""

from dataclasses import fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.editing.arguments import check_mask
from diff4splat.gaussians import DeformableGaussianField, deform_gaussians, deltas_between

__all__ = ["transform_part"]


def transform_part(
    field: DeformableGaussianField,
    mask: Bool[Tensor, " gaussian"],
    matrix: Float[Tensor, "4 4"] | Float[Tensor, "time 4 4"],
) -> DeformableGaussianField:
    """Field in which some Gaussians are moved, turned and uniformly scaled in the world, beside their motion.

    One matrix acts at all times alike, as `DeformableGaussianField.transform` does on the whole field. One
    matrix per stored time drives the part along a path: exact at the stored times, on straight lines in
    between (`resample_times` gives more of them); what colours depend on the direction of view then stays in
    world axes, because harmonics do not change over time. In a "linear" field no scale gets below a
    thousandth of the canonical one, whatever the matrix.

    Args:
        field: Any field; in a batch, the same Gaussians of every set are moved.
        mask: Gaussians that are moved; the others stay as they are, to the last bit.
        matrix: Similarity transforms acting on column vectors, such as `similarity_matrix` gives: one, or one
            per stored time.

    Returns:
        Field with the Gaussians in their former order; gradients flow to the tensors of `field`.

    Raises:
        ValueError: If `mask` has another length than the field, or holds for none, or if `matrix` has another
            shape or is no similarity transform.
    """
    check_mask(mask, field)
    if mask.ndim != 1:
        raise ValueError(f"mask must have one axis, for every set of a batch alike, got {list(mask.shape)}.")
    if not mask.any():
        raise ValueError(f"mask must hold for at least one Gaussian, got 0 of {field.num_gaussians}.")
    if tuple(matrix.shape) not in ((4, 4), (field.num_times, 4, 4)):
        raise ValueError(
            f"matrix must have shape [4, 4] or, one per stored time, {[field.num_times, 4, 4]}, "
            f"got {list(matrix.shape)}."
        )
    part = field.select(mask)
    part = part.transform(matrix) if matrix.ndim == 2 else _driven(part, matrix)
    index = mask.nonzero()[:, 0]

    def put_back(whole: Tensor, values: Tensor, trailing: int) -> Tensor:
        return whole.index_copy(whole.ndim - 1 - trailing, index, values)

    trailing = {"opacities": 0, "harmonics": 2}
    canonical = {
        item.name: put_back(
            getattr(field.canonical, item.name),
            getattr(part.canonical, item.name),
            trailing.get(item.name, 1),
        )
        for item in fields(field.canonical)
    }
    return replace(
        field,
        canonical=replace(field.canonical, **canonical),
        delta_means=put_back(field.delta_means, part.delta_means, 1),
        delta_quaternions=put_back(field.delta_quaternions, part.delta_quaternions, 1),
        delta_scales=put_back(field.delta_scales, part.delta_scales, 1),
    )


def _driven(part: DeformableGaussianField, matrices: Tensor) -> DeformableGaussianField:
    """Each stored time after its own transform; the canonical Gaussians stay."""
    deltas = []
    for index, matrix in enumerate(matrices):
        stored = (part.delta_means, part.delta_quaternions, part.delta_scales)
        state = deform_gaussians(
            part.canonical, *(values[..., index, :, :] for values in stored), scale_space=part.scale_space
        )
        deltas.append(deltas_between(part.canonical, state.transform(matrix), scale_space=part.scale_space))
    means, quaternions, scales = (torch.stack(values, dim=-3) for values in zip(*deltas, strict=True))
    return replace(part, delta_means=means, delta_quaternions=quaternions, delta_scales=scales)
