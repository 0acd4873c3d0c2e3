"""Wan 2.1 and 2.2 of diffusers: image, prompt and perhaps a camera adapter to video latents."""

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.backbones.diffusers_parts import DiffusersPart, DiffusersRepository, check_channels
from diff4splat.backbones.wan_model import WanCondition, WanVideoModel

__all__ = ["WanBackbone", "WanCondition", "WanVideoModel"]


class WanBackbone(WanVideoModel):
    """Wan image to video: 2.1 I2V (14B), 2.2 I2V (A14B, two experts) and 2.2 TI2V (5B).

    The models have no camera input. Without `camera_adapter` the cameras decide the number of frames alone,
    see `generate`.
    """

    pipelines = ("WanImageToVideoPipeline", "WanPipeline")
    parts = (
        DiffusersPart("tokenizer", "transformers.AutoTokenizer"),
        DiffusersPart("text_encoder", "transformers.UMT5EncoderModel"),
        DiffusersPart("scheduler", "diffusers.Scheduler"),
        DiffusersPart("vae", "diffusers.AutoencoderKLWan", keep_float32=True),
        DiffusersPart("transformer", "diffusers.WanTransformer3DModel"),
        DiffusersPart("transformer_2", "diffusers.WanTransformer3DModel", optional=True),
        DiffusersPart("image_encoder", "transformers.CLIPVisionModel", optional=True, keep_float32=True),
        DiffusersPart("image_processor", "transformers.CLIPImageProcessor", optional=True),
    )

    @property
    def kind(self) -> str:
        """Name that it is registered under."""
        return "wan2.2-ti2v-5b" if self.expand_timesteps else "wan2.1"

    @property
    def num_image_channels(self) -> int:
        """Channels of `image_channels`: a mask per frame of a latent, and the latent; 0 with a held frame."""
        return 0 if self.expand_timesteps else self.spec.temporal_stride + self.spec.channels

    def image_channels(
        self, image: Float[Tensor, "batch rgb=3 height width"], num_frames: int
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"] | None:
        """Mask of what is known, and latents of a clip that is grey after its first frame.

        Args:
            image: First frame, in [0, 1].
            num_frames: Frames of the clip.

        Returns:
            Channels on the latent grid, float32; None where the first latent is held in place instead.
        """
        if self.expand_timesteps:
            return None
        grey = image.new_zeros(len(image), num_frames - 1, *image.shape[1:])
        latents = self._encode(torch.cat((2 * image[:, None] - 1, grey), dim=1))
        known = latents.new_zeros(*latents.shape[:2], self.spec.temporal_stride, *latents.shape[3:])
        known[:, 0] = 1
        return torch.cat((known, latents), dim=2)

    @classmethod
    def check_repository(cls, repository: DiffusersRepository) -> None:
        """Refuse a repository without an image-to-video model, before weights are fetched.

        Args:
            repository: Of which the configurations are there.

        Raises:
            ValueError: If the transformer takes other channels.
        """
        vae = repository.config("vae")
        latents, stride = vae.get("z_dim", 16), vae.get("scale_factor_temporal", 4)
        expected = latents if repository.index.get("expand_timesteps") else 2 * latents + stride
        check_channels(repository.config("transformer").get("in_channels", 16), expected)
