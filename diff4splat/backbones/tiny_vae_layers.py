"""Layers of the tiny video autoencoder, numbered as in TAEHV, so that its weights have the same names."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Memory", "make_decoder", "make_encoder", "run_layers"]

Memory = dict[int, Tensor]
"""Last frame that each memory block has seen, by its place in the network."""

_NUM_BLOCKS = 3
_STAGES = 3


def make_encoder(
    pixel_channels: int, width: int, latent_channels: int, temporal_stride: int
) -> nn.Sequential:
    """Frames to latents at an eighth of their height and width.

    Args:
        pixel_channels: Channels that come in.
        width: Channels inside.
        latent_channels: Channels that go out.
        temporal_stride: Frames that are merged to one latent: 1, 2, 4 or 8.

    Returns:
        The layers, for `run_layers`.
    """
    layers: list[nn.Module] = [_conv(pixel_channels, width), nn.ReLU(inplace=True)]
    for stage in range(_STAGES):
        layers.append(_MergeFrames(width, 2 if 2**stage < temporal_stride else 1))
        layers.append(_conv(width, width, stride=2, bias=False))
        layers += [_MemoryBlock(width) for _ in range(_NUM_BLOCKS)]
    return nn.Sequential(*layers, _conv(width, latent_channels))


def make_decoder(
    latent_channels: int,
    width: int,
    pixel_channels: int,
    temporal_stride: int,
    *,
    variant: Literal["base", "super"],
) -> nn.Sequential:
    """Latents to frames of eight times their height and width.

    Args:
        latent_channels: Channels that come in.
        width: Channels at the highest resolution; those below have more.
        pixel_channels: Channels that go out.
        temporal_stride: Frames that a latent is split into: 1, 2, 4 or 8.
        variant: "super" has wider blocks that look further.

    Returns:
        The layers, for `run_layers`.
    """
    strides = [2 if 2 ** (_STAGES - stage) <= temporal_stride else 1 for stage in range(_STAGES)]
    if variant == "super":
        widths = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[0], 1, bias=False)]
        for wide, narrow, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [_WideMemoryBlock(wide) for _ in range(_NUM_BLOCKS)]
            layers += [_conv(wide, 4 * narrow), nn.ReLU(inplace=True), nn.PixelShuffle(2)]
            layers.append(_SplitFrames(narrow, stride))
        return nn.Sequential(*layers, _conv(width, pixel_channels))
    widths = [4 * width, 2 * width, width, width]
    layers = [_SoftLimit(), _conv(latent_channels, widths[0]), nn.ReLU(inplace=True)]
    for wide, narrow, stride in zip(widths, widths[1:], strides, strict=False):
        layers += [_MemoryBlock(wide) for _ in range(_NUM_BLOCKS)]
        layers += [nn.Upsample(scale_factor=2), _SplitFrames(wide, stride), _conv(wide, narrow, bias=False)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True), _conv(width, pixel_channels))


def run_layers(
    layers: nn.Sequential, clip: Float[Tensor, "batch frame channel height width"], memory: Memory
) -> Float[Tensor, "batch other_frame other_channel other_height other_width"]:
    """Pass a clip, or the next piece of one, through an encoder or decoder.

    Args:
        layers: From `make_encoder` or `make_decoder`.
        clip: A whole number of frames for each one that comes out.
        memory: Empty before the first piece; what the next piece needs is put there.

    Returns:
        What comes out for this piece.
    """
    batch = clip.shape[0]
    frames = rearrange(clip, "b f c h w -> (b f) c h w")
    for place, layer in enumerate(layers):
        if isinstance(layer, _MemoryBlock | _WideMemoryBlock):
            now = rearrange(frames, "(b f) c h w -> b f c h w", b=batch)
            last = memory.get(place, torch.zeros_like(now[:, :1]))
            memory[place] = now[:, -1:]
            before = torch.cat((last, now[:, :-1]), dim=1)
            frames = layer(frames, rearrange(before, "b f c h w -> (b f) c h w"))
        else:
            frames = layer(frames)
    return rearrange(frames, "(b f) c h w -> b f c h w", b=batch)


class _MemoryBlock(nn.Module):
    """Residual block of three convolutions that also sees the frame before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * width, width),
            nn.ReLU(inplace=True),
            _conv(width, width),
            nn.ReLU(inplace=True),
            _conv(width, width),
        )

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        return (self.conv(torch.cat((frames, before), dim=1)) + frames).relu()


class _WideMemoryBlock(nn.Module):
    """Residual block that sees the frame before: a large kernel per channel, then two layers per pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 7, padding=3, groups=2 * width, bias=False),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, width, 1, bias=False),
        )

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        return self.conv(torch.cat((frames, before), dim=1)) + frames


class _MergeFrames(nn.Module):
    """One frame from every `stride` consecutive ones."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(stride * width, width, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.conv(rearrange(frames, "(n s) c h w -> n (s c) h w", s=self.stride))


class _SplitFrames(nn.Module):
    """Every frame becomes `stride` consecutive ones."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, stride * width, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        return rearrange(self.conv(frames), "n (s c) h w -> (n s) c h w", s=self.stride)


class _SoftLimit(nn.Module):
    """Latents limited to (-3, 3), those near zero hardly changed."""

    def forward(self, latents: Tensor) -> Tensor:
        return 3 * torch.tanh(latents / 3)


def _conv(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias)
