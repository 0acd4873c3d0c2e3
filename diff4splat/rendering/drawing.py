"""Checked arguments to images, by whichever backend."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import (
    DeformableGaussianField,
    Gaussians,
    deform_gaussians,
    evaluate_harmonics,
    harmonics_to_rgb,
)
from diff4splat.geometry import rigid_inverse
from diff4splat.rendering import cpu_backend, gsplat_backend, reference
from diff4splat.rendering.arguments import Options

__all__ = ["Images", "draw", "draw_field"]

_FALLBACK_BLOCK_PX = 16


class Images(NamedTuple):
    """Colour over the background, alpha, depth, and the details if they were asked for."""

    color: Float[Tensor, "*batch frame rgb=3 height width"]
    alpha: Float[Tensor, "*batch frame 1 height width"]
    depth: Float[Tensor, "*batch frame 1 height width"]
    num_contributing: Int[Tensor, "*batch frame 1 height width"] | None = None
    strongest: Int[Tensor, "*batch frame 1 height width"] | None = None


def draw(
    backend: str, gaussians: Gaussians, cameras: Cameras, background: Tensor | None, options: Options
) -> Images:
    """All cameras of all sets; arguments as `render` has checked them, backend chosen."""
    if backend == "cpu":
        with suppress(cpu_backend.Unavailable):  # after a warning; plain torch takes over
            return _draw_on_cpu(gaussians, cameras, background, options)
    world_to_camera = rigid_inverse(cameras.camera_to_world)
    shared = {name: getattr(options, name) for name in ("near", "far", "eps2d", "radius_clip", "mode")}
    size: dict[str, Any] = {"height": cameras.height, "width": cameras.width}
    if backend == "gsplat":
        images = Images(
            *gsplat_backend.rasterize(
                gaussians.means,
                gaussians.quaternions,
                gaussians.scales,
                gaussians.opacities,
                gaussians.harmonics,
                world_to_camera,
                cameras.intrinsics,
                **size,
                **shared,
            )
        )
    else:
        size.update(max_alpha=_max_alpha(options), block_px=_FALLBACK_BLOCK_PX if backend == "cpu" else None)
        results = [
            reference.rasterize(
                one.means,
                one.quaternions,
                one.scales,
                one.opacities,
                _colors(one.harmonics, one.means, pose[:, :3, 3]),
                view,
                lens,
                **size,
                **shared,
            )
            for one, view, lens, pose in _sets(
                gaussians, world_to_camera, cameras.intrinsics, cameras.camera_to_world
            )
        ]
        images = Images(*_stacked(results, cameras, gaussians.means)[:3])
    color, alpha, depth = images[:3]
    if background is not None:
        color = color + (1 - alpha) * background[:, None, None]
    if options.depth_mode == "expected":
        covered = alpha > 0
        shares = torch.where(covered, alpha, torch.ones_like(alpha))
        depth = torch.where(covered, depth / shares, torch.zeros_like(depth))
    if not options.details:
        return Images(color, alpha, depth)
    # gsplat does not tell; the oracle does, slowly
    cap = gsplat_backend.opacity_cap() if backend == "gsplat" else _max_alpha(options)
    size.update(max_alpha=cap, block_px=_FALLBACK_BLOCK_PX)
    details = [
        reference.inspect(one.means, one.quaternions, one.scales, one.opacities, view, lens, **size, **shared)
        for one, view, lens in _sets(gaussians, world_to_camera, cameras.intrinsics)
    ]
    return Images(color, alpha, depth, *_stacked(details, cameras, gaussians.means)[-2:])


def draw_field(
    backend: str,
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Sequence[float] | Tensor,
    background: Tensor | None,
    options: Options,
) -> Images:
    """Camera i at time i; arguments as `render_field` has checked them, backend chosen."""
    if backend == "cpu":
        with suppress(cpu_backend.Unavailable):
            return _draw_on_cpu(field.canonical, cameras, background, options, field, times)
    frames = [
        draw(backend, gaussians, cameras.select(slice(i, i + 1)), background, options)
        for i, gaussians in enumerate(_deformed(field, times))
    ]
    joined: list[Any] = [None if v[0] is None else torch.cat(v, dim=-4) for v in zip(*frames, strict=True)]
    return Images(*joined)


def _draw_on_cpu(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None,
    options: Options,
    field: DeformableGaussianField | None = None,
    times: Sequence[float] | Tensor = (),
) -> Images:
    cpu_options = cpu_backend.CpuOptions(
        height=cameras.height,
        width=cameras.width,
        near=options.near,
        far=options.far,
        eps2d=options.eps2d,
        radius_clip=options.radius_clip,
        antialiased=options.mode == "antialiased",
        max_alpha=_max_alpha(options),
        expected=options.depth_mode == "expected",
        details=options.details,
        linear_scales=field is not None and field.scale_space == "linear",
    )
    motion: dict[str, Any] = {}
    deltas: list[Tensor] = []
    if field is not None:
        stored = field.times
        lower, fractions = field.locate(
            torch.stack([torch.as_tensor(t, dtype=stored.dtype, device=stored.device) for t in times])
        )
        first, last = int(lower.min()), min(int(lower.max()) + 2, field.num_times)  # no others are read
        motion = {"lower": lower - first, "fractions": fractions}
        deltas = [field.delta_means, field.delta_quaternions, field.delta_scales]
        if last - first < field.num_times:
            deltas = [v[..., first:last, :, :] for v in deltas]
    sets = _sets(
        gaussians,
        rigid_inverse(cameras.camera_to_world),
        cameras.camera_to_world,
        cameras.intrinsics,
        *deltas,
    )
    images = [
        cpu_backend.rasterize(
            one, view, pose[:, :3, 3], lens, background, cpu_options, deltas=changes or None, **motion
        )
        for one, view, pose, lens, *changes in sets
    ]
    stacked = Images(*_stacked(images, cameras, gaussians.means))
    return stacked if options.details else Images(*stacked[:3])


def _max_alpha(options: Options) -> float:
    """In float32, as gsplat has it: it decides whether two opaque Gaussians leave more than 1e-4."""
    cap = reference.MAX_ALPHA if options.max_alpha is None else options.max_alpha
    return float(np.float32(cap))


def _sets(gaussians: Gaussians, *others: Tensor) -> Iterator[tuple[Any, ...]]:
    """One set after another, and its part of other tensors with the same batch axes."""
    fields = (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )
    axes, sets = len(gaussians.batch_shape), math.prod(gaussians.batch_shape)
    # views where there is one set: the gradient of taking one out of several is a copy
    parts = [
        (v.reshape(v.shape[axes:]),) if sets == 1 else v.reshape(sets, *v.shape[axes:]).unbind(0)
        for v in (*fields, *others)
    ]
    for one in zip(*parts, strict=True):
        yield Gaussians(*one[:5]), *one[5:]


def _stacked(results: list[Any], cameras: Cameras, like: Tensor) -> list[Any]:
    """Images of sets, batch axes restored."""
    shape = (*cameras.batch_shape, cameras.num_frames)
    if not results:
        images = [like.new_zeros(*shape, channels, cameras.height, cameras.width) for channels in (3, 1, 1)]
        return [*images, *(images[1].int() for _ in range(2))]
    parts = [v[0] if v[0] is None or len(v) == 1 else torch.stack(v) for v in zip(*results, strict=True)]
    return [None if v is None else v.reshape(*shape, *v.shape[-3:]) for v in parts]


def _colors(harmonics: Tensor, means: Tensor, centers: Tensor) -> Tensor:
    """Colours per Gaussian (1, n, 3), or per camera and Gaussian (f, n, 3) where the direction counts."""
    if harmonics.shape[-2] == 1:
        return harmonics_to_rgb(harmonics[None, :, 0])
    series = [evaluate_harmonics(harmonics, means - center) for center in centers]
    return torch.stack(series) if series else means.new_zeros(0, *means.shape)


def _deformed(field: DeformableGaussianField, times: Tensor | Sequence[float]) -> Iterator[Gaussians]:
    """Gaussians per time, one after another.

    Deltas are taken apart once, because the gradient of indexing them per frame would be as large as all of
    them each time. At stored times the stored values are used as they are.
    """
    deltas = [v.unbind(-3) for v in (field.delta_means, field.delta_quaternions, field.delta_scales)]
    stored = field.times.tolist()
    for time in times:
        index = bisect_right(stored, _moment(time)) - 1
        fixed = not isinstance(time, Tensor) or not time.requires_grad
        if fixed and index >= 0 and stored[index] == _moment(time):
            yield deform_gaussians(
                field.canonical, *(v[index] for v in deltas), scale_space=field.scale_space
            )
            continue
        bracket = range(max(index, 0), min(index + 1, len(stored) - 1) + 1)
        means, turns, scales = (torch.stack([v[i] for i in bracket], dim=-3) for v in deltas)
        nearby_times = field.times[list(bracket)]
        nearby = DeformableGaussianField(
            field.canonical, nearby_times, means, turns, scales, scale_space=field.scale_space
        )
        yield nearby.at(time)


def _moment(time: Tensor | float) -> float:
    return float(time.detach() if isinstance(time, Tensor) else time)
