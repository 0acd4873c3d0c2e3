"""Image, camera path and prompt to a deformable Gaussian field: the pipeline, composed of given parts."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from diff4splat.backbones import VideoBackbone
from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.files import atomic_path
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.hub import Pushable, resolve_pretrained
from diff4splat.pipelines.arguments import as_guidance, check_count, clean_prompt
from diff4splat.pipelines.config import CONFIG_NAME, FORMAT_VERSION, guidance_to_config, read_pipeline_config
from diff4splat.pipelines.depth_prior import DepthPrior, apply_depth, depth_in_crop, depth_ratio
from diff4splat.pipelines.images import ImageSource, prepare_image
from diff4splat.pipelines.parts import check_fit, load_parts, provenance_of, reference_of, save_part
from diff4splat.pipelines.reconstructor import Reconstructor
from diff4splat.pipelines.video_to_4d import (
    STAGES,
    ProgressCallback,
    VideoTo4D,
    ignore_progress,
)

__all__ = ["STAGES", "Diff4SplatPipeline", "ProgressCallback"]


class Diff4SplatPipeline(VideoTo4D, Pushable):
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
            the number of frames or the size, or `ldrm` is an LDRM for other latents.

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
        check_fit(backbone.spec, ldrm, height=height, width=width)
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
        depth: DepthPrior | None = None,
        callback: ProgressCallback | None = None,
    ) -> DeformableGaussianField:
        """Generate a scene. Everything left out is taken from the constructor.

        Args:
            image: Photograph: a path, a PIL image, or a float tensor `[3, height, width]` in [0, 1].
            cameras: Path to follow, or the name of a trajectory. Two or more frames at any size and in any
                world frame: they are resampled to the clip, counted from the first camera, and
                centre-cropped as the image is. Translation is in scene units, which are metres with a
                metric `depth`.
            prompt: What happens in the scene; empty means none.
            generator: Source of all randomness; the same one gives the same scene on the same machine.
            num_frames: Frames of the generated clip.
            num_steps: Sampling steps; fewer are faster and coarser.
            guidance: Guidance schedule, or a constant scale (1 switches guidance off).
            num_gaussians: Gaussian budget, or "all" for none.
            detail_size: Longest side of the copy that fine detail is taken from, pixels.
            background: What shows through where the image is transparent.
            depth: Depth of the photograph, from a sensor or a model: the first view of the scene gets it, see
                `apply_depth`. A metric one sets the size of the scene, too.
            callback: Progress, see `ProgressCallback`.

        Returns:
            One field without batch axes, in the frame of the first camera; `metadata` says where it comes
            from.

        Raises:
            FileNotFoundError: If `image` is a path where nothing is.
            TypeError: If an argument is of the wrong type.
            ValueError: If the image is unreadable or too small, the trajectory unknown, a camera not rigid,
                a count not one that the model takes, or `depth` of another shape than the image.
            RuntimeError: If the weights are on a GPU and gsplat cannot run there; the message says how to
                cure it.

        Examples:
            >>> field = pipe(image, "orbit", generator=torch.Generator().manual_seed(7))  # doctest: +SKIP
        """
        report = callback or ignore_progress
        prompt = clean_prompt(prompt)
        num_frames = self.num_frames if num_frames is None else num_frames
        num_steps = self.num_steps if num_steps is None else num_steps
        budget = self._budget(num_gaussians)
        detail_size = self.detail_size if detail_size is None else detail_size
        guidance = self.guidance if guidance is None else as_guidance(guidance)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}.")
        if depth is not None and not isinstance(depth, DepthPrior):
            raise TypeError(f"depth must be a DepthPrior or None, got {type(depth).__name__}.")
        check_count("num_frames", num_frames, least=2)
        check_count("num_steps", num_steps)
        check_count("detail_size", detail_size)
        self.backbone.spec.check_frames(num_frames)
        path = self._path(cameras, num_frames, self.height, self.width)
        prepare, generate, _ = STAGES
        report(prepare, 0, 1)
        prepared = prepare_image(
            image,
            height=self.height,
            width=self.width,
            detail_size=detail_size,
            background=background,
        )
        first_frame = prepared.image[None].to(self.device)
        unit = 1.0  # scene units per unit of the model
        if depth is not None:
            depth = depth_in_crop(depth, prepared)
            if depth.kind == "metric":
                unit = self._metres_per_unit(first_frame, depth, path)
                path = path.scale(1 / unit)
        report(prepare, 1, 1)

        report(generate, 0, num_steps)
        latents = self.backbone.generate(
            first_frame,
            path.batch(None),
            None if prompt is None else [prompt],
            num_steps=num_steps,
            guidance=guidance,
            generator=generator,
            callback=_step_reporter(report, generate),
        )
        field = self.reconstruct(
            latents,
            path,
            image=prepared.detail,
            num_gaussians="all" if budget is None else budget,
            callback=callback,
        )
        if depth is not None:
            if depth.kind == "metric":
                field = field.transform(torch.diag(torch.tensor([unit, unit, unit, 1.0])))
            camera = path.select(slice(0, 1)).resize(*depth.depth.shape)
            field = apply_depth(field, depth, camera.to(device=field.device, dtype=field.dtype))
        return replace(
            field,
            metadata={
                **field.metadata,
                "prompt": prompt or "",
                "trajectory": cameras if isinstance(cameras, str) else "custom",
                "seed": None if generator is None else generator.initial_seed(),
                "num_steps": num_steps,
                "guidance": "default of the backbone" if guidance is None else repr(guidance),
                "image_size": [prepared.source_height, prepared.source_width],
                **({} if depth is None else {"depth": depth.kind}),
            },
        )

    def _metres_per_unit(self, first_frame: Tensor, depth: DepthPrior, path: Cameras) -> float:
        """How many metres the unit is that the model sees the photograph in: that of a short clip at rest."""
        camera = path.at_rest().select(slice(0, self.backbone.spec.frame_step + 1))
        still = first_frame[:, None].expand(-1, camera.num_frames, -1, -1, -1)
        latents = self.backbone.encode(still).to(self.device)
        field = self.ldrm(latents, camera.batch(None)).batch(0)
        return depth_ratio(depth, field, camera.select(slice(0, 1)))

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
        found = partial(
            resolve_pretrained, name_or_path, revision=revision, local_files_only=local_files_only
        )
        read_pipeline_config(
            found(files=[CONFIG_NAME]) / CONFIG_NAME
        )  # before gigabytes that are no pipeline
        folder = found()
        config = read_pipeline_config(folder / CONFIG_NAME)
        backbone, ldrm = load_parts(folder, config, local_files_only=local_files_only)
        settings = {key: value for key, value in config.items() if key not in ("backbone", "reconstructor")}
        provenance = provenance_of(name_or_path, folder, ("backbone", backbone), ("reconstructor", ldrm))
        try:
            pipeline = cls(backbone, ldrm, provenance=provenance, **settings)
        except ValueError as error:
            raise ValueError(f"{folder / CONFIG_NAME}: {error}") from error
        return pipeline if device is None else pipeline.to(device)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        backbone: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write the pipeline as a folder that `from_pretrained` reads.

        Weights that were loaded from another repository are not copied: the configuration names the
        repository and its commit. A camera adapter of such a backbone is written to `camera_adapter/`.

        Args:
            folder: Made if needed; files of the same names are replaced.
            backbone: Name under which the backbone is registered, to write its weights all the same; when the
                pipeline is loaded, its factory is called with `name_or_path`, the folder that the backbone
                wrote. When omitted, a reference where the backbone has one, else its weights as "compact".
            dtype: Storage type of the weights, for instance `torch.float16`; the one they have when omitted.

        Raises:
            TypeError: If a part has neither `save_pretrained` nor a reference, or the guidance is of a kind
                that the configuration has no words for.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        source = save_part(self.backbone, target, "backbone", dtype=dtype, weights=backbone is not None)
        reconstructor = save_part(self.ldrm, target, "ldrm", dtype=dtype)
        config = {
            "format_version": FORMAT_VERSION,
            "backbone": source or backbone or "compact",
            **({} if reconstructor is None else {"reconstructor": reconstructor}),
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

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Put what `save_pretrained` writes into a repository of the Hub, in one commit.

        Args:
            repository: Hub id `owner/name`; created if missing.
            **options: As for [Pushable.push_to_hub][diff4splat.hub.Pushable.push_to_hub].

        Returns:
            The commit, 40 hexadecimal digits.

        Raises:
            ValueError: If a part refers to a folder of this machine, or as for `Pushable.push_to_hub`.
        """
        for name, part in (("backbone", self.backbone), ("reconstructor", self.ldrm)):
            reference = None if options.get(name) else reference_of(part)
            if reference is not None and Path(reference.repository).expanduser().exists():
                raise ValueError(
                    f"{name} must come from the Hub for the pipeline to be pushed, got the folder "
                    f"{reference.repository}, which others do not have."
                )
        return super().push_to_hub(repository, **options)


def _step_reporter(report: ProgressCallback, stage: str) -> Callable[[SampleStep], None]:
    def after_step(state: SampleStep) -> None:
        report(stage, state.step + 1, state.num_steps)

    return after_step
