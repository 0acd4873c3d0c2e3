"""The recording: a video, its cameras, and what is known of depth and motion. Every reader gives one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import project, rigid_inverse

__all__ = ["Recording", "RecordingInfo"]

Unit = Literal["metre", "unknown"]
"""What a scene unit is: a metre, or something else that is the same throughout a recording."""


@dataclass(frozen=True)
class RecordingInfo:
    """What a recording holds, known without decoding it.

    Args:
        name: As the reader calls it.
        num_frames: Frames that have all of what `holds` says.
        height: Image rows.
        width: Image columns.
        fps: Frames per second; None where nobody says.
        holds: Which of "cameras", "depth", "dynamic_mask" and "tracks" there are.
        unit: What a scene unit is.
        missing: What has to be fetched before it can be read, in words; empty where it can be read.
    """

    name: str
    num_frames: int
    height: int
    width: int
    fps: float | None
    holds: frozenset[str]
    unit: Unit
    missing: str = ""


@dataclass(frozen=True, eq=False)
class Recording:
    """Some frames of a video, and what is known about them, in the conventions of this library.

    World axes are any right-handed frame; camera axes are OpenCV's; pixel centres are at +0.5. Construction
    checks shapes only; values are checked by `validate()`.

    Args:
        name: As the reader calls it.
        dataset: Name of the dataset, as in `DATASETS`.
        licence: Tag of its licence.
        video: sRGB.
        cameras: One per frame, without batch axes; None where nobody knows them.
        depth: z-depth in scene units; without meaning where `depth_mask` does not hold.
        depth_mask: Where the depth is known; given with `depth`.
        dynamic_mask: Pixels that show what moves by itself.
        tracks: World positions of points that are followed; without meaning where they are not visible.
        visible: Whether a point is seen in a frame; given with `tracks`.
        track_pixels: Where points are in the image, x before y, where the dataset says so itself.
        numbers: Number of each frame in the source; 0, 1, ... when omitted.
        fps: Frames per second of the source; None where nobody says.
        unit: What a scene unit is.
        static: Whether nothing moves by itself throughout.
        caption: What is seen; empty where nobody says.
        facts: JSON values that the source tells beyond this, such as how the scale was found.

    Raises:
        ValueError: If shapes do not agree, or one of a pair is missing.
    """

    name: str
    dataset: str
    licence: str
    video: UInt8[Tensor, "frame rgb=3 height width"]
    cameras: Cameras | None = None
    depth: Float[Tensor, "frame height width"] | None = None
    depth_mask: Bool[Tensor, "frame height width"] | None = None
    dynamic_mask: Bool[Tensor, "frame height width"] | None = None
    tracks: Float[Tensor, "track frame xyz=3"] | None = None
    visible: Bool[Tensor, "track frame"] | None = None
    track_pixels: Float[Tensor, "track frame xy=2"] | None = None
    numbers: tuple[int, ...] = ()
    fps: float | None = None
    unit: Unit = "unknown"
    static: bool = False
    caption: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames, _, height, width = self.video.shape
        if 0 in self.video.shape:
            raise ValueError(f"video must have frames and pixels, got {list(self.video.shape)}.")
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(frames)))
        if len(self.numbers) != frames:
            raise ValueError(f"numbers must be one for each of {frames} frames, got {len(self.numbers)}.")
        for one, other in (("depth", "depth_mask"), ("tracks", "visible"), ("track_pixels", "tracks")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise ValueError(f"{other} must be given with {one}, got None.")
        for name in ("depth", "depth_mask", "dynamic_mask"):
            value = getattr(self, name)
            if value is not None and value.shape != (frames, height, width):
                raise ValueError(
                    f"{name} must have shape {[frames, height, width]}, got {list(value.shape)}."
                )
        if self.tracks is not None:
            count = len(self.tracks)
            for name, ends in (("tracks", (3,)), ("visible", ()), ("track_pixels", (2,))):
                value = getattr(self, name)
                if value is not None and value.shape != (count, frames, *ends):
                    expected = [count, frames, *ends]
                    raise ValueError(f"{name} must have shape {expected}, got {list(value.shape)}.")
        if self.cameras is not None:
            found = (
                *self.cameras.batch_shape,
                self.cameras.num_frames,
                self.cameras.height,
                self.cameras.width,
            )
            if found != (frames, height, width):
                raise ValueError(f"cameras must be {frames} of {height} x {width} pixels, got {found}.")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.video)

    @property
    def height(self) -> int:
        """Image rows."""
        return self.video.shape[-2]

    @property
    def width(self) -> int:
        """Image columns."""
        return self.video.shape[-1]

    def validate(self) -> None:
        """Refuse values that cannot be: no cameras, or depth or tracks that are not finite where known.

        Raises:
            ValueError: Naming what is wrong, and in how many places.
        """
        if self.cameras is not None:
            self.cameras.validate()
        if self.depth is not None and self.depth_mask is not None:
            known = self.depth[self.depth_mask]
            wrong = int((~torch.isfinite(known) | (known <= 0)).sum())
            if wrong:
                raise ValueError(f"depth must be finite and > 0 where known, got {wrong} other values.")
        if self.tracks is not None and self.visible is not None:
            wrong = int((~torch.isfinite(self.tracks[self.visible])).any(-1).sum())
            if wrong:
                raise ValueError(f"tracks must be finite where visible, got {wrong} points that are not.")

    def select(self, frames: Sequence[int] | slice) -> "Recording":
        """Some of the frames.

        Args:
            frames: Which, counted from 0 within this recording.

        Returns:
            A recording of these frames; tracks that none of them sees are left out.
        """
        places = list(range(self.num_frames)[frames]) if isinstance(frames, slice) else list(frames)
        index = torch.tensor(places, dtype=torch.long)
        kept: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in ("video", "depth", "depth_mask", "dynamic_mask")
            if getattr(self, name) is not None
        }
        if self.visible is not None:
            seen = self.visible[:, index].any(1)
            for name in ("tracks", "visible", "track_pixels"):
                value = getattr(self, name)
                kept[name] = None if value is None else value[seen][:, index]
        cameras = None if self.cameras is None else self.cameras.select(index)
        return replace(self, **kept, cameras=cameras, numbers=tuple(self.numbers[place] for place in places))

    def crop(self, top: int, left: int, height: int, width: int) -> "Recording":
        """A window of every frame, with the cameras that see it; points outside are no longer visible.

        Args:
            top: First row.
            left: First column.
            height: Rows kept.
            width: Columns kept.

        Returns:
            The window.

        Raises:
            ValueError: If it does not lie inside the frames.
        """
        if not (0 <= top and 0 <= left and top + height <= self.height and left + width <= self.width):
            raise ValueError(
                f"crop must lie inside {self.height} x {self.width}, got rows {top} to {top + height} and "
                f"columns {left} to {left + width}."
            )
        rows, columns = slice(top, top + height), slice(left, left + width)
        kept: dict[str, Any] = {
            name: getattr(self, name)[..., rows, columns]
            for name in ("video", "depth", "depth_mask", "dynamic_mask")
            if getattr(self, name) is not None
        }
        cameras = None if self.cameras is None else self.cameras.crop(top, left, height, width)
        pixels = None if self.track_pixels is None else self.track_pixels - torch.tensor([left, top])
        return replace(self, **kept, cameras=cameras, track_pixels=pixels)._with_visible_inside()

    def resize(self, height: int, width: int) -> "Recording":
        """Frames of another size: colours averaged, depth and masks of the nearest pixel.

        Args:
            height: New rows, pixels.
            width: New columns, pixels.

        Returns:
            The resized recording.

        Raises:
            ValueError: If a size is below 1.
        """
        if height < 1 or width < 1:
            raise ValueError(f"height and width must be at least 1, got {height} and {width}.")
        if (height, width) == (self.height, self.width):
            return self
        size = (height, width)
        colors = F.interpolate(self.video.float(), size, mode="bilinear", antialias=True, align_corners=False)
        kept: dict[str, Any] = {"video": colors.round().clamp(0, 255).to(torch.uint8)}
        for name in ("depth", "depth_mask", "dynamic_mask"):
            value = getattr(self, name)
            if value is not None:
                nearest = F.interpolate(value[:, None].float(), size, mode="nearest-exact")[:, 0]
                kept[name] = nearest.to(value.dtype)
        cameras = None if self.cameras is None else self.cameras.resize(height, width)
        scale = torch.tensor([width / self.width, height / self.height])
        pixels = None if self.track_pixels is None else self.track_pixels * scale
        return replace(self, **kept, cameras=cameras, track_pixels=pixels)

    def fit(self, height: int, width: int) -> "Recording":
        """The largest window around the centre that has this shape, resized to it.

        Args:
            height: New rows, pixels.
            width: New columns, pixels.

        Returns:
            The recording at this size.
        """
        rows = min(self.height, max(1, round(self.width * height / width)))
        columns = min(self.width, max(1, round(self.height * width / height)))
        window = self.crop((self.height - rows) // 2, (self.width - columns) // 2, rows, columns)
        return window.resize(height, width)

    def scale(self, factor: float) -> "Recording":
        """The same scene in another unit: depth, places of cameras and tracks multiplied.

        Args:
            factor: New units per old one, > 0.

        Returns:
            The scaled recording.

        Raises:
            ValueError: If `factor` is not positive.
        """
        return replace(
            self,
            cameras=None if self.cameras is None else self.cameras.scale(factor),
            depth=None if self.depth is None else self.depth * factor,
            tracks=None if self.tracks is None else self.tracks * factor,
        )

    def relative_to_first(self) -> "Recording":
        """The same scene in the coordinates of its first camera.

        Returns:
            The recording, whose first camera is the identity; unchanged where there are no cameras.
        """
        if self.cameras is None:
            return self
        inverse = rigid_inverse(self.cameras.camera_to_world[0])
        tracks = self.tracks
        if tracks is not None:
            tracks = (tracks.to(inverse) @ inverse[:3, :3].T + inverse[:3, 3]).to(tracks)
        return replace(self, cameras=self.cameras.relative_to(), tracks=tracks)

    def _with_visible_inside(self) -> "Recording":
        """Points outside of the frames are not visible."""
        if self.tracks is None or self.visible is None:
            return self
        pixels = self.track_pixels
        if pixels is None:
            if self.cameras is None:
                return self
            poses, lenses = self.cameras.camera_to_world, self.cameras.intrinsics
            pixels, depth = project(self.tracks.to(poses).transpose(0, 1), poses, lenses)
            pixels = torch.where(depth[..., None] > 0, pixels, -1).transpose(0, 1)
        size = torch.tensor([self.width, self.height])
        inside = ((pixels >= 0) & (pixels < size)).all(-1)
        return replace(self, visible=self.visible & inside)
