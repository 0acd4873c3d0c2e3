"""Checked arguments to images, by whichever backend."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
    if backend == "cpu" and cpu_backend.available():
        try:
            return _draw_on_cpu(gaussians, cameras, background, options)
        except cpu_backend.Unavailable:  # a kernel did not compile
            pass
    world_to_camera = rigid_inverse(cameras.camera_to_world)
    batch = gaussians.batch_shape
    if backend == "gsplat":
        color, alpha, depth = gsplat_backend.rasterize(
            *_tensors(gaussians),
            world_to_camera,
            cameras.intrinsics,
            height=cameras.height,
            width=cameras.width,
            **_shared(options),
        )
        images = Images(color, alpha, depth)
        if options.details:  # gsplat does not tell; the oracle does, slowly
            with torch.no_grad():
                details = draw("reference", gaussians, cameras, None, options)
            images = Images(color, alpha, depth, details.num_contributing, details.strongest)
    else:
        block = _FALLBACK_BLOCK_PX if backend == "cpu" or options.details else None
        sets = zip(
            _flat_sets(gaussians), _flat_frames(world_to_camera), _flat_frames(cameras.intrinsics),
            _flat_frames(cameras.camera_to_world), strict=True,
        )  # fmt: skip
        images = _stacked(
            [
                reference.rasterize(
                    *tensors[:4],
                    _colors(tensors[4], tensors[0], poses[:, :3, 3]),
                    view,
                    lens,
                    height=cameras.height,
                    width=cameras.width,
                    max_alpha=_max_alpha(options),
                    block_px=block,
                    details=options.details,
                    **_shared(options),
                )
                for tensors, view, lens, poses in sets
            ],
            batch,
            cameras,
            gaussians.means,
        )
    color, alpha, depth = images.color, images.alpha, images.depth
    if background is not None:
        color = color + (1 - alpha) * background[:, None, None]
    if options.depth_mode == "expected":
        covered = alpha > 0
        shares = torch.where(covered, alpha, torch.ones_like(alpha))
        depth = torch.where(covered, depth / shares, torch.zeros_like(depth))
    return Images(color, alpha, depth, *images[3:])


def draw_field(
    backend: str,
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Sequence[float] | Tensor,
    background: Tensor | None,
    options: Options,
) -> Images:
    """Camera i at time i; arguments as `render_field` has checked them, backend chosen."""
    if backend == "cpu" and cpu_backend.available():
        try:
            return _draw_on_cpu(field.canonical, cameras, background, options, field, times)
        except cpu_backend.Unavailable:
            pass
    frames = [
        draw(backend, gaussians, cameras.select(slice(i, i + 1)), background, options)
        for i, gaussians in enumerate(_deformed(field, times))
    ]
    return Images(*(None if v[0] is None else torch.cat(v, dim=-4) for v in zip(*frames, strict=True)))


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
    deltas: list[Any] = [()] * math.prod(gaussians.batch_shape)
    if field is not None:
        lower, fractions = _fractions(field, times)
        first, last = int(lower.min()), min(int(lower.max()) + 2, field.num_times)  # no others are read
        motion = {"lower": lower - first, "fractions": fractions}
        stored = (field.delta_means, field.delta_quaternions, field.delta_scales)
        flat = (v[..., first:last, :, :].reshape(-1, last - first, *v.shape[-2:]) for v in stored)
        deltas = list(zip(*flat, strict=True))
    views = zip(
        _flat_frames(rigid_inverse(cameras.camera_to_world)), _flat_frames(cameras.camera_to_world),
        _flat_frames(cameras.intrinsics), strict=True,
    )  # fmt: skip
    images = [
        cpu_backend.rasterize(
            *tensors, view, pose[:, :3, 3], lens, background, cpu_options, deltas=delta or None, **motion
        )
        for tensors, (view, pose, lens), delta in zip(_flat_sets(gaussians), views, deltas, strict=True)
    ]
    return _stacked(images, gaussians.batch_shape, cameras, gaussians.means)


def _tensors(gaussians: Gaussians) -> tuple[Tensor, ...]:
    return (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )


def _shared(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("near", "far", "eps2d", "radius_clip", "mode")}


def _max_alpha(options: Options) -> float:
    """In float32, as gsplat has it: it decides whether two opaque Gaussians leave more than 1e-4."""
    cap = reference.MAX_ALPHA if options.max_alpha is None else options.max_alpha
    return torch.tensor(cap, dtype=torch.float32).item()


def _flat_sets(gaussians: Gaussians) -> Iterator[tuple[Tensor, ...]]:
    """The tensors of one set after another."""
    axes = len(gaussians.batch_shape)
    sets = math.prod(gaussians.batch_shape)
    flat = [v.reshape(sets, *v.shape[axes:]) for v in _tensors(gaussians)]
    return zip(*flat, strict=True)


def _flat_frames(matrices: Tensor) -> Tensor:
    """All batch axes as one."""
    return matrices.reshape(math.prod(matrices.shape[:-3]), *matrices.shape[-3:])


def _stacked(results: list[Any], batch: tuple[int, ...], cameras: Cameras, like: Tensor) -> Images:
    """Images of sets, batch axes restored."""
    size = (cameras.height, cameras.width)
    if not results:
        results = [[like.new_zeros(cameras.num_frames, c, *size) for c in (3, 1, 1)] + [None, None]]
        return Images(*(None if v is None else v.expand(*batch, *v.shape) for v in results[0]))
    shape = (*batch, cameras.num_frames)
    parts = (
        None if v[0] is None else v[0] if len(v) == 1 else torch.stack(v) for v in zip(*results, strict=True)
    )
    return Images(*(None if v is None else v.reshape(*shape, *v.shape[-3:]) for v in parts))


def _colors(harmonics: Tensor, means: Tensor, centers: Tensor) -> Tensor:
    """Colours per Gaussian (1, n, 3), or per camera and Gaussian (f, n, 3) where the direction counts."""
    if harmonics.shape[-2] == 1:
        return harmonics_to_rgb(harmonics[None, :, 0])
    series = [evaluate_harmonics(harmonics, means - center) for center in centers]
    return torch.stack(series) if series else means.new_zeros(0, *means.shape)


def _fractions(field: DeformableGaussianField, times: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
    """The last stored time not after each time, and how far it is from there to the next; as in `field.at`."""
    stored = field.times
    given = (
        times if isinstance(times, Tensor) else torch.stack([torch.as_tensor(t).to(stored) for t in times])
    )
    last = field.num_times - 1
    lower = (torch.searchsorted(stored.detach(), given.detach().to(stored), right=True) - 1).clamp(0, last)
    upper = (lower + 1).clamp(max=last)
    gap = stored[upper] - stored[lower]
    fractions = (given.to(stored) - stored[lower]) / torch.where(gap > 0, gap, torch.ones_like(gap))
    # where and not clamp: the gradient of clamp is zero at the ends, that is, at every stored time
    return lower, torch.where((gap > 0) & (fractions >= 0), fractions, torch.zeros_like(fractions))


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
