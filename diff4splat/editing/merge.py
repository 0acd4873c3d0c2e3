"""Several fields as one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diff4splat.editing.resample import resample_times
from diff4splat.gaussians import DeformableGaussianField, concatenate_gaussians

__all__ = ["merge_fields"]

_SAME_TIME = 1e-6  # the same moment, written in another floating type or computed another way


def merge_fields(fields: Sequence[DeformableGaussianField]) -> DeformableGaussianField:
    """One field with the Gaussians of several, in the order given, in one world and one clip.

    Stored times may differ: every field is resampled to all of them together, which changes none of them at
    any time, to rounding (see `resample_times`). Times of different fields that are at most a millionth of
    the clip apart count as one, that of the earlier field. Lower degrees of harmonics are padded with zeros,
    and shorter floating types promoted.

    Args:
        fields: Fields of equal batch shape and scale space on one device; `DeformableGaussianField.transform`
            and `retime` bring them into one world and one clip before.

    Returns:
        Field whose number of Gaussians is the sum. Of the metadata, what all agree on stays; where anything
        differs, `merged_from` holds each field's own. Gradients flow to the fields.

    Raises:
        ValueError: If `fields` is empty, or batch shapes, devices or scale spaces differ;
            `convert_scale_space` changes the latter.
    """
    if not fields:
        raise ValueError("fields must hold at least one field, got none.")
    if len(fields) == 1:
        return fields[0]
    first = fields[0]
    for name in ("batch_shape", "device", "scale_space"):
        found = [getattr(item, name) for item in fields]
        if any(value != found[0] for value in found):
            hint = "; see convert_scale_space" if name == "scale_space" else ""
            raise ValueError(f"fields must have one {name}, got {', '.join(map(str, found))}{hint}.")
    dtype, time_dtype = first.dtype, first.times.dtype
    for item in fields:
        dtype = torch.promote_types(dtype, item.dtype)
        time_dtype = torch.promote_types(time_dtype, item.times.dtype)
    times = first.times.to(time_dtype)
    parts = []
    for item in fields:
        own = _snapped(item.times.to(time_dtype), times)
        times = torch.cat((times, own)).unique()  # sorted
        parts.append(replace(item.to(dtype=dtype), times=own))
    parts = [resample_times(part, times) for part in parts]
    return replace(
        parts[0],
        canonical=concatenate_gaussians([part.canonical for part in parts]),
        delta_means=torch.cat([part.delta_means for part in parts], dim=-2),
        delta_quaternions=torch.cat([part.delta_quaternions for part in parts], dim=-2),
        delta_scales=torch.cat([part.delta_scales for part in parts], dim=-2),
        metadata=_joined(fields),
    )


def _snapped(times: Tensor, others: Tensor) -> Tensor:
    """Times, each replaced by another one that is the same moment; unchanged if two would become one."""
    distance, nearest = (times[:, None] - others).abs().min(dim=-1)
    snapped = torch.where(distance <= _SAME_TIME, others[nearest], times)
    return times if (snapped.diff() <= 0).any() else snapped


def _joined(fields: Sequence[DeformableGaussianField]) -> dict[str, Any]:
    first, *others = [dict(item.metadata) for item in fields]
    if all(other == first for other in others):
        return first
    shared = {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }
    return {**shared, "merged_from": [first, *others]}
