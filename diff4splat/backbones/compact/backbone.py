"""The bundled video model: causal autoencoder and camera-conditioned diffusion transformer as one backbone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.backbones.compact.dit import CompactDiT
from diff4splat.backbones.compact.vae import CausalVideoVAE
from diff4splat.cameras import Cameras
from diff4splat.cameras.latent_rays import latent_rays
from diff4splat.diffusion import CosineGuidance, euler_sample
from diff4splat.diffusion.guidance import Guidance

__all__ = ["CompactBackbone"]


class CompactBackbone(nn.Module):
    """Image, cameras and prompt to video latents, small enough for two processor cores.

    Args:
        vae: Clips to latents and back.
        dit: Velocity field over latents.
        shift: Time shift of the sampler; above 1 spends more steps at high noise.
    """

    def __init__(self, vae: CausalVideoVAE, dit: CompactDiT, *, shift: float = 1.0) -> None:
        super().__init__()
        self.vae = vae
        self.dit = dit
        self.shift = shift
        self.spec = LatentSpec(
            channels=vae.latent_channels, temporal_stride=4, spatial_stride=8, patch=dit.patch_size
        )

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Normalised latents of a clip with values in [0, 1].

        Raises:
            ValueError: If the number of frames or the size does not fit `spec`.
        """
        self.spec.check_frames(video.shape[1])
        self.spec.check_size(*video.shape[-2:])
        return self.vae.encode(video)

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """The clip of normalised latents, values in [0, 1]."""
        return self.vae.decode(latents).clamp(0, 1)

    def velocity(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        time: Float[Tensor, " batch"],
        cameras: Cameras,
        prompts: Sequence[str],
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Velocity from data to noise; the first latent frame is the known image and stays."""
        rays = self._rays(cameras, *latents.shape[-2:])
        return self.dit(latents, time, rays, prompts)

    @torch.no_grad()
    def generate(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        *,
        num_steps: int = 30,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback: Callable[..., None] | None = None,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a clip that starts at `image` and follows `cameras`.

        Args:
            image: First frame, values in [0, 1].
            cameras: One camera per pixel frame, batch axis as in `image`; relative to the first.
            prompt: One text per image; none is the empty prompt.
            num_steps: Euler steps.
            guidance: Schedule of classifier-free guidance; the paper's cosine when omitted. Without a prompt nothing
                is guided, because both passes would agree.
            generator: Source of the noise.
            callback: Told after each step.

        Returns:
            Normalised latents; the first frame is the latent of `image` exactly.

        Raises:
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """
        batch, _, height, width = image.shape
        self.spec.check_frames(cameras.num_frames)
        self.spec.check_size(height, width)
        if prompt is not None and len(prompt) != batch:
            raise ValueError(f"prompt must have one text per image ({batch}), got {len(prompt)}.")
        prompts = [""] * batch if prompt is None else list(prompt)
        known = self.vae.encode(image[:, None])
        shape = (batch, self.spec.num_latents(cameras.num_frames), *known.shape[2:])
        noise = torch.randn(shape, generator=generator, dtype=known.dtype, device="cpu").to(known.device)
        start = torch.cat((known, noise[:, 1:]), dim=1)
        rays = self._rays(cameras, *known.shape[-2:])

        def velocity(latents: Tensor, time: Tensor, conditional: bool) -> Tensor:
            return self.dit(latents, time, rays, prompts if conditional else [""] * batch)

        if not any(text.strip() for text in prompts):
            schedule = None
        else:
            schedule = CosineGuidance() if guidance is None else guidance
        return euler_sample(
            velocity, start, num_steps=num_steps, shift=self.shift, guidance=schedule, callback=callback
        )

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write `vae/` and `dit/` below `folder`; `dtype` stores the weights at that precision."""
        self.vae.save_pretrained(Path(folder) / "vae", dtype=dtype)
        self.dit.save_pretrained(Path(folder) / "dit", dtype=dtype)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "CompactBackbone":
        """Load what `save_pretrained` wrote.

        Raises:
            ValueError: If a file is missing, damaged or does not fit its configuration.
        """
        vae = CausalVideoVAE.from_pretrained(Path(folder) / "vae")
        return cls(vae, CompactDiT.from_pretrained(Path(folder) / "dit")).eval()

    def _rays(self, cameras: Cameras, height: int, width: int) -> Tensor:
        return latent_rays(
            cameras.relative_to(None), height=height, width=width, temporal_stride=self.spec.temporal_stride
        )
