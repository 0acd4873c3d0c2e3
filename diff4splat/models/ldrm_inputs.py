"""Checks of what the reconstruction model is given, each with the expected and the given numbers."""

import torch
from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = [
    "check_cameras",
    "check_features",
    "check_image",
    "check_latents",
    "check_options",
    "check_tensors",
]


def check_options(
    *,
    temporal_stride: int,
    spatial_stride: int,
    pixel_stride: int,
    patch_size: int,
    frame_multiple: int,
    attention: str,
    pose_encoding: str,
) -> None:
    """Refuse options of the constructor that do not fit each other; see `LDRM` for what they mean.

    Args:
        temporal_stride: Pixel frames per latent frame.
        spatial_stride: Pixels per latent side.
        pixel_stride: Pixels per side of a Gaussian.
        patch_size: Latents per token side.
        frame_multiple: The m of the frame rule.
        attention: "full" or "factorized".
        pose_encoding: "plucker" or "vectors".

    Raises:
        ValueError: If numbers do not divide, or an option is unknown.
    """
    if attention not in ("full", "factorized"):
        raise ValueError(f"attention must be 'full' or 'factorized', got {attention!r}.")
    if pose_encoding not in ("plucker", "vectors"):
        raise ValueError(f"pose_encoding must be 'plucker' or 'vectors', got {pose_encoding!r}.")
    if frame_multiple < 1 or frame_multiple % temporal_stride:
        raise ValueError(
            f"frame_multiple must be a positive multiple of temporal_stride={temporal_stride}, got "
            f"{frame_multiple}."
        )
    if spatial_stride % pixel_stride:
        raise ValueError(f"pixel_stride must divide spatial_stride={spatial_stride}, got {pixel_stride}.")
    if spatial_stride * patch_size // pixel_stride % 4:
        raise ValueError(
            "spatial_stride * patch_size / pixel_stride must be a multiple of 4, "
            f"got {spatial_stride} * {patch_size} / {pixel_stride}."
        )


def check_tensors(device: torch.device, **tensors: Tensor | None) -> None:
    """Refuse tensors that cannot be computed with.

    Args:
        device: Where the weights are.
        **tensors: Tensors by the name to give in errors; those that are None are passed over.

    Raises:
        TypeError: If one is not floating point, or on another device.
    """
    for name, values in tensors.items():
        if values is None:
            continue
        if not values.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {values.dtype}.")
        if values.device != device:
            raise TypeError(f"{name} must be on {device} like the weights, got {values.device}.")


def check_latents(latents: Tensor, *, channels: int, temporal_stride: int, frame_multiple: int) -> None:
    """Refuse latents that no clip of the video model has.

    Args:
        latents: Latents given.
        channels: Channels that the model was built for.
        temporal_stride: Pixel frames per latent frame.
        frame_multiple: Clips have this many times k, plus 1, pixel frames; a multiple of `temporal_stride`.

    Raises:
        ValueError: If the shape differs, or the clip would have another number of frames.
    """
    if latents.ndim != 5 or latents.shape[2] != channels:
        raise ValueError(
            f"latents must have shape [batch, frame, {channels} channels, height, width], "
            f"got {list(latents.shape)}."
        )
    num_latents, step = latents.shape[1], frame_multiple // temporal_stride
    if (num_latents - 1) % step:
        below = (num_latents - 1) // step * step + 1
        raise ValueError(
            f"latents must have {step}k + 1 frames (clips of {frame_multiple}k + 1 pixel frames), got "
            f"{num_latents}; nearest valid {below} or {below + step}."
        )


def check_cameras(cameras: Cameras, latents: Tensor, *, temporal_stride: int, spatial_stride: int) -> None:
    """Refuse cameras that are not those of the clip.

    Args:
        cameras: One camera per pixel frame.
        latents: Latents of the clip, `batch latent_frame channel latent_height latent_width`.
        temporal_stride: Pixel frames per latent frame.
        spatial_stride: Pixels per latent side.

    Raises:
        ValueError: If frames, batch axis or image size differ.
    """
    batch, num_latents, _, rows, columns = latents.shape
    expected = (num_latents - 1) * temporal_stride + 1
    if cameras.num_frames != expected:
        raise ValueError(
            f"cameras must have {expected} frames for {num_latents} latent frames "
            f"(temporal_stride={temporal_stride}), got {cameras.num_frames}."
        )
    if tuple(cameras.batch_shape) != (batch,):
        raise ValueError(
            f"cameras must have the batch axis of latents ({batch},), got {tuple(cameras.batch_shape)}."
        )
    height, width = rows * spatial_stride, columns * spatial_stride
    if (cameras.height, cameras.width) != (height, width):
        raise ValueError(
            f"cameras must be of the clip's size, {height} x {width} for latents of {rows} x {columns}, got "
            f"{cameras.height} x {cameras.width}; see Cameras.resize."
        )


def check_image(image: Tensor | None, *, batch: int) -> None:
    """Refuse first frames that are not one picture per clip.

    Args:
        image: First frame of each clip, or None.
        batch: Clips.

    Raises:
        ValueError: If the shape differs.
    """
    if image is not None and (image.ndim != 4 or tuple(image.shape[:2]) != (batch, 3)):
        raise ValueError(f"image must have shape [{batch}, 3, height, width], got {list(image.shape)}.")


def check_features(features: Tensor | None, latents: Tensor, *, channels: int, patch_size: int) -> None:
    """Refuse features of a video model that do not stand on the grid of the clip.

    Args:
        features: Features, or None.
        latents: Latents of the clip, `batch latent_frame channel latent_height latent_width`.
        channels: Channels that the model was built for; 0 for none.
        patch_size: Latents per token side.

    Raises:
        ValueError: If features are missing, not asked for, or of another shape.
    """
    if channels == 0:
        if features is not None:
            raise ValueError(
                f"features must be None for feature_channels=0, got a tensor of {list(features.shape)}."
            )
        return
    if features is None:
        raise ValueError(f"features are needed: the model was built with feature_channels={channels}.")
    batch, frames, _, rows, columns = latents.shape
    grids = [(rows, columns), (rows // patch_size, columns // patch_size)]
    if features.ndim != 5 or not (
        tuple(features.shape[:3]) == (batch, frames, channels) and tuple(features.shape[3:]) in grids
    ):
        expected = " or ".join(str([batch, frames, channels, *grid]) for grid in dict.fromkeys(grids))
        raise ValueError(
            f"features must have shape {expected} (the latent grid or the token grid), got "
            f"{list(features.shape)}."
        )
