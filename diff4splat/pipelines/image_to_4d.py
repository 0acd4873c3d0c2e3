"""Image, camera path and prompt to a deformable Gaussian field: the pipeline, composed of given parts."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from diff4splat.backbones import VideoBackbone, get_backbone, list_backbones
from diff4splat.cameras import Cameras, trajectory
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.files import atomic_path
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.hub import Pushable, list_bundled, resolve_pretrained, weights_hash
from diff4splat.pipelines.arguments import as_guidance, check_count, clean_prompt
from diff4splat.pipelines.config import CONFIG_NAME, FORMAT_VERSION, guidance_to_config, read_pipeline_config
from diff4splat.pipelines.images import ImageSource, prepare_image
from diff4splat.pipelines.paths import fit_cameras
from diff4splat.pipelines.reconstructor import Reconstructor
from diff4splat.rendering import require_backend

__all__ = ["STAGES", "Diff4SplatPipeline", "ProgressCallback"]

STAGES = ("prepare image", "generate video", "reconstruct scene")
"""What a call does, in order; the first argument of the progress callback."""

ProgressCallback = Callable[[str, int, int], None]
"""Called as `callback(stage, done, total)`: with `done` 0 when a stage begins, then after each step of it."""


@runtime_checkable
class _Saveable(Protocol):
    def save_pretrained(
        self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None
    ) -> None: ...


class Diff4SplatPipeline(Pushable):
    """One image, a camera path and perhaps a prompt to a deformable Gaussian field.

    The image is made upright and RGB and cropped to the shape of the clip; the backbone generates the latents
    of a video along the path; the reconstructor turns them into Gaussians and their motion; faint Gaussians
    are dropped and the rest is limited to a budget. Source: Diff4Splat, Fig. 2 and Sec. 3.

    Args:
        backbone: Camera-conditioned video model.
        ldrm: Turns latents and cameras into a field; takes the latents of `backbone`.
        num_frames: Frames of the generated clip, at least 2; a number that `backbone` takes.
        height: Height of the generated clip, pixels.
        width: Width of the generated clip, pixels.
        num_steps: Sampling steps of the video model.
        guidance: Guidance schedule of the video model; its own default when omitted.
        num_gaussians: Gaussian budget. Most of it goes to the photograph, whose plain areas share Gaussians;
            beyond it, those that show least along the path are dropped. None keeps all, one per pixel of
            the detail copy.
        min_opacity: Gaussians fainter than this are dropped; those of opacity 0 always.
        detail_size: Longest side of the copy of the image that `ldrm` takes fine detail from, pixels.
        provenance: JSON values about the model, copied to the metadata of every field; the names of the two
            classes when omitted.

    Raises:
        ValueError: If a count is not positive, `min_opacity` is not in [0, 1), or the backbone does not take
            the number of frames or the size.

    Examples:
        >>> pipe = Diff4SplatPipeline.from_pretrained("compact")  # doctest: +SKIP
        >>> field = pipe("photo.jpg", "spiral", prompt="the cup moves left")  # doctest: +SKIP
        >>> field.save("scene.safetensors")  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: VideoBackbone,
        ldrm: Reconstructor,
        *,
        num_frames: int = 9,
        height: int = 128,
        width: int = 128,
        num_steps: int = 30,
        guidance: Guidance | None = None,
        num_gaussians: int | None = 50_000,
        min_opacity: float = 0.005,
        detail_size: int = 512,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        check_count("num_steps", num_steps)
        if num_gaussians is not None:
            check_count("num_gaussians", num_gaussians)
        if not 0 <= min_opacity < 1:
            raise ValueError(f"min_opacity must be in [0, 1), got {min_opacity}.")
        check_count("num_frames", num_frames, least=2)
        check_count("height", height)
        check_count("width", width)
        check_count("detail_size", detail_size)
        backbone.spec.check_frames(num_frames)
        backbone.spec.check_size(height, width)
        self.backbone = backbone
        self.ldrm = ldrm
        self.num_frames = num_frames
        self.height = height
        self.width = width
        self.num_steps = num_steps
        self.guidance = guidance
        self.num_gaussians = num_gaussians
        self.min_opacity = min_opacity
        self.detail_size = detail_size
        self.provenance = dict(provenance or {"model": f"{type(backbone).__name__} + {type(ldrm).__name__}"})

    @torch.no_grad()
    def __call__(
        self,
        image: ImageSource,
        cameras: Cameras | str = "spiral",
        prompt: str | None = None,
        *,
        generator: torch.Generator | None = None,
        num_frames: int | None = None,
        num_steps: int | None = None,
        guidance: Guidance | float | int | None = None,
        num_gaussians: int | Literal["all"] | None = None,
        detail_size: int | None = None,
        background: Literal["white", "black"] = "white",
        callback: ProgressCallback | None = None,
    ) -> DeformableGaussianField:
        """Generate a scene. Everything left out is taken from the constructor.

        Args:
            image: Photograph: a path, a PIL image, or a float tensor `[3, height, width]` in [0, 1].
            cameras: Path to follow, or the name of a trajectory. Two or more frames at any size and in any
                world frame: they are resampled to the clip, counted from the first camera, and
                centre-cropped as the image is. Translation is in scene units.
            prompt: What happens in the scene; empty means none.
            generator: Source of all randomness; the same one gives the same scene on the same machine.
            num_frames: Frames of the generated clip.
            num_steps: Sampling steps; fewer are faster and coarser.
            guidance: Guidance schedule, or a constant scale (1 switches guidance off).
            num_gaussians: Gaussian budget, or "all" for none.
            detail_size: Longest side of the copy that fine detail is taken from, pixels.
            background: What shows through where the image is transparent.
            callback: Progress, see `ProgressCallback`.

        Returns:
            One field without batch axes, in the frame of the first camera; `metadata` says where it comes
            from.

        Raises:
            FileNotFoundError: If `image` is a path where nothing is.
            TypeError: If an argument is of the wrong type.
            ValueError: If the image is unreadable or too small, the trajectory unknown, a camera not rigid,
                or a count not one that the model takes.
            RuntimeError: If the weights are on a GPU and gsplat cannot run there; the message says how to
                cure it.

        Examples:
            >>> field = pipe(image, "orbit", generator=torch.Generator().manual_seed(7))  # doctest: +SKIP
        """
        report = callback or (lambda stage, done, total: None)
        prompt = clean_prompt(prompt)
        num_frames = self.num_frames if num_frames is None else num_frames
        num_steps = self.num_steps if num_steps is None else num_steps
        budget = self.num_gaussians if num_gaussians is None else num_gaussians
        budget = None if budget == "all" else budget
        detail_size = self.detail_size if detail_size is None else detail_size
        guidance = self.guidance if guidance is None else as_guidance(guidance)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}.")
        check_count("num_frames", num_frames, least=2)
        check_count("num_steps", num_steps)
        check_count("detail_size", detail_size)
        if budget is not None:
            check_count("num_gaussians", budget)
        self.backbone.spec.check_frames(num_frames)
        path = self._path(cameras, num_frames)
        if budget is not None:  # Gaussians beyond it are found by rendering, at the end
            require_backend(self.device)

        prepare, generate, reconstruct = STAGES
        report(prepare, 0, 1)
        prepared = prepare_image(
            image,
            height=self.height,
            width=self.width,
            detail_size=detail_size,
            background=background,
        )
        first_frame = prepared.image[None].to(self.device, self.dtype)
        detail = prepared.detail[None].to(self.device)
        batched = path.batch(None)
        report(prepare, 1, 1)

        report(generate, 0, num_steps)
        latents = self.backbone.generate(
            first_frame,
            batched,
            None if prompt is None else [prompt],
            num_steps=num_steps,
            guidance=guidance,
            generator=generator,
            callback=_step_reporter(report, generate),
        )

        report(reconstruct, 0, 1)
        field = self.ldrm(latents, batched, image=detail, max_gaussians=budget).batch(0)
        field = field.prune(max(self.min_opacity, torch.finfo(field.dtype).tiny))
        if field.canonical.num_gaussians == 0:
            raise ValueError(f"min_opacity={self.min_opacity} leaves no Gaussian of this scene.")
        if budget is not None:
            views = path.resize(*prepared.detail.shape[-2:])  # coarser ones would blur what the detail is
            field = field.limit(budget, cameras=views.to(device=field.device, dtype=field.dtype))
        report(reconstruct, 1, 1)
        return replace(
            field,
            metadata={
                **field.metadata,
                **self.provenance,
                "prompt": prompt or "",
                "trajectory": cameras if isinstance(cameras, str) else "custom",
                "seed": None if generator is None else generator.initial_seed(),
                "num_frames": num_frames,
                "num_steps": num_steps,
                "guidance": "default of the backbone" if guidance is None else repr(guidance),
                "num_gaussians": field.canonical.num_gaussians,
                "min_opacity": self.min_opacity,
                "image_size": [prepared.source_height, prepared.source_width],
                "detail_size": list(prepared.detail.shape[-2:]),
            },
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
    ) -> "Diff4SplatPipeline":
        """Load a pipeline: a bundled one by name, a folder, or a repository of the Hugging Face Hub.

        Args:
            name_or_path: "compact", a folder with `pipeline_config.json`, or a Hub id such as "user/model".
            revision: Branch, tag or commit, for a Hub id; a commit, as `push_to_hub` returns it, pins the
                files.
            local_files_only: Use what the Hub cache holds, without network.
            device: Where the weights go; the CPU when omitted.

        Returns:
            The pipeline; its parts are in evaluation mode.

        Raises:
            FileNotFoundError: If there is no such model, or a file of it is missing.
            ValueError: If its configuration or its weights are damaged or of another format, or a revision is
                given for what is not on the Hub.
        """
        from diff4splat.models import LDRM

        folder = resolve_pretrained(name_or_path, revision=revision, local_files_only=local_files_only)
        config = read_pipeline_config(folder / CONFIG_NAME)
        kind = config.pop("backbone")
        if kind not in list_backbones():
            raise ValueError(
                f"{folder / CONFIG_NAME}: backbone must be one of {list_backbones()}, got {kind!r}."
            )
        backbone = get_backbone(kind, name_or_path=folder / "backbone")
        ldrm = LDRM.from_pretrained(folder / "ldrm")
        given = os.fspath(name_or_path)
        # The name of a folder is enough: the path to it is the user's own business.
        name = folder.resolve().name if Path(given).is_dir() and given not in list_bundled() else given
        provenance = {"model": name, "weights_sha256": weights_hash(folder)}
        try:
            pipeline = cls(backbone, ldrm, provenance=provenance, **config)
        except ValueError as error:
            raise ValueError(f"{folder / CONFIG_NAME}: {error}") from error
        return pipeline if device is None else pipeline.to(device)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        backbone: str = "compact",
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write the pipeline as a folder that `from_pretrained` reads.

        Args:
            folder: Made if needed; files of the same names are replaced.
            backbone: Name under which the backbone is registered; when the pipeline is loaded, its factory is
                called with `name_or_path`, the folder that the backbone wrote.
            dtype: Storage type of the weights, for instance `torch.float16`; the one they have when omitted.

        Raises:
            TypeError: If a part has no `save_pretrained`, or the guidance is of a kind that
                the configuration has no words for.
        """
        target = Path(folder)
        for name, part in (("backbone", self.backbone), ("ldrm", self.ldrm)):
            if not isinstance(part, _Saveable):
                raise TypeError(f"{name} must have save_pretrained to be saved, got {type(part).__name__}.")
            part.save_pretrained(target / name, dtype=dtype)
        config = {
            "format_version": FORMAT_VERSION,
            "backbone": backbone,
            "num_frames": self.num_frames,
            "height": self.height,
            "width": self.width,
            "num_steps": self.num_steps,
            "guidance": guidance_to_config(self.guidance),
            "num_gaussians": self.num_gaussians,
            "min_opacity": self.min_opacity,
            "detail_size": self.detail_size,
        }
        with atomic_path(target / CONFIG_NAME) as path:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def to(
        self, device: str | torch.device | None = None, *, dtype: torch.dtype | None = None
    ) -> "Diff4SplatPipeline":
        """Move the parts that hold weights to a device, or bring their weights to another floating type.

        Args:
            device: Such as "cuda" or "cpu"; unchanged when omitted.
            dtype: Such as `torch.bfloat16`; unchanged when omitted. Fields are float32 all the same.

        Returns:
            The pipeline itself.

        Raises:
            TypeError: If `device` is a floating type.
        """
        if isinstance(device, torch.dtype):
            raise TypeError(f"device must be a device, got {device}; for a floating type call to(dtype=...).")
        for part in self._modules:
            part.to(device=device, dtype=dtype)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU for parts without any."""
        return next((p.device for part in self._modules for p in part.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights; float32 for parts without any."""
        return next((p.dtype for part in self._modules for p in part.parameters()), torch.float32)

    @property
    def _modules(self) -> list[nn.Module]:
        return [part for part in (self.backbone, self.ldrm) if isinstance(part, nn.Module)]

    def _path(self, cameras: Cameras | str, num_frames: int) -> Cameras:
        path: Cameras = (
            trajectory.by_name(cameras, num_frames, height=self.height, width=self.width)
            if isinstance(cameras, str)
            else cameras
        )
        fitted = fit_cameras(path, height=self.height, width=self.width, num_frames=num_frames)
        # Half precision is for weights: it is too coarse for places.
        return fitted.to(device=self.device, dtype=torch.promote_types(self.dtype, torch.float32))


def _step_reporter(report: ProgressCallback, stage: str) -> Callable[[SampleStep], None]:
    def after_step(state: SampleStep) -> None:
        report(stage, state.step + 1, state.num_steps)

    return after_step
