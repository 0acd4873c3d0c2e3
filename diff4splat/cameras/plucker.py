"""Plücker rays: one six-number line per pixel, the pose signal that networks read."""

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.cameras.cameras import Cameras
from diff4splat.geometry import pixel_rays
from diff4splat.hub import HubModule

__all__ = ["plucker_rays", "PluckerEmbedding"]


def plucker_rays(cameras: Cameras) -> Float[Tensor, "*batch frame plucker=6 height width"]:
    r"""Plücker coordinates $(o \times d, d)$ of the ray through every pixel centre.

    with $o$ the camera centre and $d$ the unit ray direction, both in world coordinates: the moment comes
    first, in scene units, then the direction. Unchanged when the camera slides along the ray.

    Args:
        cameras: Cameras of any batch shape; values flow through differentiably.

    Returns:
        Moment (channels 0 to 2) and direction (channels 3 to 5) per pixel.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> plucker_rays(trajectory.forward(5, height=8, width=16)).shape
        torch.Size([5, 6, 8, 16])
    """
    rays = pixel_rays(cameras.intrinsics, height=cameras.height, width=cameras.width)
    directions = einsum(cameras.camera_to_world[..., :3, :3], rays, "... i j, ... h w j -> ... h w i")
    directions = directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    origins = rearrange(cameras.positions, "... i -> ... 1 1 i").expand_as(directions)
    moments = torch.linalg.cross(origins, directions)
    return rearrange(torch.cat((moments, directions), dim=-1), "... h w c -> ... c h w")


class PluckerEmbedding(HubModule):
    """One token per image patch from Plücker rays; starts as zero, so adding it changes nothing.

    Args:
        embed_dim: Token width; equals the width of the transformer it is added to.
        patch_size: Patch side in pixels.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(self, embed_dim: int = 512, patch_size: int = 8) -> None:
        super().__init__()
        for name, value in (("embed_dim", embed_dim), ("patch_size", patch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.patch_size = patch_size
        self.projection = nn.Conv2d(6, embed_dim, kernel_size=patch_size, stride=patch_size)
        nn.init.zeros_(self.projection.weight)
        if self.projection.bias is not None:
            nn.init.zeros_(self.projection.bias)

    def forward(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch frame token embed"]:
        """Tokens of every frame, patches in row-major order.

        Args:
            rays: Plücker rays as `plucker_rays` returns them.

        Returns:
            (height / patch_size) x (width / patch_size) tokens per frame.

        Raises:
            ValueError: If height or width is no multiple of `patch_size`, or an axis is missing.
        """
        if rays.ndim != 5 or rays.shape[2] != 6:
            advice = "; add one with rays[None]" if rays.ndim == 4 else ""
            raise ValueError(
                "rays must have the axes batch, frame, 6, height and width, "
                f"got shape {tuple(rays.shape)}{advice}."
            )
        batch, frames, _, height, width = rays.shape
        for name, value in (("height", height), ("width", width)):
            if value % self.patch_size:
                raise ValueError(f"{name} must be a multiple of patch_size={self.patch_size}, got {value}.")
        features = self.projection(rearrange(rays, "b f c h w -> (b f) c h w"))
        return rearrange(features, "(b f) c h w -> b f (h w) c", b=batch, f=frames)
