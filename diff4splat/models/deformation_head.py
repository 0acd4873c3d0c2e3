"""From tokens of several depths to the deformation map D at any target times."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diff4splat.hub import HubModule
from diff4splat.models.convolutions import ResidualConv, at_least_float32
from diff4splat.transformer import RMSNorm, sinusoidal_embedding

__all__ = ["DeformationHead"]


class DeformationHead(HubModule):
    r"""Deformation map at any target time: multi-resolution, with $K_d = 10$ channels.

    $$f_l = F_l\big((1 + a_l)\, n(x_l) + b_l + f_{l+1}\big), \qquad
      D(t) = (t - t_k)\, W\, \mathrm{silu}\big(\mathrm{norm}(U f_1 + V p)\big)$$

    $x_l$ are the tokens of Transformer depth $l$ (`levels`), normalised and projected ($n$) and resized to 4,
    2, 1, 1/2 times their grid, shallow ones finest; $F_l$ is a residual block of two convolutions, before
    which $f_{l+1}$, the coarser result, is resized; $a_l, b_l$ are linear in a code of the target time $t$
    and of the time $t - t_k$ since the pixel was seen; $p$ = `pixels`; $U, V, W$ are 1x1 convolutions, no
    activation follows. The factor $t - t_k$ holds a pixel still at its own time and makes steady motion a
    constant output.

    Source: Diff4Splat, Sec. 3.3 and Appendix C.2. The paper says "an 8-layer DPT head" and no more; we read
    it as the eight stages that a DPT has for four depths: four reassemble layers $n$ (norm, projection,
    resizing) and four fusion layers $F_l$. Differs: the pixel features and the factor $t - t_k$ are ours, and
    the last layer starts at zero, so that a fresh head gives a static scene. The output is raw here;
    `assemble_field` adds the four quaternion channels to the identity and normalises them, and takes the
    three scale channels as changes of log-scale.

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
        *,
        times_per_chunk: int = 1,
    ) -> Float[Tensor, "batch time map_frame channel=10 height width"]:
        """Raw deformation of every pixel from its own time to the target times.

        Target times are decoded in chunks, so that memory beyond the result is that of one chunk. Where
        gradients are recorded, a chunk keeps nothing but its result: `backward` computes it again. What does
        not depend on the target time is computed once.

        Args:
            levels: Token grids of several depths, from shallow (used finest) to deep (used coarsest).
            pixels: Pixel features of the Gaussian head.
            times: Target times in [0, 1].
            frame_times: Times of the frames that carry Gaussians, in [0, 1].
            times_per_chunk: Target times that are decoded together. As many as `times` has, or more, is a
                single chunk, which `backward` does not compute again.

        Returns:
            Displacement 3 (in units of depth, camera axes of the frame), quaternion offset 4 (added to the
            identity), change of log-scale 3; float32 or wider.

        Raises:
            ValueError: If there are not as many levels as the head was built for, `times` is not one row of
                times per clip, or `times_per_chunk` is below 1.
        """
        if len(levels) != len(self.scales):
            raise ValueError(f"levels must have {len(self.scales)} grids, got {len(levels)}.")
        if times.ndim != 2 or len(times) != len(pixels) or times.shape[1] < 1:
            raise ValueError(
                f"times must have shape [{len(pixels)}, time], at least one, got {list(times.shape)}."
            )
        if times_per_chunk < 1:
            raise ValueError(f"times_per_chunk must be at least 1, got {times_per_chunk}.")
        grids = [self._reassemble(index, level) for index, level in enumerate(levels)]
        detail = self.pixel_features(rearrange(pixels, "b f c h w -> (b f) c h w"))
        detail = rearrange(detail, "(b f) c h w -> b f c h w", b=times.shape[0])
        chunks = times.split(times_per_chunk, dim=1)
        if len(chunks) == 1:
            return self._decode(grids, detail, times, frame_times)
        if torch.is_grad_enabled():
            maps = [
                checkpoint(self._decode, grids, detail, chunk, frame_times, use_reentrant=False)
                for chunk in chunks
            ]
            return torch.cat(maps, dim=1)
        first = self._decode(grids, detail, chunks[0], frame_times)
        result = first.new_empty(first.shape[0], times.shape[1], *first.shape[2:])
        result[:, :times_per_chunk] = first
        del first
        for index, chunk in enumerate(chunks[1:], start=1):
            start = index * times_per_chunk
            result[:, start : start + times_per_chunk] = self._decode(grids, detail, chunk, frame_times)
        return result

    def _decode(self, grids: Sequence[Tensor], detail: Tensor, times: Tensor, frame_times: Tensor) -> Tensor:
        """Deformation of all pixels to a few target times, from reassembled grids and pixel features."""
        batch, num_times = times.shape
        target = repeat(times, "b t -> b t f", f=frame_times.shape[1])
        elapsed = target - frame_times[:, None]
        codes = [
            sinusoidal_embedding(v, self.time_dim, max_period=1000.0, scale=30.0) for v in (target, elapsed)
        ]
        code = self.time(torch.cat(codes, dim=-1).to(detail.dtype))
        fused = None
        for index in range(len(grids) - 1, -1, -1):
            scale, shift = (
                rearrange(v, "b t f c -> b t f c 1 1") for v in self.modulations[index](code).chunk(2, dim=-1)
            )
            modulated = rearrange(grids[index][:, None] * (1 + scale) + shift, "b t f c h w -> (b t f) c h w")
            if fused is not None:
                modulated = modulated + F.interpolate(
                    fused, size=modulated.shape[-2:], mode="bilinear", align_corners=False
                )
            fused = self.fusions[index](modulated)
        coarse = F.interpolate(
            self.fused_features(fused), size=detail.shape[-2:], mode="bilinear", align_corners=False
        )
        features = coarse + repeat(detail, "b f c h w -> (b t f) c h w", t=num_times)
        maps = at_least_float32(self.output(F.silu(self.output_norm(features))))
        maps = rearrange(maps, "(b t f) c h w -> b t f c h w", b=batch, t=num_times)
        return maps * rearrange(elapsed, "b t f -> b t f 1 1 1")

    def _reassemble(self, index: int, tokens: Tensor) -> Tensor:
        """Token grid of one depth as feature maps of the size at which it is fused."""
        batch = tokens.shape[0]
        projected = self.projections[index](self.norms[index](tokens))
        maps = rearrange(projected, "b f h w c -> (b f) c h w")
        if self.scales[index] != 1.0:
            size = [max(int(side * self.scales[index]), 1) for side in maps.shape[-2:]]
            maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        return rearrange(maps, "(b f) c h w -> b f c h w", b=batch)
