"""Clips of a pipeline for a protocol: generated, rendered along the commanded paths, and timed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance
from diff4splat.evaluation.costs import Stopwatch, warm_up
from diff4splat.evaluation.protocol.manifest import EvaluationClip
from diff4splat.evaluation.protocol.scores import CAPABILITIES
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import Diff4SplatPipeline, fit_cameras, prepare_image, render_path

__all__ = ["ClipMaker", "MadeClip", "PipelineMaker", "Shown"]

Shown = Literal["scene", "decoded", "two-stage"]
"""What of a pipeline is shown: the scene that it makes of latents, the video that these latents decode to, or
the scene that it makes of that video, encoded again behind the input image."""


@dataclass(frozen=True, eq=False)
class MadeClip:
    """A clip and what it took.

    Args:
        frames: RGB.
        seconds: Wall-clock time of each part of the work by its name; loading of weights and drawing of
            frames are not in it.
        field: The scene, where there is one, in the frame of the first camera.
    """

    frames: UInt8[Tensor, "frame rgb=3 height width"]
    seconds: dict[str, float]
    field: DeformableGaussianField | None = None


@runtime_checkable
class ClipMaker(Protocol):
    """A method that can be asked for the clips of a protocol."""

    def __call__(self, clip: EvaluationClip, image: Path, cameras: Cameras) -> MadeClip:
        """Make one clip.

        Args:
            clip: What is asked for.
            image: The input image.
            cameras: Cameras of the frames.

        Returns:
            The clip.

        Raises:
            ValueError: If the method cannot make such a clip; the message becomes the reason why it is
                missing.
        """
        ...


class PipelineMaker:
    """Clips of a `Diff4SplatPipeline`.

    A scene is rendered with as many frames and pixels as the cameras have; a decoded video has those of the
    model. Two clips in a row that differ in nothing but whether time runs are rendered from one scene.

    Args:
        pipe: The pipeline.
        shown: What of it is shown, see `Shown`.
        num_steps: Sampling steps; those of the pipeline when omitted.
        guidance: Guidance schedule; that of the pipeline when omitted.
        num_gaussians: Gaussian budget; that of the pipeline when omitted.

    Raises:
        ValueError: If `shown` is none of the three.
    """

    def __init__(
        self,
        pipe: Diff4SplatPipeline,
        *,
        shown: Shown = "scene",
        num_steps: int | None = None,
        guidance: Guidance | None = None,
        num_gaussians: int | None = None,
    ) -> None:
        if shown not in get_args(Shown):
            raise ValueError(f"shown must be one of {', '.join(get_args(Shown))}, got {shown!r}.")
        self.pipe, self.shown = pipe, shown
        self.num_steps = pipe.num_steps if num_steps is None else num_steps
        self.guidance = pipe.guidance if guidance is None else guidance
        self.num_gaussians = num_gaussians
        self._made: tuple[tuple[Any, ...], MadeClip] | None = None

    @property
    def capabilities(self) -> dict[str, bool]:
        """What can be done with what is shown: all of it with a scene, nothing but looking with a video."""
        return dict.fromkeys(CAPABILITIES, self.shown != "decoded")

    @torch.no_grad()
    def __call__(self, clip: EvaluationClip, image: Path, cameras: Cameras) -> MadeClip:
        """Make one clip.

        Args:
            clip: What is asked for.
            image: The input image.
            cameras: Cameras of the frames.

        Returns:
            The clip, and the scene unless the decoded video is shown.

        Raises:
            ValueError: If time is to stand still in a decoded video, or the pipeline refuses the input.
        """
        if clip.frozen and self.shown == "decoded":
            raise ValueError("time cannot stand still in a decoded video: there is no scene to look at")
        asked = (clip.image, clip.cameras, clip.prompt, clip.seed)
        if self._made is None or self._made[0] != asked:
            self._made = asked, self._make(clip, image, cameras)
        made = self._made[1]
        if made.field is None:
            return made
        path = fit_cameras(cameras, height=cameras.height, width=cameras.width)
        times = torch.linspace(0, 1, path.num_frames)
        film = render_path(
            made.field,
            path.to(device=made.field.device, dtype=made.field.dtype),
            torch.zeros_like(times) if clip.frozen else times,
        )
        return MadeClip(_as_uint8(film.color), made.seconds, made.field)

    def _make(self, clip: EvaluationClip, image: Path, cameras: Cameras) -> MadeClip:
        """Latents of a clip, and the scene or the video of them."""
        pipe, watch = self.pipe, Stopwatch(self.pipe.device)
        prepared = prepare_image(
            image, height=pipe.height, width=pipe.width, detail_size=max(cameras.height, cameras.width)
        )
        path = fit_cameras(cameras, height=pipe.height, width=pipe.width, num_frames=pipe.num_frames)
        if self._made is None:
            warm_up(pipe.device)
        with watch.part("video model"):
            latents = pipe.backbone.generate(
                prepared.image[None].to(pipe.device),
                path.batch(None),
                [clip.prompt],
                num_steps=self.num_steps,
                guidance=self.guidance,
                generator=torch.Generator().manual_seed(clip.seed),
            )
        budget = self.num_gaussians
        if self.shown == "scene":
            with watch.part("reconstruction"):
                field = pipe.reconstruct(latents, path, image=prepared.detail, num_gaussians=budget)
            return MadeClip(_as_uint8(prepared.image[None]), watch.seconds, field)
        with watch.part("decoding"):
            video = pipe.backbone.decode(latents)[0].float().clamp(0, 1)
        if self.shown == "decoded":
            return MadeClip(_as_uint8(video), watch.seconds)
        with watch.part("reconstruction"):
            video[0] = prepared.image.to(video)  # it is given: only the other frames went through the model
            encoded = pipe.backbone.encode(video[None])
            field = pipe.reconstruct(encoded, path, image=prepared.detail, num_gaussians=budget)
        return MadeClip(_as_uint8(video), watch.seconds, field)


def _as_uint8(
    frames: Float[Tensor, "frame rgb=3 height width"],
) -> UInt8[Tensor, "frame rgb=3 height width"]:
    return (frames.clamp(0, 1) * 255).round().to(device="cpu", dtype=torch.uint8)
