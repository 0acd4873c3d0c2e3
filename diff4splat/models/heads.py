"""From tokens to the Gaussian map G and the deformation map D, one entry per pixel of their frames."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.transformer import sinusoidal_embedding

__all__ = ["DeformationHead", "GaussianHead"]


class GaussianHead(nn.Module):
    """Gaussian map: 3D deconvolutions from tokens to the pixels of their frames, then 12 channels.

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
        coarse = (temporal_upsampling, upsampling // 4, upsampling // 4)
        self.temporal_upsampling = temporal_upsampling
        self.token_norm = nn.RMSNorm(dim, eps=1e-6)
        self.coarse = nn.ConvTranspose3d(dim, width, coarse, stride=coarse)
        self.refine = nn.Sequential(_ResidualConv(width), _ResidualConv(width))
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
        volume = volume[:, :, self.temporal_upsampling - 1 :]
        batch, frames = volume.shape[0], volume.shape[2]
        refined = self.refine(rearrange(volume, "b c f h w -> (b f) c h w"))
        fine = self.fine(rearrange(refined, "(b f) c h w -> b c f h w", b=batch))
        pixels = rearrange(fine, "b c f h w -> b f c h w") + self._image_features(image, fine)
        features = self.pixel(rearrange(pixels, "b f c h w -> (b f) c h w"))
        maps = _at_least_float32(self.output(features))
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


class DeformationHead(nn.Module):
    r"""Deformation map at any target time: multi-resolution, with $K_d = 10$ channels.

    $$f_l = F_l\big((1 + a_l)\, n(x_l) + b_l + f_{l+1}\big), \qquad
      D(t) = (t - t_k)\, W\, \mathrm{silu}\big(\mathrm{norm}(U f_1 + V p)\big)$$

    $x_l$ are the tokens of Transformer depth $l$ (`levels`), normalised and projected ($n$) and resized to 4,
    2, 1, 1/2 times their grid, shallow ones finest; $F_l$ is a residual block of two convolutions, before
    which $f_{l+1}$, the coarser result, is resized; $a_l, b_l$ are linear in a code of the target time $t$
    and of the time $t - t_k$ since the pixel was seen; $p$ = `pixels`; $U, V, W$ are 1x1 convolutions, no
    activation follows. The factor $t - t_k$ holds a pixel still at its own time and makes steady motion a
    constant output.

    Source: Diff4Splat, Sec. 3.3 and Appendix C.2. Differs: the paper's head is an 8-layer DPT; this one has
    its plan, several depths fused from coarse to fine, in fewer layers. The factor $t - t_k$ is ours, and
    the last layer starts at zero, so that a fresh head gives a static scene.

    Args:
        dim: Token width.
        num_levels: Transformer depths that are read, coarse ones last.
        width: Channels of the fusion.
        pixel_width: Channels of the pixel features of the Gaussian head.
        time_dim: Length of a time code.
    """

    num_channels = 10

    def __init__(
        self,
        dim: int,
        *,
        num_levels: int = 4,
        width: int = 48,
        pixel_width: int = 24,
        time_dim: int = 64,
    ) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.scales = tuple(2.0 ** max(2 - level, -1) for level in range(num_levels))
        self.time = nn.Sequential(nn.Linear(2 * time_dim, 2 * time_dim), nn.SiLU())
        self.norms = nn.ModuleList([nn.RMSNorm(dim, eps=1e-6) for _ in self.scales])
        self.projections = nn.ModuleList([nn.Linear(dim, width) for _ in self.scales])
        self.modulations = nn.ModuleList([nn.Linear(2 * time_dim, 2 * width) for _ in self.scales])
        self.fusions = nn.ModuleList([_ResidualConv(width) for _ in self.scales])
        self.pixel_features = nn.Conv2d(pixel_width, width // 2, 1)
        self.fused_features = nn.Conv2d(width, width // 2, 1)
        # Without the norm these features can fall silent while the output is still near zero, and stay so.
        self.output_norm = nn.GroupNorm(1, width // 2)
        self.output = nn.Conv2d(width // 2, self.num_channels, 1)
        for layer in self.modulations:
            nn.init.zeros_(layer.get_parameter("bias"))
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        levels: Sequence[Float[Tensor, "batch map_frame height_token width_token dim"]],
        pixels: Float[Tensor, "batch map_frame pixel_width height width"],
        times: Float[Tensor, "batch time"],
        frame_times: Float[Tensor, "batch map_frame"],
    ) -> Float[Tensor, "batch time map_frame channel=10 height width"]:
        """Raw deformation of every pixel from its own time to the target times.

        Args:
            levels: Token grids of several depths, from shallow (used finest) to deep (used coarsest).
            pixels: Pixel features of the Gaussian head.
            times: Target times in [0, 1].
            frame_times: Times of the frames that carry Gaussians, in [0, 1].

        Returns:
            Displacement 3 (in units of depth, camera axes of the frame), quaternion offset 4 (added to the
            identity), change of log-scale 3; float32 or wider.

        Raises:
            ValueError: If there are not as many levels as the head was built for.
        """
        if len(levels) != len(self.scales):
            raise ValueError(f"levels must have {len(self.scales)} grids, got {len(levels)}.")
        batch, num_times = times.shape
        frames = frame_times.shape[1]
        target = repeat(times, "b t -> b t f", f=frames)
        elapsed = target - frame_times[:, None]
        codes = [
            sinusoidal_embedding(v, self.time_dim, max_period=1000.0, scale=30.0) for v in (target, elapsed)
        ]
        code = self.time(torch.cat(codes, dim=-1).to(pixels.dtype))
        fused = None
        for index in range(len(self.scales) - 1, -1, -1):
            level = self._resize(
                self.projections[index](self.norms[index](levels[index])), self.scales[index]
            )
            scale, shift = (
                rearrange(v, "b t f c -> b t f c 1 1") for v in self.modulations[index](code).chunk(2, dim=-1)
            )
            modulated = rearrange(level[:, None] * (1 + scale) + shift, "b t f c h w -> (b t f) c h w")
            if fused is not None:
                modulated = modulated + F.interpolate(
                    fused, size=modulated.shape[-2:], mode="bilinear", align_corners=False
                )
            fused = self.fusions[index](modulated)
        coarse = F.interpolate(
            self.fused_features(fused), size=pixels.shape[-2:], mode="bilinear", align_corners=False
        )
        detail = self.pixel_features(rearrange(pixels, "b f c h w -> (b f) c h w"))
        detail = repeat(detail, "(b f) c h w -> (b t f) c h w", b=batch, t=num_times)
        maps = _at_least_float32(self.output(F.silu(self.output_norm(coarse + detail))))
        maps = rearrange(maps, "(b t f) c h w -> b t f c h w", b=batch, t=num_times)
        return maps * rearrange(elapsed, "b t f -> b t f 1 1 1")

    @staticmethod
    def _resize(grid: Tensor, scale: float) -> Tensor:
        batch = grid.shape[0]
        flat = rearrange(grid, "b f h w c -> (b f) c h w")
        size = [max(int(side * scale), 1) for side in flat.shape[-2:]]
        if scale != 1.0:
            flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        return rearrange(flat, "(b f) c h w -> b f c h w", b=batch)


def _at_least_float32(values: Tensor) -> Tensor:
    """Geometry needs the precision, whatever the network computes in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _ResidualConv(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps)
