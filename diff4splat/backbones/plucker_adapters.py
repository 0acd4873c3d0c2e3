"""Camera adapters to be trained, of Plücker rays.

Both start as zero: a video model then gives, to the last bit, what it gives without them.
"""

import copy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones.camera_adapter import CameraAdapter
from diff4splat.cameras import pack_frames, unshuffle_pixels

__all__ = ["PluckerAdapter", "PluckerConcatenation"]


class PluckerAdapter(CameraAdapter):
    r"""Camera features by convolutions over the Plücker rays of each latent frame.

    $$f = W_3 * \sigma(h + W_2 * \sigma(h)), \quad h = W_1 * P, \qquad W_3 = 0 \text{ at the start},$$

    with $P$ the rays of the pixels and frames of a latent cell, side by side on channels, and $\sigma$ the
    SiLU function; $W_1$ is a 1 x 1, $W_2$ a 3 x 3 convolution, and $W_3$ takes one step per token.

    Args:
        embed_dim: See `CameraAdapter`.
        temporal_stride: See `CameraAdapter`.
        spatial_stride: See `CameraAdapter`.
        patch: See `CameraAdapter`.
        temporal_patch: See `CameraAdapter`.
        unconditional: See `CameraAdapter`.
        translation_scale: See `CameraAdapter`.
        base: See `CameraAdapter`.
        hidden_dim: Channels inside.

    Raises:
        ValueError: If a size is below 1 or an option is unknown.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> adapter = PluckerAdapter(24, hidden_dim=8)
        >>> adapter(trajectory.forward(9, height=32, width=48).batch(None)).shape
        torch.Size([1, 24, 3, 2, 3])
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        temporal_stride: int = 4,
        spatial_stride: int = 8,
        patch: int = 2,
        temporal_patch: int = 1,
        unconditional: Literal["cameras", "zeros"] = "cameras",
        translation_scale: float = 1.0,
        base: str | None = None,
        hidden_dim: int = 256,
    ) -> None:
        super().__init__(
            embed_dim,
            temporal_stride=temporal_stride,
            spatial_stride=spatial_stride,
            patch=patch,
            temporal_patch=temporal_patch,
            unconditional=unconditional,
            translation_scale=translation_scale,
            base=base,
        )
        if hidden_dim < 1:
            raise ValueError(f"hidden_dim must be >= 1, got {hidden_dim}.")
        channels = 6 * temporal_stride * spatial_stride**2 * temporal_patch
        self.read = nn.Conv2d(channels, hidden_dim, 1)
        self.mix = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1)
        self.write = _zeroed(nn.Conv2d(hidden_dim, embed_dim, patch, stride=patch))

    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features; zero for a new adapter.
        """
        packed = pack_frames(rays, temporal_stride=self.spec.temporal_stride)
        cells = _whole_tokens(unshuffle_pixels(packed, self.spec.spatial_stride), self.temporal_patch)
        tokens = rearrange(cells, "b (n t) c h w -> (b n) (t c) h w", t=self.temporal_patch)
        hidden = self.read(tokens)
        hidden = hidden + self.mix(F.silu(hidden))
        return rearrange(self.write(F.silu(hidden)), "(b n) d h w -> b d n h w", b=len(rays))


class PluckerConcatenation(CameraAdapter):
    r"""Camera latents beside the noisy latents, read by a patch embedding widened with zero weights.

    $$[W, W_c] * [z; c] + b = (W * z + b) + W_c * c$$

    with $z$ the noisy latents, $c$ the camera latents, $W, b$ the model's patch embedding and $W_c$ its new
    weights. The right side is what is computed: the model keeps its patch embedding, and $W_c * c$ is the
    feature that is added. `widened` gives the left side as a layer. Camera latents are the Plücker rays after
    a causal convolution that takes one step per latent cell, and a normalisation over each clip.

    Source: the recipe of the code that the authors of Diff4Splat released for Wan2.2-TI2V-5B.

    Args:
        embed_dim: See `CameraAdapter`.
        temporal_stride: See `CameraAdapter`.
        spatial_stride: See `CameraAdapter`.
        patch: See `CameraAdapter`.
        temporal_patch: See `CameraAdapter`.
        unconditional: See `CameraAdapter`; that code uses "zeros".
        translation_scale: See `CameraAdapter`.
        base: See `CameraAdapter`.
        camera_channels: Channels of the camera latents; that code has as many as the latents, 48.
        num_groups: Groups of channels that are normalised together.

    Raises:
        ValueError: If a size is below 1 or an option is unknown.
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        temporal_stride: int = 4,
        spatial_stride: int = 16,
        patch: int = 2,
        temporal_patch: int = 1,
        unconditional: Literal["cameras", "zeros"] = "zeros",
        translation_scale: float = 1.0,
        base: str | None = None,
        camera_channels: int = 48,
        num_groups: int = 1,
    ) -> None:
        super().__init__(
            embed_dim,
            temporal_stride=temporal_stride,
            spatial_stride=spatial_stride,
            patch=patch,
            temporal_patch=temporal_patch,
            unconditional=unconditional,
            translation_scale=translation_scale,
            base=base,
        )
        if not 1 <= num_groups <= camera_channels or camera_channels % num_groups:
            raise ValueError(
                f"camera_channels must be a multiple of num_groups={num_groups}, got {camera_channels}."
            )
        cell = (temporal_stride, spatial_stride, spatial_stride)
        self.embed = nn.Conv3d(6, camera_channels, cell, stride=cell)
        self.norm = nn.GroupNorm(num_groups, camera_channels)
        token = (temporal_patch, patch, patch)
        self.write = _zeroed(nn.Conv3d(camera_channels, embed_dim, token, stride=token, bias=False))

    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features; zero for a new adapter.
        """
        latents = _whole_tokens(self.camera_latents(rays), self.temporal_patch)
        return self.write(rearrange(latents, "b n c h w -> b c n h w"))

    def camera_latents(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch latent_frame camera_channel latent_height latent_width"]:
        """What the released code concatenates to the noisy latents.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Camera latents on the latent grid.
        """
        before = rays[:, :1].expand(-1, self.spec.temporal_stride - 1, -1, -1, -1)
        whole = rearrange(torch.cat((before, rays), dim=1), "b f c h w -> b c f h w")
        return rearrange(self.norm(self.embed(whole)), "b c n h w -> b n c h w")

    def widened(self, embedding: nn.Conv3d) -> nn.Conv3d:
        """A patch embedding that reads noisy latents and, after them on channels, camera latents.

        Args:
            embedding: Patch embedding of the video model; not changed.

        Returns:
            New layer whose output equals that of `embedding` plus the features of this adapter.

        Raises:
            ValueError: If the layer has another kernel or width than this adapter.
        """
        if (embedding.kernel_size, embedding.out_channels) != (self.write.kernel_size, self.embed_dim):
            raise ValueError(
                f"embedding must have kernel {self.write.kernel_size} and {self.embed_dim} outputs, "
                f"got kernel {embedding.kernel_size} and {embedding.out_channels}."
            )
        weight = torch.cat((embedding.weight, self.write.weight.to(embedding.weight)), dim=1)
        wide = copy.deepcopy(embedding)
        wide.in_channels = weight.shape[1]
        wide.weight = nn.Parameter(weight.detach())
        return wide


def _whole_tokens(latents: Tensor, temporal_patch: int) -> Tensor:
    """Latent frames with the first repeated in front until tokens of `temporal_patch` frames divide them."""
    missing = -latents.shape[1] % temporal_patch
    return torch.cat((latents[:, :1].expand(-1, missing, -1, -1, -1), latents), dim=1)


def _zeroed(layer: Any) -> Any:
    """A layer with all weights zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
