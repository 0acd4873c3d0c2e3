"""From tokens of several depths to the deformation map D at any target times."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.models.convolutions import ResidualConv, at_least_float32
from diff4splat.transformer import RMSNorm, sinusoidal_embedding

__all__ = ["DeformationHead"]


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
        self.norms = nn.ModuleList([RMSNorm(dim, eps=1e-6) for _ in self.scales])
        self.projections = nn.ModuleList([nn.Linear(dim, width) for _ in self.scales])
        self.modulations = nn.ModuleList([nn.Linear(2 * time_dim, 2 * width) for _ in self.scales])
        self.fusions = nn.ModuleList([ResidualConv(width) for _ in self.scales])
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
        maps = at_least_float32(self.output(F.silu(self.output_norm(coarse + detail))))
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
