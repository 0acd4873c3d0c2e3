"""Latent frames and the pixel frames that they stand for: neighbours, tokens, times and cameras."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras, latent_rays, pack_frames, pose_maps

__all__ = ["clip_times", "join_neighbours", "latent_cameras", "spread_frames"]


def join_neighbours(
    latents: Float[Tensor, "batch latent_frame channel height width"], *, reach: int
) -> Float[Tensor, "batch latent_frame joined height width"]:
    """Each latent with those of its neighbours in time, on channels; the ends repeat.

    Args:
        latents: Latents of a clip.
        reach: Neighbours on either side.

    Returns:
        Latents with 1 + 2 `reach` times the channels, earlier frames first.
    """
    frames = latents.shape[1]
    steps = torch.arange(frames, device=latents.device)
    near = [latents[:, (steps + offset).clamp(0, frames - 1)] for offset in range(-reach, reach + 1)]
    return torch.cat(near, dim=2)


def spread_frames(
    grid: Float[Tensor, "batch latent_frame height width dim"], *, temporal_stride: int
) -> Float[Tensor, "batch frame height width dim"]:
    """Tokens of every pixel frame: those of its latent frame.

    Args:
        grid: Tokens of every latent frame.
        temporal_stride: Pixel frames per latent frame after the first.

    Returns:
        Tokens, repeated.
    """
    return grid.repeat_interleave(temporal_stride, dim=1)[:, temporal_stride - 1 :]


def clip_times(num_frames: int, *, like: Tensor) -> Float[Tensor, " frame"]:
    """Times of the pixel frames of a clip.

    Args:
        num_frames: Pixel frames.
        like: Tensor whose device is taken, and whose type where it is wider than float32.

    Returns:
        From 0 to 1.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.linspace(0, 1, num_frames, device=like.device, dtype=dtype)


def latent_cameras(
    cameras: Cameras,
    *,
    height: int,
    width: int,
    temporal_stride: int,
    encoding: Literal["plucker", "vectors"],
) -> Float[Tensor, "batch latent_frame packed {height} {width}"]:
    """Cameras as maps on the latent grid, those of all pixel frames of a latent on its channels.

    Args:
        cameras: One camera per pixel frame.
        height: Latent rows.
        width: Latent columns.
        temporal_stride: Pixel frames per latent frame.
        encoding: Rays, or the twelve numbers of each camera at every place.

    Returns:
        6 or 12 channels per pixel frame, frame-major.
    """
    if encoding == "plucker":
        return latent_rays(cameras, height=height, width=width, temporal_stride=temporal_stride)
    return pack_frames(pose_maps(cameras, height=height, width=width), temporal_stride=temporal_stride)
