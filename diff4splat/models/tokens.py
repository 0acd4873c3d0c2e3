"""Latents and cameras as two token sequences of identical length, joined channel by channel."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.hub import HubModule
from diff4splat.transformer import RMSNorm

__all__ = ["LatentPoseTokens", "PatchTokens"]


class PatchTokens(HubModule):
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


class LatentPoseTokens(HubModule):
    r"""Latent tokens and pose tokens of the same squares, concatenated channel-wise.

    Both come from the same grid, so the two sequences have the same length and order. Source: Diff4Splat,
    Sec. 3.2. Features of a video model, which the paper does not use, are averaged over each square,
    normalised and added through a linear layer that starts at zero: a fresh layer changes nothing, and the
    weights of a model without features stay valid. A third stream beside latents and poses would change the
    widths of both.

    Args:
        latent_channels: Channels of a latent.
        ray_channels: Channels of the packed pose maps: 6 (Plücker rays) or 12 (vectors) per pixel frame.
        embed_dim: Embedding of a place before it is joined to its square.
        patch_size: Latents per token side.
        dim: Token width; half is latent, half is pose.
        feature_channels: Channels of features; 0 for none.
    """

    def __init__(
        self,
        latent_channels: int,
        ray_channels: int,
        embed_dim: int,
        patch_size: int,
        dim: int,
        feature_channels: int = 0,
    ) -> None:
        super().__init__()
        self.latent = PatchTokens(latent_channels, embed_dim, patch_size, dim - dim // 2)
        self.pose = PatchTokens(ray_channels, embed_dim, patch_size, dim // 2)
        self.feature_norm, self.feature = None, None
        if feature_channels:
            self.feature_norm = RMSNorm(feature_channels, eps=1e-6)
            self.feature = nn.Linear(feature_channels, dim)
            for parameter in self.feature.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        rays: Float[Tensor, "batch latent_frame packed latent_height latent_width"],
        features: Float[Tensor, "batch latent_frame feature_channel feature_height feature_width"]
        | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Joint tokens.

        Args:
            latents: Normalised latents.
            rays: Plücker rays on the latent grid, see `diff4splat.cameras.latent_rays`, or other pose maps.
            features: Features on the latent grid or on that of the tokens; needed when built with
                `feature_channels`.

        Returns:
            Tokens, the first half of the channels from the latents.

        Raises:
            ValueError: If the sides are not multiples of the patch size, or features are missing.
        """
        tokens = torch.cat((self.latent(latents), self.pose(rays)), dim=-1)
        if self.feature is None or self.feature_norm is None:
            return tokens
        if features is None:
            raise ValueError("features are needed: the tokens were built with feature_channels.")
        rows, columns = (side // self.latent.patch_size for side in latents.shape[-2:])
        squares = F.adaptive_avg_pool2d(features.flatten(0, 1), (rows, columns))
        squares = rearrange(squares, "(b f) c h w -> b (f h w) c", b=latents.shape[0])
        return tokens + self.feature(self.feature_norm(squares))
