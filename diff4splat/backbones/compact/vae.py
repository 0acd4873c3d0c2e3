"""A small causal video autoencoder: 4 x 8 x 8 compression, the first frame alone in the first latent."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.hub import HubModule

__all__ = ["CausalVideoVAE"]


class CausalVideoVAE(HubModule):
    r"""Variational autoencoder of clips with 4k + 1 frames, causal in time.

    Latent frame $j$ sees pixel frames $0 \dots 4j$ only, so the latent of a still image is the first latent
    of every clip that starts with it. Time is halved twice by $y_i = W [x_{2i-2}; x_{2i-1}; x_{2i}]$ (frames
    before the first repeat it) and doubled by splitting channels, dropping the frame before the first.

    Args:
        latent_channels: Channels of a latent.
        width: Channels at a quarter of the resolution; twice as many at an eighth.
        num_blocks: Residual blocks per stage.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, latent_channels: int = 8, width: int = 64, num_blocks: int = 2) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.encoder = _Encoder(latent_channels, width, num_blocks)
        self.decoder = _Decoder(latent_channels, width, num_blocks)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def posterior(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> tuple[
        Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        Float[Tensor, "batch latent_frame channel latent_height latent_width"],
    ]:
        """Distribution of the latents of a clip, before normalisation.

        Args:
            video: Values in [0, 1]; 4k + 1 frames, sides multiples of 8.

        Returns:
            Mean and log-variance of independent normal distributions, the latter limited to [-20, 4].

        Raises:
            ValueError: If the number of frames or a side does not fit.
        """
        frames, _, height, width = video.shape[1:]
        if frames % 4 != 1 or height % 8 or width % 8:
            raise ValueError(
                "video must have 4k + 1 frames and sides that are multiples of 8, "
                f"got {frames} frames of {height} x {width}."
            )
        mean, log_variance = self.encoder((video * 2 - 1).to(self.latent_mean.dtype)).chunk(2, dim=2)
        return mean, log_variance.float().clamp(-20, 4)

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Normalised latents of a clip: the mean of the posterior, without a draw.

        Args:
            video: Values in [0, 1]; 4k + 1 frames, sides multiples of 8.

        Returns:
            Latents with about zero mean and unit variance per channel.

        Raises:
            ValueError: If the number of frames or a side does not fit.
        """
        mean = self.posterior(video)[0].float()
        return (mean - self._per_channel(self.latent_mean)) / self._per_channel(self.latent_std)

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """The clip of normalised latents.

        Args:
            latents: As `encode` gives them.

        Returns:
            Video in [0, 1] up to overshoot, not clamped.
        """
        raw = latents * self._per_channel(self.latent_std) + self._per_channel(self.latent_mean)
        return (self.decoder(raw.to(self.latent_mean.dtype)).float() + 1) / 2

    @torch.no_grad()
    def set_normalization(self, mean: Float[Tensor, " channel"], std: Float[Tensor, " channel"]) -> None:
        """Set the statistics that `encode` and `decode` apply.

        Args:
            mean: Mean of each latent channel over data.
            std: Standard deviation of each channel, > 0.
        """
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    @staticmethod
    def _per_channel(values: Tensor) -> Tensor:
        return values[:, None, None]


class _ChannelNorm(nn.Module):
    """RMS norm over channels at each place and time: keeps causality, which a norm over time would break."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        scale = torch.rsqrt(frames.float().square().mean(dim=1, keepdim=True) + 1e-6)
        return frames * scale.to(frames.dtype) * self.gain.to(frames.dtype)


class _FrameBlock(nn.Module):
    """Residual block of two 3x3 convolutions, frame by frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _ChannelNorm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            _ChannelNorm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, video: Tensor) -> Tensor:
        return video + _per_frame(self.layers, video)


class _CausalBlock(nn.Module):
    """Residual block that mixes three consecutive frames and then each frame's neighbourhood."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.time = nn.Sequential(_ChannelNorm(3 * channels), nn.Conv2d(3 * channels, channels, 1), nn.SiLU())
        self.space = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, video: Tensor) -> Tensor:
        return video + _per_frame(lambda x: self.space(self.time(x)), _with_two_before(video))


class _TimeHalf(nn.Module):
    """From 2k + 1 frames to k + 1, each output frame from the three that end at it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, video: Tensor) -> Tensor:
        return video[:, ::2] + _per_frame(self.mix, _with_two_before(video)[:, ::2])


class _TimeDouble(nn.Module):
    """From k + 1 frames to 2k + 1: each frame becomes two, the one before the first is dropped."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, video: Tensor) -> Tensor:
        before = torch.cat((video[:, :1], video[:, :-1]), dim=1)
        pairs = _per_frame(self.split, torch.cat((before, video), dim=2))
        doubled = rearrange(pairs, "b f (two c) h w -> b (f two) c h w", two=2)[:, 1:]
        return doubled + video.repeat_interleave(2, dim=1)[:, 1:]


class _Encoder(nn.Module):
    def __init__(self, latent_channels: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _PerFrame(nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, width, 3, padding=1))),
            *[_FrameBlock(width) for _ in range(num_blocks)],
        )
        self.down = _PerFrame(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1))
        self.coarse = nn.Sequential(
            _CausalBlock(2 * width),
            _TimeHalf(2 * width),
            *[_CausalBlock(2 * width) for _ in range(num_blocks - 1)],
            _TimeHalf(2 * width),
            *[_CausalBlock(2 * width) for _ in range(num_blocks)],
        )
        self.output = _PerFrame(nn.Conv2d(2 * width, 2 * latent_channels, 1))

    def forward(self, video: Tensor) -> Tensor:
        return self.output(self.coarse(self.down(self.fine(video))))


class _Decoder(nn.Module):
    def __init__(self, latent_channels: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.input = _PerFrame(nn.Conv2d(latent_channels, 2 * width, 3, padding=1))
        self.coarse = nn.Sequential(
            *[_CausalBlock(2 * width) for _ in range(num_blocks)],
            _TimeDouble(2 * width),
            *[_CausalBlock(2 * width) for _ in range(num_blocks)],
            _TimeDouble(2 * width),
            _CausalBlock(2 * width),
        )
        self.up = _PerFrame(nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1), nn.PixelShuffle(2)))
        self.fine = nn.Sequential(*[_FrameBlock(width) for _ in range(num_blocks + 1)])
        self.output = _PerFrame(
            nn.Sequential(
                _ChannelNorm(width), nn.SiLU(), nn.Conv2d(width, 48, 3, padding=1), nn.PixelShuffle(4)
            )
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.output(self.fine(self.up(self.coarse(self.input(latents)))))


class _PerFrame(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, video: Tensor) -> Tensor:
        return _per_frame(self.layer, video)


def _per_frame(layer: Callable[[Tensor], Tensor], video: Tensor) -> Tensor:
    batch = video.shape[0]
    frames = rearrange(video, "b f c h w -> (b f) c h w").contiguous(memory_format=torch.channels_last)
    return rearrange(layer(frames), "(b f) c h w -> b f c h w", b=batch)


def _with_two_before(video: Tensor) -> Tensor:
    padded = torch.cat((video[:, :1], video[:, :1], video), dim=1)
    return torch.cat((padded[:, :-2], padded[:, 1:-1], padded[:, 2:]), dim=2)
