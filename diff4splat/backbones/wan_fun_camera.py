"""Wan-Fun Control-Camera: public video models that follow a camera path.

Wan2.1-Fun-V1.1-1.3B-Control-Camera and -14B-Control-Camera read 32 channels, the noisy latents and the
image's, and CLIP features of the image. Wan2.2-Fun-5B-Control-Camera reads 100, with a mask of what is known
between them, and holds the first latent frame. Their repositories hold the transformer as safetensors and the
other parts as pickles, so those come from a repository for diffusers.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diff4splat.backbones.backbone import PretrainedReference
from diff4splat.backbones.camera_adapter import CameraAdapter, load_camera_adapter
from diff4splat.backbones.diffusers_parts import (
    INDEX_NAME,
    DiffusersPart,
    DiffusersRepository,
    floating_type,
    import_library,
    open_repository,
)
from diff4splat.backbones.offloading import find_device
from diff4splat.backbones.wan_fun_checkpoint import load_wan_fun, tensor_shapes, wan_fun_config
from diff4splat.backbones.wan_model import WanVideoModel
from diff4splat.diffusion import ConstantGuidance, Guidance
from diff4splat.files import pickles_in
from diff4splat.hub import cached_commit, read_config, resolve_pretrained

__all__ = ["WanFunCameraBackbone"]

_WEIGHTS = "diffusion_pytorch_model"
_PARTS_OF_2_1 = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
_PARTS_OF_2_2 = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class WanFunCameraBackbone(WanVideoModel):
    """Wan-Fun with camera control: image, camera path and prompt to video latents.

    The camera path is used in the units of its file, relative to the first camera: Wan-Fun's training did not
    normalise translations. `translation_scale` of the adapter converts from other units.

    Args:
        transformer: `WanTransformer3DModel` that reads twice the latents' channels, or those and 4 more.
        vae: `AutoencoderKLWan`; decides the geometry of the latents.
        text_encoder: `UMT5EncoderModel`.
        tokenizer: Tokenizer of the text encoder.
        scheduler: Scheduler that predicts a flow; the published one is an Euler scheduler of shift 5.
        camera_adapter: `FunControlAdapter` of the checkpoint.
        image_encoder: `CLIPVisionModel`, for transformers that read image tokens.
        negative_prompt: Text of the pass without the condition.
        max_prompt_tokens: Tokens that prompts are padded or cut to.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    pipelines = ("WanFunCameraBackbone",)
    parts = (
        DiffusersPart("tokenizer", "transformers.AutoTokenizer"),
        DiffusersPart("text_encoder", "transformers.UMT5EncoderModel"),
        DiffusersPart("scheduler", "diffusers.FlowMatchEulerDiscreteScheduler"),
        DiffusersPart("vae", "diffusers.AutoencoderKLWan", keep_float32=True),
        DiffusersPart("transformer", "diffusers.WanTransformer3DModel"),
        DiffusersPart("image_encoder", "transformers.CLIPVisionModel", optional=True, keep_float32=True),
    )

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        *,
        camera_adapter: CameraAdapter,
        image_encoder: Any = None,
        negative_prompt: str = "",
        max_prompt_tokens: int = 512,
    ) -> None:
        super().__init__(
            transformer,
            vae,
            text_encoder,
            tokenizer,
            scheduler,
            image_encoder=image_encoder,
            expand_timesteps=transformer.config.in_channels != 2 * vae.config.z_dim,
            camera_adapter=camera_adapter,
            negative_prompt=negative_prompt,
            max_prompt_tokens=max_prompt_tokens,
        )

    @property
    def kind(self) -> str:
        """Name that it is registered under."""
        return "wan-fun-camera"

    @property
    def num_image_channels(self) -> int:
        """Channels of `image_channels`: as many as a latent has, and 4 of mask for the larger form."""
        return self.spec.channels + 4 * self.expand_timesteps

    @property
    def default_guidance(self) -> Guidance:
        """Guidance of the published pipeline: a constant scale of 6."""
        return ConstantGuidance(6.0)

    def image_channels(
        self, image: Float[Tensor, "batch rgb=3 height width"], num_frames: int
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """What the transformer reads beside the noisy latents.

        With 32 channels in all it is the latent of the image and zeros for the other frames; with 100 a mask,
        1 for the known frame, and the latents of a clip of the image and grey frames.

        Args:
            image: First frame, in [0, 1].
            num_frames: Frames of the clip.

        Returns:
            Channels on the latent grid, float32.
        """
        later = self.spec.num_latents(num_frames) - 1
        if not self.expand_timesteps:
            return F.pad(self._encode(2 * image[:, None] - 1), (0, 0) * 3 + (0, later))
        clip = F.pad(2 * image[:, None] - 1, (0, 0) * 3 + (0, num_frames - 1))
        latents = self._encode(clip)
        mask = torch.zeros_like(latents[:, :, :1]).repeat(1, 1, 4, 1, 1)
        mask[:, 0] = 1
        return torch.cat((mask, latents), dim=2)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        dtype: torch.dtype | str = torch.bfloat16,
        camera_adapter: CameraAdapter | str | os.PathLike[str] | None = None,
        negative_prompt: str | None = None,
        parts_from: str | os.PathLike[str] | None = None,
        parts_revision: str | None = None,
        translation_scale: float = 1.0,
    ) -> "WanFunCameraBackbone":
        """Load a published Wan-Fun Control-Camera model, or what `save_pretrained` wrote.

        Args:
            name_or_path: Local folder or Hub id, such as "alibaba-pai/Wan2.2-Fun-5B-Control-Camera".
            revision: Branch, tag or commit on the Hub; a commit pins the files.
            local_files_only: Use what the Hub cache holds, without network.
            dtype: Floating-point type of the weights, or its name.
            camera_adapter: Adapter, or its folder, in place of the checkpoint's own.
            negative_prompt: Text of the pass without the condition; what was saved, else none, when omitted.
            parts_from: Folder or Hub id of the repository for diffusers that the autoencoder and the encoders
                of text and image come from; the one of Wan that fits when omitted.
            parts_revision: Its branch, tag or commit.
            translation_scale: Factor on camera positions, from scene units to those of Wan-Fun's training.

        Returns:
            The backbone on the CPU, in evaluation mode.

        Raises:
            FileNotFoundError: If a file cannot be found or fetched; says what to do.
            ModuleNotFoundError: If a package is missing; says how to install it.
            ValueError: If a file is damaged, a pickle or of another model.
        """
        folder = resolve_pretrained(
            name_or_path,
            revision=revision,
            local_files_only=local_files_only,
            files=[INDEX_NAME, "config.json", f"{_WEIGHTS}*.safetensors"],
        )
        if (folder / INDEX_NAME).is_file():  # save_pretrained wrote it
            if parts_from is not None or parts_revision is not None or translation_scale != 1:
                raise ValueError(
                    "parts_from, parts_revision and translation_scale must not be given for what was saved "
                    f"whole, as {folder} was: it holds them."
                )
            return super().from_pretrained(
                name_or_path,
                revision=revision,
                local_files_only=local_files_only,
                dtype=dtype,
                camera_adapter=camera_adapter,
                negative_prompt=negative_prompt,
            )
        kind = floating_type(dtype)
        files, heads = _weight_files(folder), _num_heads(folder)
        config = wan_fun_config(tensor_shapes(files), num_heads=heads)
        reads_image = config["image_dim"] is not None
        fitting = _PARTS_OF_2_1 if reads_image else _PARTS_OF_2_2
        parts_from = fitting if parts_from is None else parts_from
        _refuse_pickles(parts_from, fitting)
        others = [part for part in cls.parts if part.name not in ("transformer", "scheduler")]
        parts = [replace(part, optional=False) for part in others if reads_image or not part.optional]
        repository = open_repository(
            parts_from,
            parts,
            pipelines=("WanImageToVideoPipeline", "WanPipeline"),
            revision=parts_revision,
            local_files_only=local_files_only,
        )
        channels = read_config(repository.folder / "vae").get("z_dim", 16)
        if channels != config["out_channels"]:
            raise ValueError(
                f"parts_from must have an autoencoder of {config['out_channels']} channels, as {fitting} "
                f"has, got one of {channels} in {parts_from}."
            )
        transformer, adapter = load_wan_fun(
            files, dtype=kind, num_heads=heads, translation_scale=translation_scale, base=str(name_or_path)
        )
        if isinstance(camera_adapter, (str, os.PathLike)):
            camera_adapter = load_camera_adapter(camera_adapter, local_files_only=local_files_only)
        backbone = cls(
            transformer,
            scheduler=import_library("diffusers").FlowMatchEulerDiscreteScheduler(shift=5.0),
            camera_adapter=adapter if camera_adapter is None else camera_adapter,
            negative_prompt=negative_prompt or "",
            **{part.name: repository.load(part, kind) for part in parts},
        )
        backbone.reference = PretrainedReference(
            backbone.kind,
            os.fspath(name_or_path),
            cached_commit(folder) or revision,
            {
                "parts_from": os.fspath(parts_from),
                **({} if repository.commit is None else {"parts_revision": repository.commit}),
                **({} if negative_prompt is None else {"negative_prompt": negative_prompt}),
                **({} if translation_scale == 1 else {"translation_scale": translation_scale}),
            },
        )
        return backbone.eval()

    @classmethod
    def _arguments(cls, repository: DiffusersRepository) -> dict[str, Any]:
        return {}

    def _settings(self) -> dict[str, Any]:
        return {}

    def _image_tokens(self, image: Tensor) -> Tensor:
        """CLIP features of the whole image, squeezed into a square as the published pipeline does."""
        size = self.image_encoder.config.image_size
        pixels = F.interpolate(image.float(), (size, size), mode="bicubic", align_corners=False)
        mean, deviation = (pixels.new_tensor(values)[:, None, None] for values in (_CLIP_MEAN, _CLIP_STD))
        pixels = ((pixels - mean) / deviation).to(
            device=find_device(self.image_encoder), dtype=self.image_encoder.dtype
        )
        states = self.image_encoder(pixel_values=pixels, output_hidden_states=True).hidden_states
        return states[-2].to(device=self._device, dtype=self.transformer.dtype)


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Wan-Fun repository."""
    files = sorted(folder.glob(f"{_WEIGHTS}*.safetensors"))
    if files:
        return files
    pickles = pickles_in(folder)
    if pickles:
        raise ValueError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code, and no {_WEIGHTS}.safetensors: take "
            "the transformer from a repository of alibaba-pai whose name ends in Control-Camera."
        )
    raise FileNotFoundError(
        f"{folder} holds no {_WEIGHTS}.safetensors: give the folder or Hub id of a Wan-Fun Control-Camera "
        "model, such as alibaba-pai/Wan2.1-Fun-V1.1-1.3B-Control-Camera."
    )


def _num_heads(folder: Path) -> int | None:
    """Attention heads by the config.json of a Wan-Fun repository; None where it does not say."""
    if not (folder / "config.json").is_file():
        return None
    heads = read_config(folder).get("num_heads")
    return heads if isinstance(heads, int) else None


def _refuse_pickles(parts_from: str | os.PathLike[str], fitting: str) -> None:
    """Say where the other parts are to be had, to those who point at a Wan-Fun or original Wan folder."""
    folder = Path(parts_from)
    pickles = sorted(folder.glob("*.pth")) if not (folder / INDEX_NAME).is_file() else []
    if pickles:
        raise ValueError(
            f"{folder} holds {pickles[0].name}, a pickle, which can run code: leave parts_from out, or give "
            f"{fitting!r} or a folder of it."
        )
