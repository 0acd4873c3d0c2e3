"""Checks of what the reconstruction model is given, each with the expected and the given numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = ["check_clip", "check_options"]


def check_options(config: Mapping[str, Any]) -> None:
    """Refuse arguments of `LDRM` that do not fit each other.

    Args:
        config: Arguments by name.

    Raises:
        ValueError: If numbers do not divide, or an option is unknown.
    """
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
        if values is not None and not values.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {values.dtype}.")
        if values is not None and values.device != device:
            raise TypeError(f"{name} must be on {device} like the weights, got {values.device}.")
    _check_latents(latents, config)
    _check_cameras(cameras, latents, config)
    if image is not None and (image.ndim != 4 or tuple(image.shape[:2]) != (len(latents), 3)):
        raise ValueError(
            f"image must have shape [{len(latents)}, 3, height, width], got {list(image.shape)}."
        )
    _check_features(features, latents, config)


def _check_latents(latents: Tensor, config: Mapping[str, Any]) -> None:
    channels, multiple = config["latent_channels"], _frame_multiple(config)
    if latents.ndim != 5 or latents.shape[2] != channels:
        raise ValueError(
            f"latents must have shape [batch, frame, {channels} channels, height, width], "
            f"got {list(latents.shape)}."
        )
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
