"""What the pipeline asks of a video diffusion model, and the registry that finds one by name.

One latent layout for all models: `"batch latent_frame channel latent_height latent_width"`, normalised as the
diffusion model sees it (mean near 0, standard deviation near 1). An adapter hides whatever its model does
instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.hub.factories import call_factory

__all__ = [
    "LatentSpec",
    "PretrainedReference",
    "VideoBackbone",
    "get_backbone",
    "list_backbones",
    "register_backbone",
]


@dataclass(frozen=True)
class LatentSpec:
    """Geometry of a causal video latent: how frames and pixels map to latent cells.

    The first frame has a latent of its own, every further latent covers `temporal_stride` frames.

    Args:
        channels: Latent channels.
        temporal_stride: Frames per latent after the first.
        spatial_stride: Pixels per latent cell, each way.
        patch: Latent cells per token of the diffusion model, each way; image sides must be multiples of
            `spatial_stride * patch`.
        frame_multiple: Clips have m * k + 1 frames, where m is this or, when omitted, `temporal_stride`. A
            multiple of `temporal_stride`; 8 for CogVideoX, whose stride is 4.

    Raises:
        ValueError: If a number is below 1, or `frame_multiple` is no multiple of `temporal_stride`.

    Examples:
        >>> spec = LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2)
        >>> spec.num_latents(49), spec.num_frames(13), spec.latent_size(480, 832)
        (13, 49, (60, 104))
    """

    channels: int
    temporal_stride: int
    spatial_stride: int
    patch: int = 1
    frame_multiple: int | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "temporal_stride", "spatial_stride", "patch"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}.")
        if self.frame_multiple is not None and (
            self.frame_multiple < 1 or self.frame_multiple % self.temporal_stride
        ):
            raise ValueError(
                f"frame_multiple must be a positive multiple of temporal_stride={self.temporal_stride}, "
                f"got {self.frame_multiple}."
            )

    @property
    def frame_step(self) -> int:
        """The m of the frame rule m * k + 1."""
        return self.temporal_stride if self.frame_multiple is None else self.frame_multiple

    @property
    def pixel_multiple(self) -> int:
        """Number that divides every valid height and width."""
        return self.spatial_stride * self.patch

    def num_latents(self, num_frames: int) -> int:
        """Latent frames of a clip.

        Args:
            num_frames: Frames of the clip; must satisfy the frame rule.

        Returns:
            Number of latent frames.

        Raises:
            ValueError: If `num_frames` breaks the frame rule.
        """
        self.check_frames(num_frames)
        return (num_frames - 1) // self.temporal_stride + 1

    def num_frames(self, num_latents: int) -> int:
        """Frames that latents decode to.

        Args:
            num_latents: Number of latent frames.

        Returns:
            Number of frames.

        Raises:
            ValueError: If no valid clip has that many latents.
        """
        if num_latents < 1:
            raise ValueError(f"num_latents must be >= 1, got {num_latents}.")
        frames = (num_latents - 1) * self.temporal_stride + 1
        step = self.frame_step // self.temporal_stride
        if (num_latents - 1) % step:
            below, above = _nearest(num_latents, step)
            raise ValueError(
                f"num_latents must be {step}k+1 (frame rule {self.frame_step}k+1), got {num_latents}; "
                f"nearest valid {below} or {above}."
            )
        return frames

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the latent of an image.

        Args:
            height: Image height, pixels.
            width: Image width, pixels.

        Returns:
            Latent height and width, cells.

        Raises:
            ValueError: If a side is not a multiple of `pixel_multiple`.
        """
        self.check_size(height, width)
        return height // self.spatial_stride, width // self.spatial_stride

    def check_frames(self, num_frames: int) -> None:
        """Refuse clip lengths that the model cannot represent.

        Args:
            num_frames: Frames of the clip.

        Raises:
            ValueError: If `num_frames` is not m * k + 1; the message names the nearest valid lengths.
        """
        if num_frames >= 1 and (num_frames - 1) % self.frame_step == 0:
            return
        below, above = _nearest(num_frames, self.frame_step)
        nearest = f"{above}" if num_frames < 1 else f"{below} or {above}"
        raise ValueError(
            f"num_frames must be {self.frame_step}k+1 for this backbone, got {num_frames}; "
            f"nearest valid {nearest}."
        )

    def check_size(self, height: int, width: int) -> None:
        """Refuse image sizes that the model cannot represent.

        Args:
            height: Image height, pixels.
            width: Image width, pixels.

        Raises:
            ValueError: If a side is not a positive multiple of `pixel_multiple`.
        """
        for name, value in (("height", height), ("width", width)):
            if value < 1 or value % self.pixel_multiple:
                below = max(value // self.pixel_multiple, 1) * self.pixel_multiple
                nearest = f"{below}" if value < below else f"{below} or {below + self.pixel_multiple}"
                raise ValueError(
                    f"{name} must be a multiple of {self.pixel_multiple} (spatial_stride "
                    f"{self.spatial_stride} x patch {self.patch}), got {value}; nearest valid {nearest}."
                )

    def latent_shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape of the latent of one clip.

        Args:
            num_frames: Frames of the clip.
            height: Image height, pixels.
            width: Image width, pixels.

        Returns:
            Sizes of `"latent_frame channel latent_height latent_width"`.

        Raises:
            ValueError: If the clip breaks the frame or size rule.
        """
        return (self.num_latents(num_frames), self.channels, *self.latent_size(height, width))


@dataclass(frozen=True)
class PretrainedReference:
    """Where public weights were loaded from, so that a saved pipeline can name them instead of copying them.

    Args:
        kind: Name that the part is registered under.
        repository: Hub id `owner/name`, or a folder.
        revision: Commit, tag or branch on the Hub; the commit where it is known. None for a folder.
        options: Other arguments that the part was loaded with, JSON values; a saved pipeline repeats them.

    Raises:
        ValueError: If `kind` or `repository` is empty.
    """

    kind: str
    repository: str
    revision: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("kind", "repository"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty.")


@runtime_checkable
class VideoBackbone(Protocol):
    """A camera-conditioned video diffusion model; anything with these members can drive the pipeline."""

    @property
    def spec(self) -> LatentSpec:
        """Geometry of the latents."""
        ...

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a video.

        Args:
            video: In [0, 1], float32, on any device; frames and size by the rules of `spec`.

        Returns:
            Normalised latents, the mode of the encoder's distribution, without a random draw.
        """
        ...

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """Video of normalised latents.

        Args:
            latents: As `encode` and `generate` return them.

        Returns:
            Video in [0, 1].
        """
        ...

    def generate(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        *,
        num_steps: int,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a video that starts at an image and follows a camera path.

        Args:
            image: First frame, in [0, 1], float32. It and `cameras` may be on any device: the backbone brings
                them to where and to what it computes in.
            cameras: One camera per frame, batch axes as in `image`; their number decides the length of the
                clip.
            prompt: One text per image; none when omitted.
            num_steps: Sampler steps.
            guidance: Guidance schedule; the model's own default when omitted.
            generator: Source of randomness; the same seed gives the same latents.
            callback: Called after each step, see `euler_sample`.

        Returns:
            Normalised latents.
        """
        ...


_FACTORIES: dict[str, Callable[..., VideoBackbone] | str] = {
    "compact": "diff4splat.backbones.compact:CompactBackbone.from_pretrained",
    "video": "diff4splat.backbones.given_video:GivenVideoBackbone.from_pretrained",
    "cogvideox": "diff4splat.backbones.cogvideox:CogVideoXBackbone.from_pretrained",
    "wan2.1": "diff4splat.backbones.wan:WanBackbone.from_pretrained",
    "wan2.2-ti2v-5b": "diff4splat.backbones.wan:WanBackbone.from_pretrained",
    "wan-fun-camera": "diff4splat.backbones.wan_fun_camera:WanFunCameraBackbone.from_pretrained",
}


def register_backbone(
    name: str, factory: Callable[..., VideoBackbone] | str, *, replace: bool = False
) -> None:
    """Make a backbone known by name.

    Args:
        name: Name for `get_backbone`.
        factory: Called with the keyword arguments of `get_backbone`; or where to import it from when it is
            asked for, as "package.module:attribute", which keeps heavy imports out of the way until then.
        replace: Allow a name that is taken.

    Raises:
        ValueError: If the name is empty or taken, or the import string has no colon.
    """
    if not name:
        raise ValueError("name must not be empty.")
    if isinstance(factory, str) and not all(factory.partition(":")):
        raise ValueError(f"factory must look like 'package.module:attribute', got {factory!r}.")
    if name in _FACTORIES and not replace and _FACTORIES[name] != factory:
        raise ValueError(f"backbone {name!r} is already registered; pass replace=True to replace it.")
    _FACTORIES[name] = factory


def get_backbone(name: str, /, **options: Any) -> VideoBackbone:
    """Build a registered backbone.

    Args:
        name: One of `list_backbones()`.
        **options: Passed to the factory as they are.

    Returns:
        The backbone.

    Raises:
        ValueError: If no backbone has that name.
        TypeError: If its factory does not take an option, or needs one that is not there.
    """
    if name not in _FACTORIES:
        raise ValueError(f"unknown backbone {name!r}, expected one of {list_backbones()}.")
    backbone: VideoBackbone = call_factory(_FACTORIES[name], options, name=f"backbone {name!r}")
    return backbone


def list_backbones() -> list[str]:
    """Names that `get_backbone` knows.

    Returns:
        Sorted names.
    """
    return sorted(_FACTORIES)


def _nearest(value: int, step: int) -> tuple[int, int]:
    """Closest numbers of the form step * k + 1, k >= 0, below and above `value`."""
    below = max((value - 1) // step, 0) * step + 1
    return below, below if value < 1 else below + step
