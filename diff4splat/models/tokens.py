"""Latents and cameras as two token sequences of identical length, joined channel by channel."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LatentPoseTokens", "PatchTokens"]


class PatchTokens(nn.Module):
    """One token per square of a video map: embed each place, then join the places of a square.

    Args:
        channels: Channels of the map.
        embed_dim: Width of a place's embedding (64 in the paper, Sec. 4.1).
        patch_size: Places per side of a square.
        dim: Token width.
    """

    def __init__(self, channels: int, embed_dim: int, patch_size: int, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.embed = nn.Linear(channels, embed_dim)
        self.join = nn.Linear(embed_dim * patch_size**2, dim)

    def forward(
        self, maps: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch token dim"]:
        """One token per square.

        Args:
            maps: Any map on the latent grid.

        Returns:
            Tokens in frame-major, then row-major order.

        Raises:
            ValueError: If the map's sides are not multiples of the patch size.
        """
        if maps.shape[-2] % self.patch_size or maps.shape[-1] % self.patch_size:
            raise ValueError(
                f"latent height and width must be multiples of patch_size={self.patch_size}, "
                f"got {maps.shape[-2]} x {maps.shape[-1]}."
            )
        places = self.embed(rearrange(maps, "b f c h w -> b f h w c"))
        size = self.patch_size
        return self.join(rearrange(places, "b f (h p) (w q) c -> b (f h w) (p q c)", p=size, q=size))


class LatentPoseTokens(nn.Module):
    """Latent tokens and pose tokens of the same squares, concatenated channel-wise.

    Both come from the same grid, so the two sequences have the same length and order. Source: Diff4Splat,
    Sec. 3.2.

    Args:
        latent_channels: Channels of a latent.
        ray_channels: Channels of the packed Plücker rays, 6 per pixel frame.
        embed_dim: Embedding of a place before it is joined to its square.
        patch_size: Latents per token side.
        dim: Token width; half is latent, half is pose.
    """

    def __init__(
        self, latent_channels: int, ray_channels: int, embed_dim: int, patch_size: int, dim: int
    ) -> None:
        super().__init__()
        self.latent = PatchTokens(latent_channels, embed_dim, patch_size, dim - dim // 2)
        self.pose = PatchTokens(ray_channels, embed_dim, patch_size, dim // 2)

    def forward(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        rays: Float[Tensor, "batch latent_frame packed latent_height latent_width"],
    ) -> Float[Tensor, "batch token dim"]:
        """Joint tokens.

        Args:
            latents: Normalised latents.
            rays: Plücker rays on the latent grid, see `diff4splat.cameras.latent_rays`.

        Returns:
            Tokens, the first half of the channels from the latents.

        Raises:
            ValueError: If the sides are not multiples of the patch size.
        """
        return torch.cat((self.latent(latents), self.pose(rays)), dim=-1)
