"""Maps at pixel resolution from the features of patches."""

from collections.abc import Sequence

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.models.movies.codes import place_code

__all__ = ["DPTHead"]

_LAST_WIDTH = 32
_PLACE_WEIGHT = 0.1


class DPTHead(nn.Module):
    """Four levels of patch features, resized to four resolutions and fused from coarse to fine.

    Source: Ranftl et al. 2021 (DPT), as Wang et al. 2025 (VGGT) use it. Lin et al. 2026 (MoVieS) add two
    things: the target time scales and shifts the normalised features, and a shortcut at full resolution
    leads past all of it.

    Args:
        dim: Width of the patch features.
        channels: Channels of the result.
        width: Channels while fusing; a multiple of 8.
        level_widths: Channels of the four levels, fine to coarse, multiples of 4.
        patch_size: Patch side in pixels.
        shortcut_channels: Channels of the map that the shortcut reads; 0 for none.
        time_dim: Length of the code of the target time; 0 for none.
    """

    def __init__(
        self,
        dim: int,
        channels: int,
        *,
        width: int,
        level_widths: Sequence[int],
        patch_size: int,
        shortcut_channels: int = 0,
        time_dim: int = 0,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm = nn.LayerNorm(dim)
        self.projects = nn.ModuleList([nn.Conv2d(dim, level, 1) for level in level_widths])
        first, second, _, last = level_widths
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, kernel_size=3, stride=2, padding=1),
            ]
        )
        self.scratch = _Fusion(level_widths, width, channels)
        self.shortcut = _two_convolutions(shortcut_channels, channels) if shortcut_channels else None
        self.time_embed = nn.Linear(time_dim, 2 * dim) if time_dim else None
        if self.time_embed is not None:  # so that a fresh head is the same at all times
            nn.init.zeros_(self.time_embed.weight)
            nn.init.zeros_(self.time_embed.bias)

    def forward(
        self,
        levels: Sequence[Float[Tensor, "image patch dim"]],
        *,
        grid: tuple[int, int],
        shortcut: Float[Tensor, "image shortcut_channel height width"] | None = None,
        time: Float[Tensor, "image time_code"] | None = None,
    ) -> Float[Tensor, "image channel height width"]:
        """Raw maps, without activation.

        Args:
            levels: Features of four layers, fine to coarse.
            grid: Patch rows and columns.
            shortcut: Map for the shortcut; needed when built with `shortcut_channels`.
            time: Code of the target time; needed when built with `time_dim`.

        Returns:
            Maps of `patch_size` pixels per patch.
        """
        rows, columns = grid
        aspect = columns / rows
        modulation = None
        if self.time_embed is not None and time is not None:
            modulation = self.time_embed(time)[:, None].chunk(2, dim=-1)
        maps = []
        for level, project, resize in zip(levels, self.projects, self.resize_layers, strict=True):
            features = self.norm(level)
            if modulation is not None:
                scale, shift = modulation
                features = features * (1 + scale) + shift
            features = project(rearrange(features, "b (h w) c -> b c h w", h=rows))
            maps.append(resize(_with_place(features, aspect)))
        fused = self.scratch(maps)
        fused = _resize(fused, (rows * self.patch_size, columns * self.patch_size))
        result = self.scratch.output_conv2(_with_place(fused, aspect))
        if self.shortcut is not None and shortcut is not None:
            result = result + self.shortcut(shortcut)
        return result


class _Fusion(nn.Module):
    def __init__(self, level_widths: Sequence[int], width: int, channels: int) -> None:
        super().__init__()
        for number, level in enumerate(level_widths, start=1):
            self.add_module(f"layer{number}_rn", nn.Conv2d(level, width, 3, padding=1, bias=False))
        for number in range(1, 5):
            self.add_module(f"refinenet{number}", _FusionStep(width, reads_level=number < 4))
        self.output_conv1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.output_conv2 = _two_convolutions(width // 2, channels)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        levels = [self.get_submodule(f"layer{number}_rn")(one) for number, one in enumerate(maps, start=1)]
        # each step ends at the size of the level that the next one reads, the last at twice its own
        finest = levels[0].shape[-2:]
        sizes = [(2 * finest[0], 2 * finest[1]), *(level.shape[-2:] for level in levels[:-1])]
        fused = self.get_submodule("refinenet4")(levels[3], None, sizes[3])
        for number in (3, 2, 1):
            step = self.get_submodule(f"refinenet{number}")
            fused = step(fused, levels[number - 1], sizes[number - 1])
        return self.output_conv1(fused)


class _FusionStep(nn.Module):
    def __init__(self, width: int, *, reads_level: bool) -> None:
        super().__init__()
        self.resConfUnit1 = _ResidualUnit(width) if reads_level else None
        self.resConfUnit2 = _ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, coarse: Tensor, level: Tensor | None, size: tuple[int, int]) -> Tensor:
        if self.resConfUnit1 is not None:
            coarse = coarse + self.resConfUnit1(level)
        return self.out_conv(_resize(self.resConfUnit2(coarse), size))


class _ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        # The published weights were trained with a ReLU that overwrote its input, so that the sum is over
        # the rectified features, not over the features.
        rectified = F.relu(features)
        return rectified + self.conv2(F.relu(self.conv1(rectified)))


def _two_convolutions(channels: int, result: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, _LAST_WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(_LAST_WIDTH, result, 1)
    )


def _with_place(features: Tensor, aspect: float) -> Tensor:
    channels, height, width = features.shape[-3:]
    return features + _PLACE_WEIGHT * place_code(channels, height, width, aspect=aspect, like=features)


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)
