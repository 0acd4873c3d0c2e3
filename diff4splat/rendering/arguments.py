"""What `render` accepts, and the words for what it does not."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import reference
from diff4splat.rendering.backends import Backend

__all__ = ["DepthMode", "Mode", "Options", "as_background", "check_inputs", "check_options"]

Mode = Literal["classic", "antialiased"]
DepthMode = Literal["expected", "accumulated"]

_RIGID_TOLERANCE = (
    1e-2  # coarse on purpose: poses that went through half precision pass, scaled or sheared ones do not
)


class Options(NamedTuple):
    """Options of `render` that all backends share, checked."""

    near: float
    far: float
    eps2d: float
    radius_clip: float
    mode: Mode
    depth_mode: DepthMode
    max_alpha: float | None
    details: bool


def as_background(
    background: Tensor | Sequence[float] | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """The background as a tensor of the type of the others, or None."""
    if background is None:
        return None
    if isinstance(background, str):
        raise TypeError(f"background must be three numbers or None, got {background!r}.")
    color = (
        background
        if isinstance(background, Tensor)
        else torch.as_tensor(background, dtype=dtype, device=device)
    )
    if color.device.type == "cpu" and not (color.abs() <= reference.LARGEST).all():
        raise ValueError(f"background must be finite, at most {reference.LARGEST:g}, got {color.tolist()}.")
    if color.shape != (3,):
        raise ValueError(f"background must have shape [3], got {list(color.shape)}.")
    if color.dtype != dtype or color.device != device:
        raise TypeError(
            f"background must be {dtype} on {device} like means, got {color.dtype} on {color.device}."
        )
    return color


def check_options(
    *,
    backend: Backend,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Mode,
    depth_mode: DepthMode,
    max_alpha: float | None,
    details: bool,
) -> Options:
    """Refuse options that are none; the others together."""
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
    least, most = reference.ALPHA_THRESHOLD, 1 - reference.TRANSMITTANCE_STOP
    if max_alpha is not None and not least < max_alpha < most:  # outside, what is opaque would be dropped
        raise ValueError(f"max_alpha must be above 1/255 and below {most:.4f}, got {max_alpha}.")
    far = min(far, reference.LARGEST)
    return Options(near, far, eps2d, radius_clip, mode, depth_mode, max_alpha, bool(details))


def check_inputs(gaussians: Gaussians, cameras: Cameras, **others: Tensor) -> None:
    """Refuse Gaussians, cameras and tensors that do not go together, and cameras that are none."""
    means = gaussians.means
    tensors = {
        "means": means,
        "quaternions": gaussians.quaternions,
        "scales": gaussians.scales,
        "opacities": gaussians.opacities,
        "harmonics": gaussians.harmonics,
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
        **others,
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
