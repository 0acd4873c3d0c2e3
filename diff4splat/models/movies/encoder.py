"""The image encoder of MoVieS: DINOv2 with register tokens."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.models.movies.layers import Block

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """Vision Transformer that gives one feature vector per patch of an image.

    Source: Oquab et al. 2024 (DINOv2), Darcet et al. 2024 (registers); ViT-L/14 is its size in MoVieS.

    Args:
        dim: Token width.
        num_layers: Blocks.
        num_heads: Attention heads.
        patch_size: Patch side in pixels.
        grid_size: Patches per side of the images that the learned positions were made for.
        num_registers: Register tokens, which take part in attention and are dropped.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_layers: int,
        num_heads: int,
        patch_size: int,
        grid_size: int,
        num_registers: int = 4,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.grid_size = grid_size
        self.num_registers = num_registers
        projection = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)
        self.patch_embed = nn.Sequential(OrderedDict(proj=projection))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 1e-6)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + grid_size**2, dim) * 0.02)
        self.register_tokens = nn.Parameter(torch.randn(1, num_registers, dim) * 1e-6)
        # stood for hidden patches when DINOv2 was trained; no longer used, and part of its weights
        self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.blocks = nn.ModuleList(
            [Block(dim, num_heads, normalize=False, initial_scale=1.0, eps=1e-6) for _ in range(num_layers)]
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: Float[Tensor, "image rgb=3 height width"]) -> Float[Tensor, "image patch dim"]:
        """Features of the patches, row by row.

        Args:
            images: Images with the mean and spread of ImageNet taken out, in the type of the weights; sides
                are multiples of the patch.

        Returns:
            Normalised features.
        """
        patches = self.patch_embed(images)
        place = self._positions(*patches.shape[-2:])
        count = len(images)
        summary = (self.cls_token + place[:, :1]).expand(count, -1, -1)
        registers = self.register_tokens.expand(count, -1, -1)
        patches = rearrange(patches, "b c h w -> b (h w) c") + place[:, 1:]
        tokens = torch.cat((summary, registers, patches), dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 1 + self.num_registers :])

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Learned positions, resampled to the grid of the image."""
        if (rows, columns) == (self.grid_size, self.grid_size):
            return self.pos_embed
        grid = rearrange(self.pos_embed[:, 1:].float(), "b (h w) c -> b c h w", h=self.grid_size)
        grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
        resampled = rearrange(grid, "b c h w -> b (h w) c").to(self.pos_embed.dtype)
        return torch.cat((self.pos_embed[:, :1], resampled), dim=1)
