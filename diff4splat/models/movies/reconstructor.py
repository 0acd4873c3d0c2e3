"""A video with its cameras to a deformable Gaussian field, by MoVieS."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.models.movies.checkpoint import load_movies_network
from diff4splat.models.movies.clips import WorkingClip, prepare_clip
from diff4splat.models.movies.fields import maps_to_field
from diff4splat.models.movies.network import MoVieS

__all__ = ["MoVieSReconstructor"]


class MoVieSReconstructor(nn.Module):
    """Turns a posed video into a field: a Gaussian per pixel of some of its frames, and its motion.

    Frames are picked at equal distances, scaled and cut to whole patches; cameras are taken relative to the
    first one. The field holds every Gaussian at every target time where MoVieS has it; see `maps_to_field`
    for what a field cannot hold.

    The network was trained on scenes whose visible points are at a mean distance of 1 from the first camera.
    A video does not tell that distance, so say it as `scene_scale`: translations of the cameras are divided
    by it and the result is multiplied by it. Wrong by a factor, the network sees a camera that moves too
    far or too little for what it shows; `mean_distance` in the metadata of a field is the mean distance that
    it found, in its own unit. The published weights start from those of VGGT-1B, whose original
    licence is non-commercial: check before commercial use.

    Args:
        network: The network, with its weights.
        num_views: Frames that are read; those of the demonstration of MoVieS are 13.
        size: Longer side of what is read, pixels, a multiple of the patch; trained at 224 with sides in
            ratios from 1:2 to 2:1.
        scene_scale: Mean distance of what the video shows from its first camera, in the unit of the cameras.
            The default is the depth that the trajectories of this library look at.
        appearance: Colour and opacity that are kept where they change, see `maps_to_field`.
        min_opacity: Gaussians whose opacity is not above it are dropped where there is one video; MoVieS does
            not draw them either.
        frames_per_chunk: Frames that go through a head of the network together; fewer take less memory.

    Raises:
        TypeError: If `network` is not a `MoVieS`.
        ValueError: If a number is out of range, or an option unknown.

    Examples:
        >>> reconstructor = MoVieSReconstructor.from_pretrained("chenguolin/MoVieS")  # doctest: +SKIP
        >>> with torch.no_grad():  # doctest: +SKIP
        ...     field = reconstructor(video, cameras).batch(0)
    """

    def __init__(
        self,
        network: MoVieS,
        *,
        num_views: int = 13,
        size: int = 224,
        scene_scale: float = 4.0,
        appearance: Literal["mean", "static"] = "mean",
        min_opacity: float = 0.001,
        frames_per_chunk: int = 8,
    ) -> None:
        super().__init__()
        if not isinstance(network, MoVieS):
            raise TypeError(f"network must be a MoVieS, got {type(network).__name__}.")
        for name, count in (("num_views", num_views), ("frames_per_chunk", frames_per_chunk)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}.")
        if size < 1 or size % network.patch_size:
            raise ValueError(f"size must be a positive multiple of {network.patch_size}, got {size}.")
        if not 0 < scene_scale < float("inf"):
            raise ValueError(f"scene_scale must be a positive number, got {scene_scale}.")
        if appearance not in ("mean", "static"):
            raise ValueError(f"appearance must be 'mean' or 'static', got {appearance!r}.")
        if not 0 <= min_opacity < 1:
            raise ValueError(f"min_opacity must lie in [0, 1), got {min_opacity}.")
        self.network = network
        self.num_views = num_views
        self.size = size
        self.scene_scale = scene_scale
        self.appearance: Literal["mean", "static"] = appearance
        self.min_opacity = min_opacity
        self.frames_per_chunk = frames_per_chunk

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "chenguolin/MoVieS",
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        dtype: torch.dtype = torch.float32,
        sizes: Mapping[str, Any] | None = None,
        num_views: int = 13,
        size: int = 224,
        scene_scale: float = 4.0,
        appearance: Literal["mean", "static"] = "mean",
    ) -> "MoVieSReconstructor":
        """Load the published weights, or others of that layout.

        Args:
            name_or_path: Hub id, folder, or a file such as `movies_ckpt.safetensors`.
            revision: Branch, tag or commit on the Hub; a commit pins the files.
            local_files_only: Use what the Hub cache holds, without network.
            dtype: Floating type of the encoder and the Transformer; the heads stay in float32.
            sizes: Arguments of `MoVieS` where the file is not of the published size.
            num_views: See the constructor.
            size: See the constructor.
            scene_scale: See the constructor.
            appearance: See the constructor.

        Returns:
            The reconstructor on the CPU in evaluation mode.

        Raises:
            FileNotFoundError: If nothing is found; says where it was looked for.
            TypeError: If `dtype` is not floating point.
            ValueError: If a file is damaged or not of MoVieS, a revision is given for what is not on the Hub,
                or a number is out of range.
        """
        network = load_movies_network(
            name_or_path, revision=revision, local_files_only=local_files_only, dtype=dtype, sizes=sizes
        )
        return cls(
            network, num_views=num_views, size=size, scene_scale=scene_scale, appearance=appearance
        ).eval()

    def forward(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        cameras: Cameras,
        *,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """The deformable Gaussian field of a video, in the world of `cameras`.

        Video and cameras may be on any device and of any floating type.

        Args:
            video: Frames in [0, 1], frame i of F at time i / (F - 1).
            cameras: One camera per frame, batch axis as in `video`, of its size.
            times: Ascending times in [0, 1] to store deltas at; those of the frames when omitted.
            max_gaussians: Budget; those are kept that fill most of the views of the frames. No limit when
                omitted.

        Returns:
            Field with one batch axis, on the device of the weights, in float32 or wider. Its Gaussians come
            frame by frame, row by row; `metadata` says how it was made and what it leaves out.

        Raises:
            TypeError: If video, cameras or times are not floating point.
            ValueError: If video and cameras do not fit each other, colours lie outside [0, 1], cameras are
                not rigid, times do not ascend in [0, 1], or there is a budget below 1 or for several videos.
        """
        _check_inputs(video, cameras, times, max_gaussians)
        device = self.network.backbone.camera_token.device
        wide = torch.promote_types(self.network.depth_head.norm.weight.dtype, torch.float32)
        video, cameras = video.to(device, wide), cameras.to(device, wide)
        if times is None:
            times = torch.linspace(0, 1, video.shape[1])
        times = times.to(device, torch.promote_types(times.dtype, torch.float32))
        clip = prepare_clip(
            video,
            cameras,
            num_views=self.num_views,
            size=self.size,
            patch_size=self.network.patch_size,
        )
        field = self._reconstruct(clip, times)
        if len(video) > 1:
            return field
        field = field.select(field.canonical.opacities[0] > self.min_opacity)
        if max_gaussians is not None and max_gaussians < field.num_gaussians:
            field = field.batch(0).limit(max_gaussians, cameras=clip.cameras.batch(0)).batch(None)
        return field

    def _reconstruct(self, clip: WorkingClip, times: Tensor) -> DeformableGaussianField:
        """Field of all Gaussians; the maps of one target time are held at a time."""
        batch, views = clip.video.shape[:2]
        relative = clip.cameras.relative_to(None).scale(1 / self.scene_scale)
        features = self.network.encode(clip.video, relative, times=clip.times.expand(batch, views))
        static = self.network.static(features, frames_per_chunk=self.frames_per_chunk)
        moving = (
            self.network.moving(features, static, time.expand(batch), frames_per_chunk=self.frames_per_chunk)
            for time in times
        )
        field = maps_to_field(
            static,
            moving,
            clip.cameras,
            times=times,
            scene_scale=self.scene_scale,
            appearance=self.appearance,
        )
        height, width = clip.video.shape[-2:]
        distances = torch.linalg.vector_norm(
            field.canonical.means.detach() - clip.cameras.positions[:, :1], dim=-1
        )
        made = {
            "reconstructor": "MoVieS",
            "num_views": views,
            "working_size": [height, width],
            "scene_scale": self.scene_scale,
            "mean_distance": round(float(distances.mean()) / self.scene_scale, 6),
        }
        return replace(field, metadata={**made, **field.metadata})


def _check_inputs(video: Tensor, cameras: Cameras, times: Tensor | None, max_gaussians: int | None) -> None:
    for name, values in (("video", video), ("cameras", cameras.camera_to_world), ("times", times)):
        if values is not None and not values.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {values.dtype}.")
    if video.ndim != 5 or video.shape[2] != 3 or 0 in video.shape:
        raise ValueError(f"video must have shape [batch, frame, 3, height, width], got {list(video.shape)}.")
    batch, frames, _, height, width = video.shape
    if tuple(cameras.batch_shape) != (batch,) or cameras.num_frames != frames:
        raise ValueError(
            f"cameras must have the batch and frame axes of video [{batch}, {frames}], "
            f"got {[*cameras.batch_shape, cameras.num_frames]}."
        )
    if (cameras.height, cameras.width) != (height, width):
        raise ValueError(
            f"cameras must be of the size of video, {height} x {width}, got {cameras.height} x "
            f"{cameras.width}; see Cameras.resize."
        )
    cameras.validate()
    darkest, brightest = (float(value) for value in video.detach().aminmax())
    if not (darkest >= 0 and brightest <= 1):
        raise ValueError(f"video must lie in [0, 1], got {darkest:.6g} to {brightest:.6g}.")
    if times is not None:
        if times.ndim != 1 or len(times) < 1:
            raise ValueError(f"times must have one axis of at least one time, got shape {list(times.shape)}.")
        if not (times[0] >= 0 and times[-1] <= 1 and bool((times.diff() > 0).all())):
            raise ValueError(f"times must ascend strictly in [0, 1], got {times.tolist()}.")
    if max_gaussians is not None and max_gaussians < 1:
        raise ValueError(f"max_gaussians must be at least 1, got {max_gaussians}.")
    if max_gaussians is not None and batch != 1:
        raise ValueError(f"max_gaussians needs one video at a time, got {batch}.")
