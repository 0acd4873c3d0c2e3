"""What the models of the Wan family share: latents, prompts, passes, held frames and experts."""

import html
import re
from abc import abstractmethod
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
from diff4splat.backbones.diffusers_parts import DiffusersRepository, check_channels
from diff4splat.backbones.offloading import find_device
from diff4splat.backbones.video_condition import (
    VideoCondition,
    check_inputs,
    draw_normal,
)
from diff4splat.cameras import Cameras
from diff4splat.diffusion import ConstantGuidance, Guidance

__all__ = ["WanCondition", "WanVideoModel"]


@dataclass(frozen=True)
class WanCondition(VideoCondition):
    """What Wan is told about a clip.

    Args:
        shape: See `VideoCondition`.
        prompts: See `VideoCondition`.
        unprompted: See `VideoCondition`.
        camera: See `VideoCondition`.
        resting: See `VideoCondition`.
        guided: See `VideoCondition`.
        channels: Channels beside the latents, `batch latent_frame channel latent_height latent_width`.
        first: Clean latent of the first frame, which is held in place; None where the model is told about it
            by `channels` alone.
        image_tokens: CLIP features of the image, for the models that read them.
    """

    channels: Tensor | None
    first: Tensor | None
    image_tokens: Tensor | None


class WanVideoModel(DiffusersBackbone):
    """Base of the models of the Wan family, which differ in how the transformer is shown the image.

    Args:
        transformer: `WanTransformer3DModel`.
        vae: `AutoencoderKLWan`; decides the geometry of the latents.
        text_encoder: `UMT5EncoderModel`.
        tokenizer: Tokenizer of the text encoder.
        scheduler: Scheduler that predicts a flow.
        transformer_2: Expert for low noise, for the models that have two.
        image_encoder: `CLIPVisionModel`, for transformers that read image tokens.
        image_processor: `CLIPImageProcessor` of the image encoder.
        expand_timesteps: Whether the clean latent of the first frame takes its place among the noisy ones,
            with a timestep of its own, 0, for its tokens.
        boundary_ratio: Noise level from which on the transformer is in charge, and below which
            `transformer_2`.
        camera_adapter: Makes the model follow the cameras.
        negative_prompt: Text of the pass without the condition.
        max_prompt_tokens: Tokens that prompts are padded or cut to.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        *,
        transformer_2: Any = None,
        image_encoder: Any = None,
        image_processor: Any = None,
        expand_timesteps: bool = False,
        boundary_ratio: float | None = None,
        camera_adapter: CameraAdapter | None = None,
        negative_prompt: str = "",
        max_prompt_tokens: int = 512,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.transformer_2 = transformer_2
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.scheduler = scheduler
        self.image_encoder = image_encoder
        self.image_processor = image_processor
        self.expand_timesteps = expand_timesteps
        self.boundary_ratio = boundary_ratio
        self.max_prompt_tokens = max_prompt_tokens
        patch = tuple(transformer.config.patch_size)
        if patch[0] != 1 or patch[1] != patch[2]:
            raise ValueError(f"transformer must have patches of 1 x p x p, got {patch}.")
        self.spec = LatentSpec(
            channels=vae.config.z_dim,
            temporal_stride=vae.config.scale_factor_temporal,
            spatial_stride=vae.config.scale_factor_spatial,
            patch=patch[1],
        )
        check_channels(transformer.config.in_channels, self.spec.channels + self.num_image_channels)
        if (transformer.config.image_dim is None) != (image_encoder is None):
            raise ValueError(
                "image_encoder must be given where the transformer reads image tokens, and only there; got "
                f"image_dim={transformer.config.image_dim} and {type(image_encoder).__name__}."
            )
        if image_encoder is not None and max_prompt_tokens != 512:
            raise ValueError(
                "max_prompt_tokens must be 512 beside image tokens, where the transformer splits the two, "
                f"got {max_prompt_tokens}."
            )
        if (boundary_ratio is None) != (transformer_2 is None):
            raise ValueError("transformer_2 and boundary_ratio must be given together or not at all.")
        self.attach(camera_adapter, negative_prompt)

    @property
    @abstractmethod
    def num_image_channels(self) -> int:
        """Channels of `image_channels`; 0 for none."""

    @abstractmethod
    def image_channels(
        self, image: Float[Tensor, "batch rgb=3 height width"], num_frames: int
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"] | None:
        """What the transformer reads beside the noisy latents.

        Args:
            image: First frame, in [0, 1].
            num_frames: Frames of the clip.

        Returns:
            Channels on the latent grid, float32; None where there are none.
        """

    @property
    def default_guidance(self) -> Guidance:
        """Guidance of the published pipeline: a constant scale of 5."""
        return ConstantGuidance(5.0)

    def embed_prompts(self, texts: Sequence[str]) -> Float[Tensor, "batch token text"]:
        """Features of prompts, zero beyond the end of each.

        Args:
            texts: Prompts; "" is no prompt.

        Returns:
            Features, in the type that the transformer computes in.
        """
        tokens = self.tokenizer(
            [_clean(text) for text in texts],
            padding="max_length",
            max_length=self.max_prompt_tokens,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        device = find_device(self.text_encoder)
        mask = tokens.attention_mask.to(device)
        features = self.text_encoder(tokens.input_ids.to(device), mask).last_hidden_state
        features = torch.where(mask[..., None] > 0, features, 0)
        return features.to(device=self._device, dtype=self.transformer.dtype)

    def condition(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        generator: torch.Generator | None = None,
    ) -> WanCondition:
        """Everything that the network is told about a clip; gradients reach the camera adapter alone.

        Args:
            image: First frame, in [0, 1]; any device.
            cameras: One per pixel frame, batch axis as in `image`; any device.
            prompt: One text per image; none when omitted.
            generator: Not used: the latent of the image is the mode of its distribution.

        Returns:
            The condition, for `predict`.

        Raises:
            TypeError: If `image` holds no floating-point numbers, or `prompt` is one text.
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """
        follows = self.camera_adapter is not None
        prompts = check_inputs(self.spec, image, cameras, prompt, follows_cameras=follows)
        image = image.float()
        with torch.no_grad():
            channels = self.image_channels(image, cameras.num_frames)
            first = self._encode(2 * image[:, None] - 1) if self.expand_timesteps else None
            tokens = None if self.image_encoder is None else self._image_tokens(image)
        return WanCondition(
            shape=(len(image), *self.spec.latent_shape(cameras.num_frames, *image.shape[-2:])),
            **self.told(prompts, cameras),
            channels=None if channels is None else channels.to(self._device),
            first=None if first is None else first.to(self._device),
            image_tokens=tokens,
        )

    def predict(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        timestep: Num[Tensor, " batch"],
        condition: WanCondition,
        conditional: bool = True,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Flow from data to noise, by one pass of the transformer that is in charge at this noise level.

        Args:
            latents: Noisy latents; where the first is known, what stands there is replaced.
            timestep: Noise level times 1000.
            condition: As `condition` gives it.
            conditional: Whether to use the prompt.

        Returns:
            Noise minus data, float32.

        Raises:
            ValueError: If timesteps of one batch belong to different experts.
        """
        model = self._expert(timestep)
        inputs = self.hold(latents, condition)
        if condition.channels is not None:
            inputs = torch.cat((inputs, condition.channels), dim=2)
        if condition.first is not None:
            timestep = self._token_timesteps(timestep, latents.shape)
        with (
            cache_context(model, conditional),
            added_camera(model.patch_embedding, condition.added(conditional)),
        ):
            flow = model(
                hidden_states=rearrange(inputs, "b n c h w -> b c n h w").to(model.dtype).contiguous(),
                timestep=timestep,
                encoder_hidden_states=condition.texts(conditional),
                encoder_hidden_states_image=condition.image_tokens,
                return_dict=False,
            )[0]
        return rearrange(flow.float(), "b c n h w -> b n c h w")

    def draw_noise(
        self, condition: VideoCondition, generator: torch.Generator | None
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Standard normal noise, drawn channel by channel as the published pipeline does.

        Args:
            condition: As `condition` gives it.
            generator: Source of randomness.

        Returns:
            Noise of the shape `condition.shape`, float32.
        """
        batch, frames, channels, height, width = condition.shape
        noise = draw_normal((batch, channels, frames, height, width), generator, self._device)
        return rearrange(noise, "b c n h w -> b n c h w")

    def hold(self, latents: Tensor, condition: WanCondition) -> Tensor:
        """Latents whose first is the clean one of the image, where the model knows it.

        Args:
            latents: Of the shape `condition.shape`.
            condition: As `condition` gives it.

        Returns:
            Latents of the same shape.
        """
        if condition.first is None:
            return latents
        return torch.cat((condition.first.to(latents), latents[:, 1:]), dim=1)

    @classmethod
    def _arguments(cls, repository: DiffusersRepository) -> dict[str, Any]:
        index = repository.index
        return {
            "expand_timesteps": bool(index.get("expand_timesteps", False)),
            "boundary_ratio": index.get("boundary_ratio"),
        }

    def _settings(self) -> dict[str, Any]:
        return {"expand_timesteps": self.expand_timesteps, "boundary_ratio": self.boundary_ratio}

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "max_prompt_tokens": self.max_prompt_tokens}

    @property
    def _device(self) -> torch.device:
        return find_device(self.transformer)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of channels, ready for `batch channel frame height width`."""
        config, device = self.vae.config, find_device(self.vae)
        mean, deviation = (
            torch.tensor(values, device=device)[None, :, None, None, None]
            for values in (config.latents_mean, config.latents_std)
        )
        return mean, deviation

    def _decode(self, latents: Tensor) -> Tensor:
        mean, deviation = self._statistics()
        latents = (latents.to(mean) * deviation + mean).to(self.vae.dtype)
        return self.vae.decode(latents, return_dict=False)[0]

    def _encode(self, video: Tensor) -> Tensor:
        """Normalised latents of `batch frame rgb height width` in [-1, 1], by multiplication as published."""
        mean, deviation = self._statistics()
        frames = rearrange(video.to(mean), "b f c h w -> b c f h w").to(self.vae.dtype).contiguous()
        latents = self.vae.encode(frames).latent_dist.mode().float()
        return rearrange((latents - mean) * (1 / deviation), "b c n h w -> b n c h w")

    def _image_tokens(self, image: Tensor) -> Tensor:
        """CLIP features of the image, which its processor resizes as an image of 8 bits."""
        device = find_device(self.image_encoder)
        pictures = list((255 * image).round().clamp(0, 255).byte().cpu())
        pixels = self.image_processor(images=pictures, return_tensors="pt").pixel_values
        pixels = pixels.to(device=device, dtype=self.image_encoder.dtype)
        states = self.image_encoder(pixel_values=pixels, output_hidden_states=True).hidden_states
        return states[-2].to(device=self._device, dtype=self.transformer.dtype)

    def _expert(self, timestep: Tensor) -> Any:
        if self.boundary_ratio is None:
            return self.transformer
        noisy = timestep >= self.boundary_ratio * self.scheduler.config.num_train_timesteps
        if bool(noisy.all()):
            return self.transformer
        if bool(noisy.any()):
            raise ValueError("timestep must lie on one side of boundary_ratio for a whole batch.")
        return self.transformer_2

    def _token_timesteps(self, timestep: Tensor, shape: Sequence[int]) -> Tensor:
        """`batch token`: 0 for the tokens of the first latent frame, `timestep` for the others."""
        _, frames, _, height, width = shape
        patch = self.spec.patch
        noisy = torch.ones(frames, height // patch, width // patch, device=timestep.device)
        noisy[0] = 0
        return noisy.flatten() * timestep[:, None]


def _clean(text: str) -> str:
    """A prompt as Wan was trained to read it: repaired, unescaped, with single spaces."""
    try:
        import ftfy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "prompts of Wan need ftfy: pip install 'diff4splat[diffusers]'", name=error.name
        ) from None
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()
