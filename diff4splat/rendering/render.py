"""Gaussians and cameras in, images out: the only file of this folder that users call."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

import torch
from jaxtyping import Float
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

__all__ = ["Backend", "DepthMode", "Mode", "Rendering", "render", "render_field"]

Backend = Literal["auto", "cpu", "gsplat", "reference"]
Mode = Literal["classic", "antialiased"]
DepthMode = Literal["expected", "accumulated"]


class _Options(TypedDict):
    near: float
    far: float
    eps2d: float
    radius_clip: float
    mode: Mode


_RIGID_TOLERANCE = (
    1e-2  # coarse on purpose: poses that went through half precision pass, scaled or sheared ones do not
)


@dataclass(frozen=True, eq=False)
class Rendering:
    """What cameras see of a set of Gaussians.

    Args:
        color: Composited colour, not clamped; in [0, 1] where colours and background are.
        alpha: Opacity, in [0, 1].
        depth: z-depth in scene units; 0 where `alpha` is 0.
    """

    color: Float[Tensor, "*batch frame rgb=3 height width"]
    alpha: Float[Tensor, "*batch frame 1 height width"]
    depth: Float[Tensor, "*batch frame 1 height width"]


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    backend: Backend = "auto",
    background: Float[Tensor, "rgb=3"] | Sequence[float] | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    mode: Mode = "classic",
    depth_mode: DepthMode = "expected",
) -> Rendering:
    r"""Images of Gaussians by differentiable splatting, with the semantics of `gsplat.rasterization`.

    $$C = \sum_i c_i \alpha_i T_i + c_{bg} \prod_i (1 - \alpha_i), \qquad T_i = \prod_{j<i} (1 - \alpha_j)$$

    over Gaussians in depth order, with $c_i$ the harmonics seen from the camera plus 0.5, at least 0,
    $\alpha_i$ the opacity times the projected Gaussian, and $c_{bg}$ = `background`.
    Source: Kerbl et al., 3D Gaussian Splatting, Eq. 3.

    Gradients flow to every tensor of `gaussians` and `cameras` and to `background` ("gsplat" has none for
    intrinsics). The CPU backend computes in float32, the others in the dtype of the inputs but at least in
    float32; all return the dtype of the inputs. On the CPU every run gives the same bits, whatever the number
    of threads. `world_to_camera` is the rigid inverse of `camera_to_world`;
    gradients follow that formula.

    Args:
        gaussians: One set, or one per leading batch index. Scales count without their sign; where all are
            zero, the footprint is as wide as `eps2d` makes it. Opacities below 1/255 are not seen.
        cameras: Cameras with the same batch axes as `gaussians`.
        backend: "cpu" needs numba, and falls back to plain torch, with a warning, without it; "gsplat" needs
            CUDA tensors; "reference" is the slow oracle, on any device. "auto" is
            "gsplat" for CUDA tensors, "cpu" for CPU tensors, "reference" elsewhere.
        background: Colour behind everything, black when omitted.
        near: Gaussians whose centre has smaller z are dropped, scene units, > 0.
        far: Gaussians whose centre has larger z are dropped, scene units; 1e18 at most.
        eps2d: Added to both variances of every footprint, pixels squared, >= 0.
        radius_clip: Footprints no wider than this to each side are dropped, pixels.
        mode: "antialiased" lowers opacities by what `eps2d` adds to the footprints.
        depth_mode: "expected" divides depth by alpha; "accumulated" does not.

    Returns:
        Colour, alpha and depth per frame; leading axes are kept. No Gaussians give background, alpha 0 and
        depth 0.

    Raises:
        ValueError: If an option or a shape is wrong; on the CPU also if a value is not finite, a colour or
            the background exceeds 1e18, a quaternion is shorter than 1e-8, intrinsics are singular or skewed,
            or a pose is not rigid.
        TypeError: If dtypes or devices differ, or are not floating point.
        RuntimeError: If the backend cannot run here; the message says how to cure it.

    Examples:
        >>> import torch
        >>> from diff4splat.cameras import trajectory
        >>> values = [0.0, 0, 3], [1.0, 0, 0, 0], [0.1] * 3, 0.9, [[1.0, 0, 0]]
        >>> one = Gaussians(*(torch.tensor(v)[None] for v in values))
        >>> render(one, trajectory.static(2, height=8, width=8)).color.shape
        torch.Size([2, 3, 8, 8])
    """
    _check_options(backend, near, far, eps2d, radius_clip, mode, depth_mode)
    chosen = _choose_backend(backend, gaussians.means.device)
    _check_inputs(gaussians, cameras)
    behind = _background(background, gaussians.means)
    given = gaussians.means.dtype
    wide = torch.promote_types(given, torch.float32)  # half precision is too coarse for places and poses
    gaussians, cameras = gaussians.to(dtype=wide), cameras.to(dtype=wide)
    options = _Options(
        near=near, far=min(far, reference.LARGEST), eps2d=eps2d, radius_clip=radius_clip, mode=mode
    )
    with torch.autocast(gaussians.means.device.type, enabled=False):
        world_to_camera = rigid_inverse(cameras.camera_to_world)
        if chosen == "gsplat":
            color, alpha, depth = gsplat_backend.rasterize(
                *(
                    gaussians.means,
                    gaussians.quaternions,
                    gaussians.scales,
                    gaussians.opacities,
                    gaussians.harmonics,
                ),
                world_to_camera,
                cameras.intrinsics,
                height=cameras.height,
                width=cameras.width,
                **options,
            )
        else:
            color, alpha, depth = _rasterize_sets(chosen, gaussians, cameras, world_to_camera, options)
        if behind is not None:
            color = color + (1 - alpha) * behind.to(wide)[:, None, None]
        if depth_mode == "expected":
            covered = alpha > 0
            depth = torch.where(
                covered, depth / torch.where(covered, alpha, torch.ones_like(alpha)), torch.zeros_like(depth)
            )
    return Rendering(color=color.to(given), alpha=alpha.to(given), depth=depth.to(given))


def render_field(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | Sequence[float],
    *,
    backend: Backend = "auto",
    background: Float[Tensor, "rgb=3"] | Sequence[float] | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    mode: Mode = "classic",
    depth_mode: DepthMode = "expected",
) -> Rendering:
    """Images of a deforming field: camera i sees the Gaussians at `times[i]`.

    One deformed set exists at a time, unless gradients need the others.

    Args:
        field: Canonical Gaussians and their deformation.
        cameras: Cameras with the batch axes of `field`.
        times: One time in [0, 1] per frame of `cameras`.
        backend: See `render`.
        background: See `render`.
        near: See `render`.
        far: See `render`.
        eps2d: See `render`.
        radius_clip: See `render`.
        mode: See `render`.
        depth_mode: See `render`.

    Returns:
        Colour, alpha and depth per frame; leading axes are kept.

    Raises:
        ValueError: If there is not one time in [0, 1] per frame, and as for `render`.
        TypeError: As for `render`.
        RuntimeError: As for `render`.
    """
    moments = [_moment(time) for time in times]
    if len(moments) != cameras.num_frames or not moments:
        raise ValueError(
            f"times must hold one time per frame ({cameras.num_frames}, not 0), got {len(moments)}."
        )
    frames = [
        render(
            gaussians,
            cameras.select(slice(i, i + 1)),
            backend=backend,
            background=background,
            near=near,
            far=far,
            eps2d=eps2d,
            radius_clip=radius_clip,
            mode=mode,
            depth_mode=depth_mode,
        )
        for i, gaussians in enumerate(_deformed(field, times))
    ]
    return Rendering(
        *(torch.cat([getattr(f, name) for f in frames], dim=-4) for name in ("color", "alpha", "depth"))
    )


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


def _rasterize_sets(
    backend: str, gaussians: Gaussians, cameras: Cameras, world_to_camera: Tensor, options: _Options
) -> tuple[Tensor, Tensor, Tensor]:
    """Set after set on the CPU or by the reference."""
    rasterize = cpu_backend.rasterize if backend == "cpu" else reference.rasterize
    batch, count = gaussians.batch_shape, gaussians.num_gaussians
    sets = math.prod(batch)
    means = gaussians.means.reshape(sets, count, 3)
    quaternions, scales = (
        gaussians.quaternions.reshape(sets, count, 4),
        gaussians.scales.reshape(sets, count, 3),
    )
    opacities = gaussians.opacities.reshape(sets, count)
    harmonics = gaussians.harmonics.reshape(sets, *gaussians.harmonics.shape[-3:])
    poses = world_to_camera.reshape(sets, cameras.num_frames, 4, 4)
    intrinsics = cameras.intrinsics.reshape(sets, cameras.num_frames, 3, 3)
    centers = cameras.camera_to_world.reshape(sets, cameras.num_frames, 4, 4)[..., :3, 3]
    results = [
        rasterize(
            means[i],
            quaternions[i],
            scales[i],
            opacities[i],
            _colors(harmonics[i], means[i], centers[i]),
            poses[i],
            intrinsics[i],
            height=cameras.height,
            width=cameras.width,
            **options,
        )
        for i in range(sets)
    ]
    shape = (*batch, cameras.num_frames)
    if len(results) == 1:
        color, alpha, depth = results[0]
    elif results:
        color, alpha, depth = (torch.stack(v) for v in zip(*results, strict=True))
    else:
        color, alpha, depth = (
            gaussians.means.new_zeros(0, c, cameras.height, cameras.width) for c in (3, 1, 1)
        )
    return tuple(v.reshape(*shape, *v.shape[-3:]) for v in (color, alpha, depth))  # type: ignore[return-value]


def _colors(harmonics: Tensor, means: Tensor, centers: Tensor) -> Tensor:
    """Colours per Gaussian (1, n, 3), or per camera and Gaussian (f, n, 3) where the direction counts."""
    if harmonics.shape[-2] == 1:
        return harmonics_to_rgb(harmonics[None, :, 0])
    series = [evaluate_harmonics(harmonics, means - center) for center in centers]
    return torch.stack(series) if series else means.new_zeros(0, *means.shape)


def _background(background: Tensor | Sequence[float] | None, like: Tensor) -> Tensor | None:
    if background is None:
        return None
    if isinstance(background, str):
        raise TypeError(f"background must be three numbers or None, got {background!r}.")
    color = (
        background
        if isinstance(background, Tensor)
        else torch.as_tensor(background, dtype=like.dtype, device=like.device)
    )
    if color.device.type == "cpu" and not (color.abs() <= reference.LARGEST).all():
        raise ValueError(f"background must be finite, at most {reference.LARGEST:g}, got {color.tolist()}.")
    if color.shape != (3,):
        raise ValueError(f"background must have shape [3], got {list(color.shape)}.")
    if color.dtype != like.dtype or color.device != like.device:
        raise TypeError(
            f"background must be {like.dtype} on {like.device} like means, "
            f"got {color.dtype} on {color.device}."
        )
    return color


def _choose_backend(backend: str, device: torch.device) -> str:
    if backend == "auto":
        return {"cuda": "gsplat", "cpu": "cpu"}.get(device.type, "reference")
    if backend in ("cpu", "gsplat") and device.type != {"cpu": "cpu", "gsplat": "cuda"}[backend]:
        raise ValueError(
            f"backend={backend!r} cannot render tensors on {device}; use backend='auto' or move them."
        )
    return backend


def _check_options(
    backend: str, near: float, far: float, eps2d: float, radius_clip: float, mode: str, depth_mode: str
) -> None:
    choices = {
        "backend": (backend, get_args(Backend)),
        "mode": (mode, get_args(Mode)),
        "depth_mode": (depth_mode, get_args(DepthMode)),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    if not 0 < near < far:
        raise ValueError(f"near and far must satisfy 0 < near < far, got near={near}, far={far}.")
    for name, number in (("eps2d", eps2d), ("radius_clip", radius_clip)):
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {number}.")


def _check_inputs(gaussians: Gaussians, cameras: Cameras) -> None:
    means = gaussians.means
    tensors = {
        "means": means,
        "quaternions": gaussians.quaternions,
        "scales": gaussians.scales,
        "opacities": gaussians.opacities,
        "harmonics": gaussians.harmonics,
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
    }
    if not means.is_floating_point():
        raise TypeError(f"means must be floating point, got {means.dtype}.")
    for name, value in tensors.items():
        if value.dtype != means.dtype or value.device != means.device:
            raise TypeError(
                f"{name} must be {means.dtype} on {means.device} like means, "
                f"got {value.dtype} on {value.device}."
            )
    if gaussians.batch_shape != cameras.batch_shape:
        raise ValueError(
            f"cameras must have the batch shape of gaussians, {list(gaussians.batch_shape)}, "
            f"got {list(cameras.batch_shape)}."
        )
    if means.device.type == "cpu":
        _check_camera_values(cameras)


def _check_camera_values(cameras: Cameras) -> None:
    """Values are looked at on the CPU only: elsewhere that would wait for the device."""
    cameras.validate(tolerance=_RIGID_TOLERANCE)
    if (cameras.intrinsics[..., 0, 1] != 0).any():
        raise ValueError("intrinsics must have no skew, got a nonzero entry beside the focal lengths.")
