"""Latent frames and the pixel frames that they stand for: neighbours, tokens and cameras."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras, latent_rays, pack_frames, pose_maps

__all__ = ["join_neighbours", "latent_cameras", "spread_frames"]


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
