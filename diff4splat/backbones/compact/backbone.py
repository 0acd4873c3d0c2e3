"""The bundled video model: causal autoencoder and camera-conditioned diffusion transformer, one backbone."""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.backbones.compact.dit import CompactDiT
from diff4splat.backbones.compact.vae import CausalVideoVAE
from diff4splat.cameras import Cameras, latent_rays
from diff4splat.diffusion import CosineGuidance, Guidance, SampleStep, euler_sample
from diff4splat.files import atomic_path
from diff4splat.hub import Pushable, read_config, resolve_pretrained

__all__ = ["CompactBackbone"]


class CompactBackbone(Pushable, nn.Module):
    """Image, cameras and prompt to video latents, small enough for two processor cores.

    Args:
        vae: Clips to latents and back.
        dit: Velocity field over latents.
        shift: Time shift of the sampler; above 1 spends more steps at high noise.
        camera_guidance: Scale of the camera path, see `generate`; 1 saves the pass that it costs per step.

    Raises:
        ValueError: If `shift` is not positive, or `camera_guidance` below 1.
    """

    def __init__(
        self,
        vae: CausalVideoVAE,
        dit: CompactDiT,
        *,
        shift: float = 1.0,
        camera_guidance: float = 1.0,
    ) -> None:
        super().__init__()
        if not shift > 0:
            raise ValueError(f"shift must be > 0, got {shift}.")
        if not 1 <= camera_guidance < math.inf:
            raise ValueError(f"camera_guidance must be finite and >= 1, got {camera_guidance}.")
        self.vae = vae
        self.dit = dit
        self.shift = shift
        self.camera_guidance = camera_guidance
        self.spec = LatentSpec(
            channels=vae.latent_channels, temporal_stride=4, spatial_stride=8, patch=dit.patch_size
        )

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Normalised latents of a clip.

        Args:
            video: Values in [0, 1].

        Returns:
            Latents; the first one is that of the first frame alone.

        Raises:
            ValueError: If the number of frames or the size does not fit `spec`.
        """
        self.spec.check_frames(video.shape[1])
        self.spec.check_size(*video.shape[-2:])
        return self.vae.encode(video.to(next(self.parameters())))

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """The clip of normalised latents.

        Args:
            latents: As `encode` and `generate` give them.

        Returns:
            Video in [0, 1].
        """
        return self.vae.decode(latents).clamp(0, 1)

    def velocity(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        time: Float[Tensor, " batch"],
        cameras: Cameras,
        prompts: Sequence[str],
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Velocity from data to noise; zero at the first latent frame, which is the known image.

        Args:
            latents: Noisy latents at `time`, the first latent frame clean.
            time: Noise level in [0, 1].
            cameras: One camera per pixel frame, batch axis as in `latents`.
            prompts: One text per sample; "" is no prompt.

        Returns:
            Velocity at every latent.

        Raises:
            ValueError: If sizes, frames or the number of prompts do not fit.
        """
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
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        r"""Latents of a clip that starts at `image` and follows `cameras`.

        A small model follows the path more closely if the velocity is led away from that of a resting camera,

        $$v = v(c, p) + (\gamma - 1) \, (v(c, p) - v(\text{rest}, p)),$$

        with $c$ = `cameras`, $p$ = `prompt` and $\gamma$ = `camera_guidance`; the same is added in the pass
        without the prompt, so that the two guidances do not multiply. Source: Ho and Salimans 2022,
        Classifier-Free Diffusion Guidance, Eq. 6, a resting camera in the place of no condition.

        Args:
            image: First frame, values in [0, 1].
            cameras: One camera per pixel frame, batch axis as in `image`; relative to the first.
            prompt: One text per image; none is the empty prompt.
            num_steps: Euler steps.
            guidance: Schedule of classifier-free guidance by the prompt; the paper's cosine when omitted.
                Without a prompt nothing is guided by it, because both passes would agree.
            generator: Source of the noise.
            callback: Called after each step, see `diff4splat.diffusion.euler_sample`.

        Returns:
            Normalised latents; the first frame is the latent of `image` exactly.

        Raises:
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """
        batch, _, height, width = image.shape
        self.spec.check_frames(cameras.num_frames)
        self.spec.check_size(height, width)
        if cameras.batch_shape != (batch,):
            raise ValueError(
                f"cameras must have the batch axis of image ({batch},), got {cameras.batch_shape}."
            )
        if prompt is not None and len(prompt) != batch:
            raise ValueError(f"prompt must have one text per image ({batch}), got {len(prompt)}.")
        prompts = [""] * batch if prompt is None else list(prompt)
        known = self.encode(image[:, None])
        shape = (batch, self.spec.num_latents(cameras.num_frames), *known.shape[2:])
        device = "cpu" if generator is None else generator.device
        noise = torch.randn(shape, generator=generator, dtype=known.dtype, device=device).to(known.device)
        start = torch.cat((known, noise[:, 1:]), dim=1)
        cameras = cameras.to(device=known.device)
        rays = rest = self._rays(cameras, *known.shape[-2:])
        if self.camera_guidance != 1:
            rest = self._rays(cameras.at_rest(), *known.shape[-2:])
        leads = not torch.equal(rays, rest)
        guided = any(text.strip() for text in prompts)
        schedule = (CosineGuidance() if guidance is None else guidance) if guided else None
        words = {True: self.dit.text(prompts), False: self.dit.text([""] * batch)}

        lead = torch.zeros((), device=known.device)

        def velocity(latents: Tensor, time: Tensor, conditional: bool) -> Tensor:
            nonlocal lead
            along = self.dit.predict(latents, time, rays, *words[conditional])
            if leads and conditional:  # the first pass of a step; the other one is led alike
                resting = self.dit.predict(latents, time, rest, *words[True])
                lead = (self.camera_guidance - 1) * (along - resting)
            return along + lead

        return euler_sample(
            velocity, start, num_steps=num_steps, shift=self.shift, guidance=schedule, callback=callback
        )

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
        """Write the two parts as `vae/` and `dit/`, and `config.json` with the numbers.

        Args:
            folder: Made if needed.
            dtype: Storage type of the weights; the one they have when omitted.
        """
        self.vae.save_pretrained(Path(folder) / "vae", dtype=dtype)
        self.dit.save_pretrained(Path(folder) / "dit", dtype=dtype)
        with atomic_path(Path(folder) / "config.json") as path:
            config = {name: getattr(self, name) for name in ("shift", "camera_guidance")}
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
    ) -> "CompactBackbone":
        """Load what `save_pretrained` or `push_to_hub` wrote.

        Args:
            name_or_path: Local folder or Hub id; the weights that come with the package when omitted.
            revision: Branch, tag or commit on the Hub.
            local_files_only: Use what the Hub cache holds, without network.
            subfolder: Folder inside that holds the parts; "backbone" in the folder of a pipeline.

        Returns:
            The backbone in evaluation mode.

        Raises:
            FileNotFoundError: If a file is missing, or no weights come with this copy of the package.
            ValueError: If a file is damaged or does not fit its configuration.
        """
        if name_or_path is None:
            name_or_path, subfolder = "compact", "backbone"
        folder = resolve_pretrained(
            name_or_path, revision=revision, local_files_only=local_files_only, subfolder=subfolder
        )
        vae = CausalVideoVAE.from_pretrained(folder / "vae")
        dit = CompactDiT.from_pretrained(folder / "dit")
        try:
            return cls(vae, dit, **read_config(folder)).eval()
        except TypeError as error:
            raise ValueError(f"{folder / 'config.json'} does not build a {cls.__name__}: {error}.") from error

    def _rays(self, cameras: Cameras, height: int, width: int) -> Tensor:
        with torch.autocast(cameras.device.type, enabled=False):  # eight bits are too few for geometry
            return latent_rays(
                cameras.relative_to(None),
                height=height,
                width=width,
                temporal_stride=self.spec.temporal_stride,
            )
