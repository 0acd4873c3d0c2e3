"""The velocity field of the compact video model: first frame, cameras, prompt and noise in, velocity out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diff4splat.backbones.compact.text import ByteTextEncoder
from diff4splat.hub import HubModule
from diff4splat.transformer import RMSNorm, TransformerBlock, rotary_positions, sinusoidal_embedding

__all__ = ["CompactDiT"]


class CompactDiT(HubModule):
    r"""Diffusion transformer $v_\theta(z_t, t, P, C)$ over video latents (paper, Eq. 2).

    A token is a square of latents with, beside the noisy values, the latent of the first frame at the same
    place and the Plücker rays of the pixel frames it stands for. The first latent frame is given clean with
    time zero and is not predicted. The prompt enters by cross-attention, the time by modulation.

    Args:
        latent_channels: Channels of a latent.
        dim: Token width.
        num_layers: Transformer blocks.
        num_heads: Query heads.
        num_key_value_heads: Key-value heads.
        patch_size: Latents per token side.
        temporal_stride: Pixel frames per latent frame; their rays are stacked.
        text_dim: Width of the prompt encoder.
        text_layers: Blocks of the prompt encoder.

    Raises:
        ValueError: If the numbers of heads do not divide.
    """

    def __init__(
        self,
        latent_channels: int = 8,
        dim: int = 256,
        num_layers: int = 8,
        num_heads: int = 8,
        num_key_value_heads: int = 4,
        patch_size: int = 2,
        temporal_stride: int = 4,
        text_dim: int = 128,
        text_layers: int = 2,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.ray_channels = 6 * temporal_stride
        self.patch_size = patch_size
        self.dim = dim
        self.head_dim = dim // num_heads
        self.text = ByteTextEncoder(text_dim, text_layers)
        self.latent_tokens = nn.Linear(2 * latent_channels * patch_size**2, dim)
        self.pose_tokens = nn.Linear(6 * temporal_stride * patch_size**2, dim)
        self.time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())
        self.shared_modulation = nn.Linear(dim, 6 * dim)
        self.blocks = nn.ModuleList(
            [
                TransformerBlock(
                    dim,
                    num_heads=num_heads,
                    num_key_value_heads=num_key_value_heads,
                    context_dim=text_dim,
                    modulated=True,
                )
                for _ in range(num_layers)
            ]
        )
        self.output_norm = RMSNorm(dim, eps=1e-6)
        self.output = nn.Linear(dim, latent_channels * patch_size**2)
        for layer in (self.shared_modulation, self.output, self.pose_tokens):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for block in self.blocks:
            nn.init.zeros_(block.get_parameter("context_attention.output.weight"))

    def forward(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        time: Float[Tensor, " batch"],
        rays: Float[Tensor, "batch latent_frame packed latent_height latent_width"],
        prompts: Sequence[str],
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Velocity from data to noise at every latent; zero at the first frame, which is known.

        Args:
            latents: Noisy latents at `time`, the first latent frame clean.
            time: Noise level in [0, 1], 1 is pure noise.
            rays: Plücker rays at the latent grid, the rays of a latent's pixel frames stacked on channels.
            prompts: One text per sample; "" is no prompt.

        Returns:
            Velocity, float32.

        Raises:
            ValueError: If the numbers of prompts, frames or channels do not fit, or a side is not a multiple
                of the patch size.
        """
        if len(prompts) != latents.shape[0]:
            raise ValueError(
                f"prompts must have one text per sample ({latents.shape[0]}), got {len(prompts)}."
            )
        return self.predict(latents, time, rays, *self.text(prompts))

    def predict(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        time: Float[Tensor, " batch"],
        rays: Float[Tensor, "batch latent_frame packed latent_height latent_width"],
        words: Float[Tensor, "batch word text_dim"],
        mask: Bool[Tensor, "batch word"],
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Velocity for prompts that are encoded already, as sampling needs it at every step.

        Args:
            latents: Noisy latents at `time`, the first latent frame clean.
            time: Noise level in [0, 1].
            rays: Packed Plücker rays at the latent grid.
            words: Vectors of the prompts, from `self.text`.
            mask: Places of `words` that hold a vector.

        Returns:
            Velocity, float32.

        Raises:
            ValueError: If the channels do not fit, or a side is not a multiple of the patch size.
        """
        self._check(latents, rays)
        num_frames, _, height, width = latents.shape[1:]
        grid = (num_frames, height // self.patch_size, width // self.patch_size)
        latents = latents.to(self.output.weight.dtype)
        known = latents[:, :1].expand_as(latents)
        tokens = self.latent_tokens(self._patchify(torch.cat((latents, known), dim=2)))
        tokens = tokens + self.pose_tokens(self._patchify(rays).to(tokens.dtype))
        condition = self._condition(time, num_frames)
        angles = rotary_positions(*grid, self.head_dim, device=latents.device)
        for block in self.blocks:
            tokens = block(tokens, angles=angles, condition=condition, context=words, context_mask=mask)
        velocity = rearrange(
            self.output(self.output_norm(tokens)),
            "b (f h w) (c p q) -> b f c (h p) (w q)",
            f=grid[0],
            h=grid[1],
            p=self.patch_size,
            q=self.patch_size,
        ).float()
        return F.pad(velocity[:, 1:], (0, 0, 0, 0, 0, 0, 1, 0))

    def _check(self, latents: Tensor, rays: Tensor) -> None:
        for name, maps, channels in (
            ("latents", latents, self.latent_channels),
            ("rays", rays, self.ray_channels),
        ):
            if maps.shape[2] != channels:
                raise ValueError(f"{name} must have {channels} channels, got {maps.shape[2]}.")
        height, width = latents.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"latent height and width must be multiples of patch_size={self.patch_size}, "
                f"got {height} x {width}."
            )

    def _patchify(self, maps: Tensor) -> Tensor:
        return rearrange(maps, "b f c (h p) (w q) -> b (f h w) (c p q)", p=self.patch_size, q=self.patch_size)

    def _condition(self, time: Tensor, num_frames: int) -> Tensor:
        """Modulation of each frame: the first is known, so its time is zero."""
        levels = torch.stack((torch.zeros_like(time), time), dim=1)
        codes = sinusoidal_embedding(levels, self.dim).to(self.output.weight.dtype)
        codes = self.shared_modulation(self.time(codes))
        return torch.cat((codes[:, :1], codes[:, 1:].expand(-1, num_frames - 1, -1)), dim=1)
