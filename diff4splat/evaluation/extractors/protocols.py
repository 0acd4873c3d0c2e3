"""What evaluation asks of feature networks, matchers and pose estimators; what fits can be plugged in.

Frames are `uint8` RGB, as they come out of a video file. Every plug-in prepares them itself, and says how in
its `spec`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = [
    "ClipFeatures",
    "EstimatedPath",
    "FrameFeatures",
    "FrameRatings",
    "ImageDistance",
    "LevelLogits",
    "Matcher",
    "Matches",
    "PoseEstimator",
    "TextImageFeatures",
    "check_clip_features",
]


@runtime_checkable
class ClipFeatures(Protocol):
    """One vector per clip, for distances between sets of clips."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    @property
    def min_frames(self) -> int:
        """Fewest frames of a clip."""
        ...

    def __call__(
        self, frames: UInt8[Tensor, "clip frame rgb=3 height width"]
    ) -> Float[Tensor, "clip feature"]:
        """Features of clips of one size.

        Args:
            frames: RGB.

        Returns:
            One vector per clip, on the CPU.
        """
        ...


def check_clip_features(spec: ExtractorSpec, features: Tensor, num_clips: int) -> None:
    """Refuse what a network of clips must not give.

    Args:
        spec: What the network is.
        features: What it gave.
        num_clips: Clips that it got.

    Raises:
        ValueError: If that is not one vector per clip.
    """
    if features.ndim != 2 or len(features) != num_clips:
        given = "one" if num_clips == 1 else num_clips
        raise ValueError(
            f"{spec.name} must give one vector per clip, got shape {tuple(features.shape)} for {given}"
        )


@runtime_checkable
class FrameFeatures(Protocol):
    """One vector per frame."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame feature"]:
        """Features of frames.

        Args:
            frames: RGB.

        Returns:
            One vector per frame, not normalised, on the CPU.
        """
        ...


@runtime_checkable
class TextImageFeatures(FrameFeatures, Protocol):
    """Vectors of frames and of prompts in one space."""

    def text(self, prompts: Sequence[str]) -> Float[Tensor, "prompt feature"]:
        """Features of prompts.

        Args:
            prompts: Texts; what is too long is cut, as the network does.

        Returns:
            One vector per prompt, not normalised, on the CPU.
        """
        ...


@runtime_checkable
class FrameRatings(Protocol):
    """One number per frame: beauty, or how far the picture moves until the next one."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, " rating"]:
        """Rate the frames of one clip.

        Args:
            frames: RGB.

        Returns:
            One number per frame, or per pair of neighbours, on the CPU.
        """
        ...


@runtime_checkable
class ImageDistance(Protocol):
    """How different two images look."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(
        self,
        image: Float[Tensor, "*batch rgb=3 height width"],
        target: Float[Tensor, "*batch rgb=3 height width"],
        *,
        mask: Bool[Tensor, "*batch height width"] | None = None,
    ) -> Float[Tensor, " *batch"]:
        """Compare images.

        Args:
            image: In [0, 1].
            target: In [0, 1].
            mask: Pixels that count; all when omitted.

        Returns:
            One distance per image, at least 0.
        """
        ...


@runtime_checkable
class LevelLogits(Protocol):
    """How much a language model would call a clip excellent, good, fair, poor or bad."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "level=5"]:
        """Logits of the five words, from excellent to bad.

        Args:
            frames: RGB of one clip.

        Returns:
            Five numbers on the CPU.
        """
        ...


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of points of two images that show the same.

    Args:
        first: x and y in the first image, pixels, centres of pixels at +0.5.
        second: The same in the second image.
    """

    first: Float[Tensor, "match xy=2"]
    second: Float[Tensor, "match xy=2"]

    def __len__(self) -> int:
        return len(self.first)


@runtime_checkable
class Matcher(Protocol):
    """Finds points of two images that show the same."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(
        self,
        first: UInt8[Tensor, "rgb=3 height width"],
        second: UInt8[Tensor, "rgb=3 height width"],
    ) -> Matches:
        """Match two images of one size.

        Args:
            first: RGB.
            second: RGB.

        Returns:
            The matches; none is an answer, too.
        """
        ...


@dataclass(frozen=True, eq=False)
class EstimatedPath:
    """Poses that were found for the frames of a clip.

    Args:
        cameras: One pose per frame, in axes and a unit of its own; the identity where there is none.
        registered: Frames whose pose was found.
        note: Why frames are missing, in words; empty if none is.
    """

    cameras: Cameras
    registered: Bool[Tensor, " frame"]
    note: str = ""


@runtime_checkable
class PoseEstimator(Protocol):
    """Finds the cameras of a clip."""

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        ...

    def __call__(
        self,
        frames: UInt8[Tensor, "frame rgb=3 height width"],
        intrinsics: Float[Tensor, "3 3"],
        *,
        mask: Bool[Tensor, "frame height width"] | None = None,
    ) -> EstimatedPath:
        """Estimate poses.

        Args:
            frames: RGB of one clip.
            intrinsics: The lens, pixels.
            mask: Pixels that may be used, such as those at rest; all when omitted.

        Returns:
            Poses and which of them were found; a failure is a path of which no frame is registered.
        """
        ...
