"""CogVideoX image to video of diffusers, 1.0 and 1.5: image, prompt and perhaps cameras to video latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.backbones.camera_adapter import CameraAdapter, added_camera
from diff4splat.backbones.denoising import cache_context
from diff4splat.backbones.diffusers_backbone import DiffusersBackbone
from diff4splat.backbones.diffusers_parts import DiffusersPart, DiffusersRepository, check_channels
from diff4splat.backbones.offloading import find_device
from diff4splat.backbones.video_condition import (
    VideoCondition,
    check_inputs,
    draw_normal,
)
from diff4splat.cameras import Cameras
from diff4splat.diffusion import ConstantGuidance, Guidance

__all__ = ["CogVideoXBackbone", "CogVideoXCondition"]


@dataclass(frozen=True)
class CogVideoXCondition(VideoCondition):
    """What CogVideoX is told about a clip.

    Args:
        shape: See `VideoCondition`; with the frames that 1.5 pads.
        prompts: See `VideoCondition`.
        unprompted: See `VideoCondition`.
        camera: See `VideoCondition`.
        resting: See `VideoCondition`.
        guided: See `VideoCondition`.
        channels: Latent of the image, then zeros; as large as the latents.
        padding: Latent frames in front that are no part of the clip.
        rotary: Cosines and sines of the rotary positions; None for models that have none.
    """

    channels: Tensor
    padding: int
    rotary: tuple[Tensor, Tensor] | None


class CogVideoXBackbone(DiffusersBackbone):
    r"""CogVideoX image to video, 1.0 and 1.5.

    The models have no camera input. Without `camera_adapter` the cameras decide the number of frames alone,
    see `generate`. 1.0 has positions for one size and length, 49 frames of 480 x 720, and takes no other; its
    successor takes any that `spec` allows.

    The prediction, and with it `SampleStep.velocity`, is $v = \alpha \epsilon - \sigma x$ with noise
    $\epsilon$, data $x$ and $\alpha^2 + \sigma^2 = 1$, no flow; `SampleStep.clean` is $\hat x$ as ever.
    Source: Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", Appendix D.

    Args:
        transformer: `CogVideoXTransformer3DModel` of an image-to-video model.
        vae: `AutoencoderKLCogVideoX`; decides the geometry of the latents.
        text_encoder: `T5EncoderModel`.
        tokenizer: Tokenizer of the text encoder.
        scheduler: `CogVideoXDPMScheduler` or `CogVideoXDDIMScheduler`.
        camera_adapter: Makes the model follow the cameras.
        negative_prompt: Text of the pass without the condition.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    pipelines = ("CogVideoXImageToVideoPipeline",)
    parts = (
        DiffusersPart("tokenizer", "transformers.AutoTokenizer"),
        DiffusersPart("text_encoder", "transformers.T5EncoderModel"),
        DiffusersPart("scheduler", "diffusers.Scheduler"),
        DiffusersPart("vae", "diffusers.AutoencoderKLCogVideoX"),
        DiffusersPart("transformer", "diffusers.CogVideoXTransformer3DModel"),
    )

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        *,
        camera_adapter: CameraAdapter | None = None,
        negative_prompt: str = "",
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.scheduler = scheduler
        stride = vae.config.temporal_compression_ratio
        self.spec = LatentSpec(
            channels=vae.config.latent_channels,
            temporal_stride=int(stride),
            spatial_stride=2 ** (len(vae.config.block_out_channels) - 1),
            patch=transformer.config.patch_size,
            # The decoder takes two latents at a time, three at first: an even number gives other frames.
            frame_multiple=int(stride) * vae.num_latent_frames_batch_size,
        )
        check_channels(transformer.config.in_channels, 2 * self.spec.channels)
        self.attach(camera_adapter, negative_prompt)

    @property
    def kind(self) -> str:
        """Name that it is registered under."""
        return "cogvideox"

    @property
    def temporal_patch(self) -> int:
        """Latent frames per token: 2 for 1.5."""
        return self.transformer.config.patch_size_t or 1

    @property
    def default_guidance(self) -> Guidance:
        """Guidance of the published pipeline: a constant scale of 6."""
        return ConstantGuidance(6.0)

    def embed_prompts(self, texts: Sequence[str]) -> Float[Tensor, "batch token text"]:
        """Features of prompts, padding and all.

        Args:
            texts: Prompts; "" is no prompt.

        Returns:
            Features, in the type that the transformer computes in.
        """
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.transformer.config.max_text_seq_length,
            truncation=True,
            return_tensors="pt",
        )
        features = self.text_encoder(tokens.input_ids.to(find_device(self.text_encoder)))[0]
        return features.to(device=self._device, dtype=self.transformer.dtype)

    def condition(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        generator: torch.Generator | None = None,
    ) -> CogVideoXCondition:
        """Everything that the network is told about a clip; gradients reach the camera adapter alone.

        Args:
            image: First frame, in [0, 1]; any device.
            cameras: One per pixel frame, batch axis as in `image`; any device.
            prompt: One text per image; none when omitted.
            generator: The latent of the image is drawn from its distribution, as in the published pipeline.

        Returns:
            The condition, for `predict`.

        Raises:
            TypeError: If `image` holds no floating-point numbers, or `prompt` is one text.
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """
        follows = self.camera_adapter is not None
        prompts = check_inputs(self.spec, image, cameras, prompt, follows_cameras=follows)
        self._check_positions(cameras.num_frames, *image.shape[-2:])
        frames, channels, height, width = self.spec.latent_shape(cameras.num_frames, *image.shape[-2:])
        padding = -frames % self.temporal_patch
        shape = (len(image), frames + padding, channels, height, width)
        with torch.no_grad():
            # The clip's first latent is not the first one where there is padding: the published 1.5 shows the
            # image to the padding alone.
            known = torch.zeros(shape, device=self._device)
            known[:, 0] = self._image_latents(image, generator)[:, 0].to(self._device)
        return CogVideoXCondition(
            shape=shape,
            **self.told(prompts, cameras),
            channels=known,
            padding=padding,
            rotary=self._rotary(*shape[1:2], height, width),
        )

    def predict(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        timestep: Num[Tensor, " batch"],
        condition: CogVideoXCondition,
        conditional: bool = True,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        r"""The $v$ of v-prediction, by one pass of the transformer.

        Args:
            latents: Noisy latents, with the frames that are padded in front.
            timestep: 0 to 999.
            condition: As `condition` gives it.
            conditional: Whether to use the prompt.

        Returns:
            $\alpha \epsilon - \sigma x$, float32.
        """
        model = self.transformer
        with (
            cache_context(model, conditional),
            added_camera(model.patch_embed, condition.added(conditional)),
        ):
            return model(
                hidden_states=torch.cat((latents, condition.channels), dim=2).to(model.dtype),
                encoder_hidden_states=condition.texts(conditional),
                timestep=timestep,
                ofs=None if model.config.ofs_embed_dim is None else latents.new_full((1,), 2.0),
                image_rotary_emb=condition.rotary,
                return_dict=False,
            )[0].float()

    def draw_noise(
        self, condition: VideoCondition, generator: torch.Generator | None
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Standard normal noise.

        Args:
            condition: As `condition` gives it.
            generator: Source of randomness.

        Returns:
            Noise of the shape `condition.shape`, float32.
        """
        return draw_normal(condition.shape, generator, self._device)

    def visible(self, latents: Tensor, condition: CogVideoXCondition) -> Tensor:
        """Latents of the clip, without those that 1.5 pads in front.

        Args:
            latents: Of the shape `condition.shape`.
            condition: As `condition` gives it.

        Returns:
            Latents, as many as `spec` says.
        """
        return latents[:, condition.padding :]

    @classmethod
    def check_repository(cls, repository: DiffusersRepository) -> None:
        """Refuse a repository without an image-to-video model, before weights are fetched.

        Args:
            repository: Of which the configurations are there.

        Raises:
            ValueError: If the transformer takes other channels.
        """
        channels = repository.config("vae").get("latent_channels", 16)
        check_channels(repository.config("transformer").get("in_channels", 16), 2 * channels)

    @property
    def _device(self) -> torch.device:
        return find_device(self.transformer)

    def _encode(self, video: Tensor) -> Tensor:
        return self._posterior(video).mode().float().movedim(1, 2) * self.vae.config.scaling_factor

    def _decode(self, latents: Tensor) -> Tensor:
        latents = latents / self.vae.config.scaling_factor
        latents = latents.to(device=find_device(self.vae), dtype=self.vae.dtype)
        return self.vae.decode(latents, return_dict=False)[0]

    def _posterior(self, video: Tensor) -> Any:
        frames = rearrange(video, "b f c h w -> b c f h w")
        frames = frames.to(device=find_device(self.vae), dtype=self.vae.dtype)
        return self.vae.encode(frames).latent_dist

    def _image_latents(self, image: Tensor, generator: torch.Generator | None) -> Tensor:
        drawn = []
        for one in image:  # noise in float32: a seed means the same in every type
            posterior = self._posterior(2 * one[None, None].float() - 1)
            noise = draw_normal(posterior.mean.shape, generator, posterior.mean.device)
            drawn.append(posterior.mean.float() + posterior.std.float() * noise)
        factor = self.vae.config.scaling_factor
        # 1.5 was trained with image latents that were divided where they should have been multiplied.
        factor = 1 / factor if self.vae.config.invert_scale_latents else factor
        return factor * rearrange(torch.cat(drawn), "b c n h w -> b n c h w")

    def _check_positions(self, num_frames: int, height: int, width: int) -> None:
        """Refuse what learned positions were not learned for."""
        config = self.transformer.config
        if not config.use_learned_positional_embeddings:
            return
        stride = self.spec.spatial_stride
        sizes = (config.sample_frames, config.sample_height * stride, config.sample_width * stride)
        if (num_frames, height, width) != sizes:
            raise ValueError(
                f"this CogVideoX has learned positions for {sizes[0]} frames of {sizes[1]} x {sizes[2]} "
                f"pixels alone, got {num_frames} frames of {height} x {width}; CogVideoX 1.5 takes "
                "others."
            )

    def _rotary(self, frames: int, height: int, width: int) -> tuple[Tensor, Tensor] | None:
        """Rotary positions of the tokens of a latent grid; 1.0 stretches the trained ones over it."""
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        patch = config.patch_size
        grid = (height // patch, width // patch)
        trained = (config.sample_height // patch, config.sample_width // patch)
        options: dict[str, Any] = (
            {"crops_coords": _centred_region(grid, trained)}
            if config.patch_size_t is None
            else {"crops_coords": None, "grid_type": "slice", "max_size": trained}
        )
        return get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            grid_size=grid,
            temporal_size=-(-frames // self.temporal_patch),
            device=self._device,
            **options,
        )


def _centred_region(
    grid: tuple[int, int], trained: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Largest centred part of the trained grid that has the shape of `grid`, top left and bottom right."""
    scale = min(side / cells for side, cells in zip(trained, grid, strict=True))
    sizes = [min(round(scale * cells), side) for cells, side in zip(grid, trained, strict=True)]
    top, left = (round((side - size) / 2) for side, size in zip(trained, sizes, strict=True))
    return (top, left), (top + sizes[0], left + sizes[1])
