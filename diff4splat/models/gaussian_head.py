"""From tokens to the Gaussian map G, one entry per pixel of its frames."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.hub import HubModule
from diff4splat.models.convolutions import ResidualConv, at_least_float32
from diff4splat.transformer import RMSNorm

__all__ = ["GaussianHead"]


class GaussianHead(HubModule):
    """Gaussian map: 3D deconvolutions from tokens to the pixels of their frames, then 12 channels.

    The last deconvolution enlarges rows and columns four times. Those before it, one or several, share what
    remains in factors of at most four, or primes: 8 frames of 32 x 32 pixels are reached by (2, 2, 2), (4, 4,
    4) and (1, 4, 4), so that no kernel is large.

    The channels are log-depth 1, colour 3, log-scale 3, quaternion 4, opacity logit 1. They are raw:
    activations are applied where Gaussians are made. The pixels of the first frame, which are known, enter at
    the map's resolution. Source: Diff4Splat, Sec. 3.2 (lightweight decoding module) and Sec. 3.3 (map G).

    Args:
        dim: Token width.
        upsampling: Pixels per token side; a multiple of 4.
        temporal_upsampling: Frames with Gaussians per latent frame: 1, or the temporal stride for all frames.
        width: Channels at a quarter of the resolution.
        pixel_width: Channels at full resolution.

    Raises:
        ValueError: If `upsampling` is not a multiple of 4.
    """

    num_channels = 12

    def __init__(
        self,
        dim: int,
        *,
        upsampling: int,
        temporal_upsampling: int = 1,
        width: int = 64,
        pixel_width: int = 24,
    ) -> None:
        super().__init__()
        if upsampling % 4:
            raise ValueError(f"upsampling must be a multiple of 4, got {upsampling}.")
        coarse, *further = _deconvolution_strides(temporal_upsampling, upsampling // 4)
        self.temporal_upsampling = temporal_upsampling
        self.token_norm = RMSNorm(dim, eps=1e-6)
        self.coarse = nn.ConvTranspose3d(dim, width, coarse, stride=coarse)
        self.further = nn.ModuleList(
            [nn.ConvTranspose3d(width, width, stride, stride=stride) for stride in further]
        )
        self.refine = nn.Sequential(ResidualConv(width), ResidualConv(width))
        self.fine = nn.ConvTranspose3d(width, pixel_width, (1, 4, 4), stride=(1, 4, 4))
        self.image = nn.Sequential(nn.Conv2d(4, pixel_width, 3, padding=1), nn.SiLU())
        self.image_mix = nn.Conv2d(pixel_width, pixel_width, 3, padding=1)
        self.pixel = nn.Sequential(nn.SiLU(), nn.Conv2d(pixel_width, pixel_width, 3, padding=1), nn.SiLU())
        self.output = nn.Conv2d(pixel_width, self.num_channels, 3, padding=1)
        nn.init.normal_(self.output.weight, std=1e-3)
        nn.init.zeros_(self.output.get_parameter("bias"))

    def forward(
        self,
        tokens: Float[Tensor, "batch latent_frame height_token width_token dim"],
        image: Float[Tensor, "batch rgb=3 height width"] | None = None,
    ) -> tuple[
        Float[Tensor, "batch map_frame channel=12 height width"],
        Float[Tensor, "batch map_frame pixel_width height width"],
    ]:
        """Raw Gaussian map and the pixel features it was read from, which the deformation head shares.

        Args:
            tokens: Output of the Transformer on its grid.
            image: The first frame at the map's resolution, values in [0, 1]; unknown when omitted.

        Returns:
            The map, float32 or wider, and the features; frame 0 first, which latent frame 0 stands for alone.
        """
        volume = self.coarse(rearrange(self.token_norm(tokens), "b f h w d -> b d f h w"))
        for deconvolution in self.further:
            volume = deconvolution(F.silu(volume))
        volume = volume[:, :, self.temporal_upsampling - 1 :]
        batch, frames = volume.shape[0], volume.shape[2]
        refined = self.refine(rearrange(volume, "b c f h w -> (b f) c h w"))
        fine = self.fine(rearrange(refined, "(b f) c h w -> b c f h w", b=batch))
        pixels = rearrange(fine, "b c f h w -> b f c h w") + self._image_features(image, fine)
        features = self.pixel(rearrange(pixels, "b f c h w -> (b f) c h w"))
        maps = at_least_float32(self.output(features))
        return (
            rearrange(maps, "(b f) c h w -> b f c h w", b=batch),
            rearrange(features, "(b f) c h w -> b f c h w", f=frames),
        )

    def _image_features(self, image: Tensor | None, like: Tensor) -> Tensor:
        batch, channels, frames, height, width = like.shape
        if image is None:
            known = like.new_zeros(batch, 4, height, width)
        else:
            known = torch.cat((image - 0.5, torch.ones_like(image[:, :1])), dim=1)
        first = self.image_mix(self.image(known))[:, None]
        return F.pad(first, (0, 0, 0, 0, 0, 0, 0, frames - 1))


def _deconvolution_strides(frames: int, pixels: int) -> list[tuple[int, int, int]]:
    """Strides (frame, row, column), at least one, whose products are the enlargements; large ones last."""
    in_time, in_space = _factors(frames), _factors(pixels)
    count = max(len(in_time), len(in_space), 1)
    in_time, in_space = ([1] * (count - len(each)) + each for each in (in_time, in_space))
    return [(t, s, s) for t, s in zip(in_time, in_space, strict=True)]


def _factors(total: int) -> list[int]:
    """Ascending factors of a number, none above 4 but primes."""
    factors = []
    while total > 1:
        factor = next(factor for factor in (4, 3, 2, *range(5, total + 1)) if total % factor == 0)
        factors.append(factor)
        total //= factor
    return sorted(factors)
