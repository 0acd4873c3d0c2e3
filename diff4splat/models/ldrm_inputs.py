"""Checks of what the reconstruction model is given, each with the expected and the given numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.models.ldrm_features import LDRMFeatures

__all__ = ["check_budget", "check_clip", "check_options", "check_targets"]

_AT_LEAST = {
    **dict.fromkeys(("latent_channels", "temporal_stride", "spatial_stride", "patch_size"), 1),
    **dict.fromkeys(("embed_dim", "dim", "num_layers", "num_heads", "num_key_value_heads"), 1),
    **dict.fromkeys(("head_width", "pixel_width", "pixel_stride"), 1),
    "motion_width": 2,  # the deformation head halves it
    **dict.fromkeys(("temporal_context", "backdrop_cells", "feature_channels"), 0),
}


def check_options(config: Mapping[str, Any]) -> None:
    """Refuse arguments of `LDRM` that do not fit each other.

    Args:
        config: Arguments by name.

    Raises:
        ValueError: If numbers are too small or do not divide, or an option is unknown.
    """
    for name, least in _AT_LEAST.items():
        if config[name] < least:
            raise ValueError(f"{name} must be at least {least}, got {config[name]}.")
    for name, known in (("attention", ("full", "factorized")), ("pose_encoding", ("plucker", "vectors"))):
        if config[name] not in known:
            raise ValueError(f"{name} must be {known[0]!r} or {known[1]!r}, got {config[name]!r}.")
    stride, multiple = config["temporal_stride"], _frame_multiple(config)
    if multiple < 1 or multiple % stride:
        raise ValueError(
            f"frame_multiple must be a positive multiple of temporal_stride={stride}, got {multiple}."
        )
    side, patch, pixels = config["spatial_stride"], config["patch_size"], config["pixel_stride"]
    if side % pixels:
        raise ValueError(f"pixel_stride must divide spatial_stride={side}, got {pixels}.")
    if side * patch // pixels % 4:
        raise ValueError(
            "spatial_stride * patch_size / pixel_stride must be a multiple of 4, "
            f"got {side} * {patch} / {pixels}."
        )
    dim, heads = config["dim"], config["num_heads"]
    if dim % heads == 0 and dim // heads % 2:
        raise ValueError(f"dim / num_heads must be even for rotary positions, got {dim} / {heads}.")


def check_clip(
    latents: Tensor,
    cameras: Cameras,
    image: Tensor | None,
    features: Tensor | None,
    *,
    config: Mapping[str, Any],
    device: torch.device,
) -> None:
    """Refuse inputs of `LDRM.encode` that do not fit its configuration or each other.

    Args:
        latents: Latents of the clip.
        cameras: One camera per pixel frame.
        image: First frame, or None.
        features: Features of the video model, or None.
        config: Arguments of the model by name.
        device: Where its weights are.

    Raises:
        TypeError: If one is not floating point, or on another device.
        ValueError: If channels, frames or sizes do not fit.
    """
    given = {
        "latents": latents,
        "cameras": cameras.camera_to_world,
        "image": image,
        "features": features,
    }
    for name, values in given.items():
        if values is not None:
            _check_kind(name, values, device, "weights")
    _check_latents(latents, config)
    _check_cameras(cameras, latents, config)
    _check_image(image, len(latents))
    _check_features(features, latents, config)


def check_targets(
    features: LDRMFeatures,
    times: Tensor,
    image: Tensor | None,
    max_gaussians: int | None,
    deformation: Tensor | None,
) -> None:
    """Refuse inputs of `LDRM.decode` that do not fit what was encoded or each other.

    Args:
        features: What was encoded.
        times: Target times.
        image: First frame, or None.
        max_gaussians: Budget, or None.
        deformation: Raw maps at `times`, or None.

    Raises:
        TypeError: If one is not floating point, or on another device.
        ValueError: If shapes do not fit, or there is a budget that cannot be met.
    """
    for name, values in (("times", times), ("image", image), ("deformation", deformation)):
        if values is not None:
            _check_kind(name, values, features.gaussian_map.device, "features")
    batch, frames, _, *sides = features.gaussian_map.shape
    if times.ndim != 1 or len(times) < 1:
        raise ValueError(f"times must have one axis of at least one time, got shape {list(times.shape)}.")
    _check_image(image, batch)
    expected = [batch, len(times), frames, 10, *sides]
    if deformation is not None and list(deformation.shape) != expected:
        raise ValueError(f"deformation must have shape {expected}, got {list(deformation.shape)}.")
    check_budget(max_gaussians, image)
    if max_gaussians is not None and batch != 1:
        raise ValueError(f"max_gaussians needs one clip at a time, got {batch}.")


def check_budget(max_gaussians: int | None, image: Tensor | None) -> None:
    """Refuse a budget that cannot be met.

    Args:
        max_gaussians: Budget, or None.
        image: First frame, which a budget needs.

    Raises:
        ValueError: If the budget is below 1, or given without an image.
    """
    if max_gaussians is None:
        return
    if image is None:
        raise ValueError("max_gaussians needs the image that is laid out, got image=None.")
    if max_gaussians < 1:
        raise ValueError(f"max_gaussians must be at least 1, got {max_gaussians}.")


def _check_kind(name: str, values: Tensor, device: torch.device, others: str) -> None:
    if not values.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {values.dtype}.")
    if values.device != device:
        raise TypeError(f"{name} must be on {device} like the {others}, got {values.device}.")


def _check_image(image: Tensor | None, batch: int) -> None:
    if image is None:
        return
    if image.ndim != 4 or tuple(image.shape[:2]) != (batch, 3) or 0 in image.shape:
        raise ValueError(f"image must have shape [{batch}, 3, height, width], got {list(image.shape)}.")


def _check_latents(latents: Tensor, config: Mapping[str, Any]) -> None:
    channels, multiple = config["latent_channels"], _frame_multiple(config)
    if latents.ndim != 5 or latents.shape[2] != channels:
        raise ValueError(
            f"latents must have shape [batch, frame, {channels} channels, height, width], "
            f"got {list(latents.shape)}."
        )
    if 0 in latents.shape:
        raise ValueError(f"latents must not be empty, got shape {list(latents.shape)}.")
    frames, step = latents.shape[1], multiple // config["temporal_stride"]
    if (frames - 1) % step:
        below = (frames - 1) // step * step + 1
        raise ValueError(
            f"latents must have {step}k + 1 frames (clips of {multiple}k + 1 pixel frames), got {frames}; "
            f"nearest valid {below} or {below + step}."
        )


def _check_cameras(cameras: Cameras, latents: Tensor, config: Mapping[str, Any]) -> None:
    batch, frames, _, rows, columns = latents.shape
    stride, side = config["temporal_stride"], config["spatial_stride"]
    expected = (frames - 1) * stride + 1
    if cameras.num_frames != expected:
        raise ValueError(
            f"cameras must have {expected} frames for {frames} latent frames (temporal_stride={stride}), got "
            f"{cameras.num_frames}."
        )
    if tuple(cameras.batch_shape) != (batch,):
        raise ValueError(
            f"cameras must have the batch axis of latents ({batch},), got {tuple(cameras.batch_shape)}."
        )
    if (cameras.height, cameras.width) != (rows * side, columns * side):
        raise ValueError(
            f"cameras must be of the clip's size, {rows * side} x {columns * side} for latents of {rows} x "
            f"{columns}, got {cameras.height} x {cameras.width}; see Cameras.resize."
        )


def _check_features(features: Tensor | None, latents: Tensor, config: Mapping[str, Any]) -> None:
    channels, patch = config["feature_channels"], config["patch_size"]
    if channels == 0 and features is not None:
        raise ValueError(
            f"features must be None for feature_channels=0, got a tensor of {list(features.shape)}."
        )
    if channels == 0:
        return
    if features is None:
        raise ValueError(f"features are needed: the model was built with feature_channels={channels}.")
    batch, frames, _, rows, columns = latents.shape
    grids = dict.fromkeys([(rows, columns), (rows // patch, columns // patch)])
    shapes = [[batch, frames, channels, *grid] for grid in grids]
    if list(features.shape) not in shapes:
        raise ValueError(
            f"features must have shape {' or '.join(map(str, shapes))} (the latent grid or the token grid), "
            f"got {list(features.shape)}."
        )


def _frame_multiple(config: Mapping[str, Any]) -> int:
    multiple = config["frame_multiple"]
    return config["temporal_stride"] if multiple is None else multiple
