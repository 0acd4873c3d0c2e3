"""What the video models of diffusers have in common here: parts, conditions, sampling, loading and saving."""

import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor

from diff4splat.backbones.backbone import LatentSpec, PretrainedReference
from diff4splat.backbones.camera_adapter import CameraAdapter, load_camera_adapter
from diff4splat.backbones.denoising import denoise
from diff4splat.backbones.diffusers_parts import (
    ADAPTER_NAME,
    DiffusersPart,
    DiffusersRepository,
    floating_type,
    open_repository,
    save_parts,
)
from diff4splat.backbones.offloading import find_device
from diff4splat.backbones.speed import SpeedOptions
from diff4splat.backbones.switchable import Switchable
from diff4splat.backbones.video_condition import VideoCondition, input_gradients
from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.hub import Pushable

__all__ = ["DiffusersBackbone"]


class DiffusersBackbone(Pushable, Switchable):
    """Base of the video models whose parts are modules of diffusers; a subclass fills in the model.

    Its constructor sets the parts as attributes, under their names in a repository of diffusers, and `spec`,
    and ends with a call of `attach`.
    """

    parts: ClassVar[tuple[DiffusersPart, ...]]
    pipelines: ClassVar[tuple[str, ...]]
    """Pipelines of diffusers whose repositories it reads; saved folders are of the first."""

    spec: LatentSpec
    transformer: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    def __init__(self) -> None:
        super().__init__()
        self.camera_adapter: CameraAdapter | None = None
        self.negative_prompt = ""
        self.reference: PretrainedReference | None = None

    def attach(self, camera_adapter: CameraAdapter | None, negative_prompt: str | None = None) -> None:
        """Set what models of any kind have, after their parts.

        Args:
            camera_adapter: Makes the model follow the cameras; None for none.
            negative_prompt: Text of the pass without the condition; unchanged when omitted.

        Raises:
            ValueError: If the adapter was made for another model.
        """
        if camera_adapter is not None:
            camera_adapter.check_base(self.spec, self.embed_dim, temporal_patch=self.temporal_patch)
        self.camera_adapter = camera_adapter
        if negative_prompt is not None:
            self.negative_prompt = negative_prompt

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name that it is registered under."""

    @property
    def embed_dim(self) -> int:
        """Width of the transformer's tokens, for a camera adapter."""
        config = self.transformer.config
        return config.num_attention_heads * config.attention_head_dim

    @property
    def temporal_patch(self) -> int:
        """Latent frames per token of the transformer, for a camera adapter."""
        return 1

    @property
    @abstractmethod
    def default_guidance(self) -> Guidance:
        """Guidance of the published pipeline."""

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Normalised latents of a clip: the mode of the encoder's distribution.

        Gradients reach the video where it asks for them; none are kept for the weights alone.

        Args:
            video: In [0, 1]; any device.

        Returns:
            Latents, float32.

        Raises:
            ValueError: If the number of frames or the size does not fit `spec`.
        """
        self.spec.check_frames(video.shape[1])
        self.spec.check_size(*video.shape[-2:])
        with input_gradients(video):
            return self._encode(2 * video.float() - 1)

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """The clip of normalised latents.

        Gradients reach the latents where they ask for them; none are kept for the weights alone.

        Args:
            latents: As `encode` and `generate` give them.

        Returns:
            Video in [0, 1], float32.

        Raises:
            ValueError: If no clip has that many latents.
        """
        self.spec.num_frames(latents.shape[1])
        with input_gradients(latents):
            video = self._decode(rearrange(latents, "b n c h w -> b c n h w"))
            return (rearrange(video.float(), "b c f h w -> b f c h w") / 2 + 0.5).clamp(0, 1)

    @abstractmethod
    def _encode(self, video: Tensor) -> Tensor:
        """Normalised latents of a video in [-1, 1], both frame by frame, float32."""

    @abstractmethod
    def _decode(self, latents: Tensor) -> Tensor:
        """Video in [-1, 1] of normalised latents, both channel by channel as the autoencoder has them."""

    @abstractmethod
    def embed_prompts(self, texts: Sequence[str]) -> Float[Tensor, "batch token text"]:
        """Features of prompts.

        Args:
            texts: Prompts; "" is no prompt.

        Returns:
            Features, in the type that the transformer computes in.
        """

    @abstractmethod
    def condition(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        generator: torch.Generator | None = None,
    ) -> VideoCondition:
        """Everything that the network is told about a clip; gradients reach the camera adapter alone.

        Args:
            image: First frame, in [0, 1]; any device.
            cameras: One per pixel frame, batch axis as in `image`; any device.
            prompt: One text per image; none when omitted.
            generator: For models that draw the latent of the image.

        Returns:
            The condition, for `predict`.

        Raises:
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """

    @abstractmethod
    def predict(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        timestep: Num[Tensor, " batch"],
        condition: Any,
        conditional: bool = True,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """One pass of the network.

        Args:
            latents: Noisy latents, of the shape `condition.shape`.
            timestep: Noise level, as the scheduler counts it.
            condition: As `condition` gives it.
            conditional: Whether to use the prompt.

        Returns:
            Prediction of the kind that the scheduler wants, float32.
        """

    @abstractmethod
    def draw_noise(
        self, condition: Any, generator: torch.Generator | None
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Standard normal noise to start from, drawn in the order of the published pipeline.

        Args:
            condition: As `condition` gives it.
            generator: Source of randomness.

        Returns:
            Noise of the shape `condition.shape`, float32.
        """

    def hold(self, latents: Tensor, condition: Any) -> Tensor:
        """Noisy latents with what is known put in place; the latents themselves where nothing is known.

        Args:
            latents: Of the shape `condition.shape`.
            condition: As `condition` gives it.

        Returns:
            Latents of the same shape.
        """
        return latents

    def visible(self, latents: Tensor, condition: Any) -> Tensor:
        """Latents of the clip among those that are sampled, a view; all of them where the model pads none.

        Args:
            latents: Of the shape `condition.shape`.
            condition: As `condition` gives it.

        Returns:
            Latents, as many as `spec` says.
        """
        return latents

    @torch.no_grad()
    def generate(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        *,
        num_steps: int = 50,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a clip that starts at `image`.

        Without a camera adapter the cameras decide the number of frames and NOTHING ELSE: the video moves as
        the model likes, and whatever is rendered along the path will not agree with it. A warning says so.

        Args:
            image: First frame, in [0, 1]; any device.
            cameras: One per pixel frame, batch axis as in `image`; used relative to the first.
            prompt: One text per image; none when omitted.
            num_steps: Sampler steps.
            guidance: Guidance schedule; the constant scale of the published pipeline when omitted. Where the
                two passes would agree, as without a prompt, nothing is guided.
            generator: Source of randomness; the same seed gives the same latents.
            callback: Called after each step, see `denoise`.

        Returns:
            Normalised latents, float32.

        Raises:
            ValueError: If sizes, the number of cameras or the number of prompts do not fit.
        """
        if self.camera_adapter is None:
            warnings.warn(
                f"{type(self).__name__} has no camera adapter: the cameras set the number of frames alone, "
                "and the video will not follow the path. Give camera_adapter, or take a model that is "
                "controlled by cameras.",
                stacklevel=2,
            )
        condition = self.condition(image, cameras, prompt, generator)
        if guidance is None:
            guidance = self.default_guidance
        with self.generation(num_steps):
            latents = denoise(
                lambda latents, timestep, conditional: self.predict(
                    latents, timestep, condition, conditional
                ),
                self.draw_noise(condition, generator),
                self.scheduler,
                num_steps=num_steps,
                guidance=guidance if condition.guided else None,
                generator=generator,
                hold=lambda latents: self.hold(latents, condition),
                visible=lambda latents: self.visible(latents, condition),
                callback=callback,
            )
        return self.visible(latents, condition)

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
        """Write all parts as a repository that `from_pretrained` and diffusers read.

        Args:
            folder: Made if needed.
            dtype: Storage type of the weights; the one they have when omitted.

        Raises:
            ValueError: If the weights were rounded to 8 bits, or their type is to change while they are
                offloaded.
        """
        used = SpeedOptions() if self._speed is None else self._speed.options
        if used.storage is not None:
            raise ValueError(
                f"storage={used.storage!r} has rounded the weights: load the model again to save it."
            )
        if dtype is not None and used.offload is not None:
            raise ValueError(
                f"dtype needs offload={used.offload!r} turned off: call use(SpeedOptions()) first."
            )
        save_parts(
            folder,
            {part.name: getattr(self, part.name) for part in self.parts},
            pipeline=self.pipelines[0],
            settings=self._settings(),
            options=self._options(),
            adapter=self.camera_adapter,
            dtype=dtype,
        )

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
    ) -> Any:
        """Load the parts of a repository of diffusers: published ones, or what `save_pretrained` wrote.

        Args:
            name_or_path: Local folder or Hub id.
            revision: Branch, tag or commit on the Hub; a commit pins the files.
            local_files_only: Use what the Hub cache holds, without network.
            dtype: Floating-point type of the weights, or its name.
            camera_adapter: Adapter, or the folder or Hub id of one; the one that was saved with the model
                when omitted.
            negative_prompt: Text of the pass without the condition; what was saved, else none, when omitted.

        Returns:
            The backbone on the CPU, in evaluation mode.

        Raises:
            FileNotFoundError: If a file cannot be found or fetched; says what to do.
            ModuleNotFoundError: If a package is missing; says how to install it.
            ValueError: If a file is damaged, a part is of another model, or there are pickle files only.
        """
        kind = floating_type(dtype)
        repository = open_repository(
            name_or_path,
            cls.parts,
            pipelines=cls.pipelines,
            revision=revision,
            local_files_only=local_files_only,
            check=cls.check_repository,
        )
        if camera_adapter is None and (repository.folder / ADAPTER_NAME).is_dir():
            camera_adapter = repository.folder / ADAPTER_NAME
        if isinstance(camera_adapter, (str, os.PathLike)):
            camera_adapter = load_camera_adapter(camera_adapter, local_files_only=local_files_only)
        parts = {part.name: repository.load(part, kind) for part in cls.parts}
        options = {} if negative_prompt is None else {"negative_prompt": negative_prompt}
        settings = {**cls._arguments(repository), **repository.options, **options}
        build: Any = cls
        try:
            backbone = build(**parts, **settings, camera_adapter=camera_adapter)
        except TypeError as error:
            raise ValueError(
                f"the settings in {repository.folder / 'model_index.json'} do not build {cls.__name__}: "
                f"{error}."
            ) from error
        backbone.reference = PretrainedReference(
            backbone.kind, os.fspath(name_or_path), repository.commit or revision, options
        )
        return backbone.eval()

    @classmethod
    def check_repository(cls, repository: DiffusersRepository) -> None:
        """Refuse a repository by its configurations, before weights are fetched.

        Args:
            repository: Of which the configurations are there.

        Raises:
            ValueError: If it holds no model of this kind.
        """

    @classmethod
    def _arguments(cls, repository: DiffusersRepository) -> dict[str, Any]:
        """Constructor arguments that are settings of the pipeline."""
        return {}

    def _settings(self) -> dict[str, Any]:
        """What `_arguments` reads, for model_index.json."""
        return {}

    def _options(self) -> dict[str, Any]:
        """Constructor arguments that diffusers does not know."""
        return {"negative_prompt": self.negative_prompt}

    def told(self, prompts: list[str], cameras: Cameras) -> dict[str, Any]:
        """The fields of `VideoCondition` that text and cameras decide.

        Args:
            prompts: One per image.
            cameras: One per pixel frame.

        Returns:
            All fields but `shape`, by name.
        """
        negative = [self.negative_prompt] * len(prompts)
        guided = prompts != negative
        with torch.no_grad():
            texts = self.embed_prompts(prompts)
            unprompted = self.embed_prompts(negative) if guided else texts
        camera = resting = None
        if self.camera_adapter is not None:
            cameras = cameras.to(device=find_device(self.camera_adapter), dtype=torch.float32)
            camera = resting = self.camera_adapter(cameras)
            if self.camera_adapter.unconditional != "cameras":
                resting = self.camera_adapter(cameras, conditional=False)
                guided = True
        return {
            "prompts": texts,
            "unprompted": unprompted,
            "camera": camera,
            "resting": resting,
            "guided": guided,
        }
