"""Video, or its latents, and cameras to a deformable Gaussian field: the second half of the pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones import VideoBackbone
from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines.arguments import check_count
from diff4splat.pipelines.clips import check_video, clip_length, fit_video, spread_indices
from diff4splat.pipelines.decoded import DecodedReconstructor
from diff4splat.pipelines.images import prepare_image
from diff4splat.pipelines.paths import fit_cameras
from diff4splat.pipelines.reconstructor import Reconstructor
from diff4splat.rendering import require_backend

__all__ = ["STAGES", "ProgressCallback", "VideoTo4D", "ignore_progress"]

STAGES = ("prepare image", "generate video", "reconstruct scene")
"""What a call does, in order; the first argument of the progress callback."""

ProgressCallback = Callable[[str, int, int], None]
"""Called as `callback(stage, done, total)`: with `done` 0 when a stage begins, then after each step of it."""


_Pipeline = TypeVar("_Pipeline", bound="VideoTo4D")


class VideoTo4D:
    """What `Diff4SplatPipeline` does once there are latents, or a video; it sets the attributes."""

    backbone: VideoBackbone
    ldrm: Reconstructor
    num_frames: int
    height: int
    width: int
    num_gaussians: int | None
    min_opacity: float
    detail_size: int
    provenance: dict[str, Any]

    @torch.no_grad()
    def reconstruct(
        self,
        latents: Float[Tensor, "batch=1 latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "rgb=3 image_height image_width"] | None = None,
        num_gaussians: int | Literal["all"] | None = None,
        callback: ProgressCallback | None = None,
    ) -> DeformableGaussianField:
        """The scene of a clip that is there already: the second half of a call.

        The cameras are taken as they are given, nothing is estimated: they are counted from the first one,
        and resampled and cropped only where they are not those of the clip.

        Args:
            latents: Normalised latents of one clip, as `backbone.generate` or `backbone.encode` return them.
            cameras: The path that the clip follows, in any world frame, without batch axes; translation in
                scene units.
            image: First frame in [0, 1], at any size of the clip's shape; fine detail is taken from it. The
                first latent is decoded when omitted.
            num_gaussians: Gaussian budget, or "all" for none; that of the constructor when omitted.
            callback: Progress, see `ProgressCallback`.

        Returns:
            One field without batch axes, in the frame of the first camera; `metadata` says where it comes
            from.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If the latents are no clip of the backbone, a camera is not rigid, or no Gaussian is
                left.
            RuntimeError: If the weights are on a GPU and gsplat cannot run there.
        """
        budget = self._budget(num_gaussians)
        spec = self.backbone.spec
        height, width = (side * spec.spatial_stride for side in latents.shape[-2:])
        path = self._path(cameras, spec.num_frames(latents.shape[1]), height, width)
        report = callback or ignore_progress
        report(STAGES[2], 0, 1)
        if image is None and not isinstance(self.ldrm, DecodedReconstructor):
            image = self.backbone.decode(latents[:, :1])[0, 0].float().clamp(0, 1)
        first = None if image is None else image[None].to(self.device)
        field = self.ldrm(latents.to(self.device), path.batch(None), image=first, max_gaussians=budget)
        field = self._finish(
            field.batch(0), path, (height, width) if image is None else image.shape[-2:], budget
        )
        report(STAGES[2], 1, 1)
        return field

    @torch.no_grad()
    def reconstruct_video(
        self,
        video: Float[Tensor, "frame rgb=3 height width"],
        cameras: Cameras | str,
        *,
        num_frames: int | None = None,
        num_gaussians: int | Literal["all"] | None = None,
        detail_size: int | None = None,
        callback: ProgressCallback | None = None,
    ) -> DeformableGaussianField:
        """The scene of a video whose cameras are known.

        Frames are taken evenly, and cropped around their centre and resized to the model's clip; each keeps
        its own camera. A reconstructor that reads frames gets them as they are; one that reads latents gets
        those that the backbone encodes.

        Args:
            video: Frames in [0, 1], at least 16 pixels on each side.
            cameras: The path that the video follows, as in a call; one camera per frame, or another number,
                which is resampled to the frames from first to last.
            num_frames: Frames to take; those of the model's clips when omitted, or the most that a shorter
                video has.
            num_gaussians: Gaussian budget, or "all" for none; that of the constructor when omitted.
            detail_size: Longest side of the first frame that fine detail is taken from, pixels; that of the
                constructor when omitted.
            callback: Progress, see `ProgressCallback`; the first stage is "encode video".

        Returns:
            As `reconstruct`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If the video has too few frames or pixels, or a camera is not rigid.
            RuntimeError: If the weights are on a GPU and gsplat cannot run there.
        """
        check_video(video)
        budget = self._budget(num_gaussians)
        count = clip_length(self.backbone.spec, len(video), num_frames or self.num_frames)
        kept = spread_indices(len(video), count)
        path = self._path(cameras, len(video), self.height, self.width).select(torch.tensor(kept))
        prepared = prepare_image(
            video[0].float(),
            height=self.height,
            width=self.width,
            detail_size=self.detail_size if detail_size is None else detail_size,
        )
        clip = fit_video(video[kept].float(), height=self.height, width=self.width)[None]
        report = callback or ignore_progress
        if not isinstance(self.ldrm, DecodedReconstructor):
            report("encode video", 0, 1)
            latents = self.backbone.encode(clip.to(self.device))
            report("encode video", 1, 1)
            return self.reconstruct(
                latents, path, image=prepared.detail, num_gaussians=num_gaussians, callback=callback
            )
        report(STAGES[2], 0, 1)
        field = self.ldrm.reconstructor(clip.to(self.device), path.batch(None), max_gaussians=budget)
        field = self._finish(field.batch(0), path, (self.height, self.width), budget)
        report(STAGES[2], 1, 1)
        return field

    def to(
        self: _Pipeline, device: str | torch.device | None = None, *, dtype: torch.dtype | None = None
    ) -> _Pipeline:
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
        """Where scenes are made: the device of the reconstructor's weights; the CPU without any.

        A backbone may be elsewhere, in parts even: it takes its inputs from any device, and its latents are
        moved here.
        """
        weights = self.ldrm.parameters() if isinstance(self.ldrm, nn.Module) else iter(())
        return next((weight.device for weight in weights), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights; float32 for parts without any."""
        return next((p.dtype for part in self._modules for p in part.parameters()), torch.float32)

    @property
    def _modules(self) -> list[nn.Module]:
        return [part for part in (self.ldrm, self.backbone) if isinstance(part, nn.Module)]

    def _budget(self, num_gaussians: int | Literal["all"] | None) -> int | None:
        budget = self.num_gaussians if num_gaussians is None else num_gaussians
        if budget is None or budget == "all":
            return None
        check_count("num_gaussians", budget)
        require_backend(self.device)  # Gaussians beyond it are found by rendering, at the end
        return budget

    def _path(self, cameras: Cameras | str, num_frames: int, height: int, width: int) -> Cameras:
        path: Cameras = (
            trajectory.by_name(cameras, num_frames, height=height, width=width)
            if isinstance(cameras, str)
            else cameras
        )
        fitted = fit_cameras(path, height=height, width=width, num_frames=num_frames)
        # Half precision is for weights: it is too coarse for places.
        return fitted.to(device=self.device, dtype=torch.promote_types(self.dtype, torch.float32))

    def _finish(
        self, field: DeformableGaussianField, path: Cameras, size: Sequence[int], budget: int | None
    ) -> DeformableGaussianField:
        """Drop faint Gaussians, keep to the budget in views of `size`, and say where the field comes from."""
        field = field.prune(max(self.min_opacity, torch.finfo(field.dtype).tiny))
        if field.canonical.num_gaussians == 0:
            raise ValueError(f"min_opacity={self.min_opacity} leaves no Gaussian of this scene.")
        if budget is not None:
            views = path.resize(*size)  # coarser ones would blur what the detail is
            field = field.limit(budget, cameras=views.to(device=field.device, dtype=field.dtype))
        facts = {
            "num_frames": path.num_frames,
            "num_gaussians": field.canonical.num_gaussians,
            "min_opacity": self.min_opacity,
            "detail_size": list(size),
        }
        return replace(field, metadata={**field.metadata, **self.provenance, **facts})


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Take progress that nobody asked for."""
