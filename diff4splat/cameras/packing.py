"""Maps of pixel frames folded onto a latent grid: the ways in which video models read their cameras.

A causal video autoencoder gives k + 1 latent frames for k s + 1 pixel frames: latent frame 0 stands for pixel
frame 0 alone, latent frame j for the s frames that end at j s. The functions here fold any maps of that many
frames, Plücker rays as well as others.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["pack_frames", "pool_maps", "unshuffle_pixels"]


def pack_frames(
    maps: Float[Tensor, "*batch frame channel height width"],
    *,
    temporal_stride: int,
    order: Literal["frame", "channel"] = "frame",
) -> Float[Tensor, "*batch latent_frame packed height width"]:
    """Maps of the frames of each latent, stacked on channels; frame 0 is repeated to fill the first latent.

    Source of the repetition: the camera adapter of Wan2.1-Fun and Wan2.2-Fun, whose channels are in the order
    "channel" with a stride of 4.

    Args:
        maps: Maps of k s + 1 frames, with s = `temporal_stride`.
        temporal_stride: Pixel frames per latent frame.
        order: "frame" puts all channels of a frame side by side (index i C + c for channel c of the i-th of
            s frames), "channel" all frames of a channel (index c s + i).

    Returns:
        k + 1 latent frames with s times the channels.

    Raises:
        ValueError: If the number of frames does not fit the stride, or `order` is unknown.

    Examples:
        >>> pack_frames(torch.zeros(9, 6, 4, 4), temporal_stride=4).shape
        torch.Size([3, 24, 4, 4])
    """
    if order not in ("frame", "channel"):
        raise ValueError(f"order must be 'frame' or 'channel', got {order!r}.")
    pattern = (
        "... (f s) c h w -> ... f (s c) h w" if order == "frame" else "... (f s) c h w -> ... f (c s) h w"
    )
    return rearrange(_whole_latents(maps, temporal_stride), pattern, s=temporal_stride)


def pool_maps(
    maps: Float[Tensor, "*batch frame channel height width"], *, temporal_stride: int, spatial_stride: int
) -> Float[Tensor, "*batch latent_frame channel latent_height latent_width"]:
    """Mean of the maps over the frames and pixels of each latent.

    The mean of unit directions is shorter than one where they differ.

    Args:
        maps: Maps of k s + 1 frames, with s = `temporal_stride`.
        temporal_stride: Pixel frames per latent frame; the first latent is the mean of frame 0 alone.
        spatial_stride: Pixels per side of a latent.

    Returns:
        Maps on the latent grid.

    Raises:
        ValueError: If frames, height or width do not fit the strides.
    """
    _check_side(maps, spatial_stride, "spatial_stride")
    whole = rearrange(
        _whole_latents(maps, temporal_stride), "... (f s) c h w -> ... f s c h w", s=temporal_stride
    ).mean(-4)
    pooled = F.avg_pool2d(whole.flatten(0, -4), spatial_stride)
    return pooled.unflatten(0, whole.shape[:-3])


def unshuffle_pixels(
    maps: Float[Tensor, "*batch channel height width"], factor: int
) -> Float[Tensor, "*batch unshuffled coarse_height coarse_width"]:
    """Blocks of pixels moved to channels: index c f² + i f + j for channel c, row i and column j of a block.

    Source: Shi et al. 2016 (the inverse of sub-pixel convolution); the first step of the camera encoders of
    CameraCtrl, AC3D and the Wan-Fun adapters.

    Args:
        maps: Maps at pixel resolution.
        factor: Side f of a block in pixels.

    Returns:
        Maps of one f-th of the height and width with f² times the channels.

    Raises:
        ValueError: If height or width is no multiple of `factor`, or an axis is missing.
    """
    if maps.ndim < 3:
        raise ValueError(f"maps must have the axes channel, height and width, got shape {tuple(maps.shape)}.")
    _check_side(maps, factor, "factor")
    return rearrange(maps, "... c (h i) (w j) -> ... (c i j) h w", i=factor, j=factor)


def _whole_latents(maps: Tensor, stride: int) -> Tensor:
    """Frames with the first one repeated, so that every latent has as many."""
    if stride < 1:
        raise ValueError(f"temporal_stride must be at least 1, got {stride}.")
    if maps.ndim < 4:
        raise ValueError(
            f"maps must have the axes frame, channel, height and width, got shape {tuple(maps.shape)}."
        )
    frames = maps.shape[-4]
    if frames < 1 or (frames - 1) % stride:
        raise ValueError(
            f"maps must have k * {stride} + 1 frames for temporal_stride={stride}, got {frames}."
        )
    first = maps[..., :1, :, :, :].expand(*maps.shape[:-4], stride, *maps.shape[-3:])
    return torch.cat((first, maps[..., 1:, :, :, :]), dim=-4)


def _check_side(maps: Tensor, factor: int, name: str) -> None:
    if factor < 1:
        raise ValueError(f"{name} must be at least 1, got {factor}.")
    for side, value in zip(("height", "width"), maps.shape[-2:], strict=True):
        if value % factor:
            raise ValueError(f"{side} must be a multiple of {name}={factor}, got {value}.")
