"""What a model says of a video: depth, cameras, motion, paths of points, in this library's conventions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = ["Annotation", "DepthKind"]

DepthKind = Literal["depth", "disparity"]
"""What values of a depth model are like: z-depth, or its inverse, up to scale and shift where relative."""

_MAPS = ("depth", "depth_mask", "moving", "static_confidence")


@dataclass(frozen=True, eq=False)
class Annotation:
    """What one annotator says of the frames of a video.

    Maps, cameras and pixels are of one size, which need not be that of the video. Axes are OpenCV's and
    centres of pixels are at +0.5. Construction checks shapes only; values are checked by `validate()`.

    Args:
        source: Name of the annotator, as in `ANNOTATION_FORMATS`.
        num_frames: Frames that it speaks of.
        height: Rows of its maps, or of the frames that its pixels are in.
        width: Columns of the same.
        numbers: Number of each frame in the video that the annotator was given, counted from 0, ascending;
            None where it speaks of all frames in order.
        depth: Values of `kind`; without meaning where `depth_mask` does not hold.
        depth_mask: Where they are known; given with `depth`.
        kind: Whether values are z-depth or disparity.
        unit: Unit of depth, or of the inverse of disparity, and of places of cameras. Where it is not known,
            disparity may need a shift beside a scale.
        one_scale: Whether what is not known of the unit is the same for all frames.
        cameras: One per frame, without batch axes, of this size; None where no path is known.
        intrinsics: Lens of each frame, pixels of this size, where no path is known.
        moving: Pixels that show what moves by itself, or may do so.
        static_confidence: How sure it is that a pixel does not move, from 0 to 1.
        track_pixels: Where points are in each frame, x before y; without meaning where not visible.
        visible: Whether a point is seen; given with `track_pixels`.
        covers: Part of the rows and of the columns of the video's frames that maps show, from the top left,
            in (0, 1]; less than 1 where the annotator cut frames at the bottom and the right.
        facts: JSON values beyond this.

    Raises:
        ValueError: If shapes do not agree, one of a pair is missing, or an option is none.
    """

    source: str
    num_frames: int
    height: int
    width: int
    numbers: tuple[int, ...] | None = None
    depth: Float[Tensor, "frame height width"] | None = None
    depth_mask: Bool[Tensor, "frame height width"] | None = None
    kind: DepthKind = "depth"
    unit: Literal["metre", "unknown"] = "unknown"
    one_scale: bool = True
    cameras: Cameras | None = None
    intrinsics: Float[Tensor, "frame 3 3"] | None = None
    moving: Bool[Tensor, "frame height width"] | None = None
    static_confidence: Float[Tensor, "frame height width"] | None = None
    track_pixels: Float[Tensor, "track frame xy=2"] | None = None
    visible: Bool[Tensor, "track frame"] | None = None
    covers: tuple[float, float] = (1.0, 1.0)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames, size = self.num_frames, (self.num_frames, self.height, self.width)
        if min(size) < 1:
            raise ValueError(f"num_frames, height and width must be at least 1, got {list(size)}.")
        for name, options, got in (
            ("kind", get_args(DepthKind), self.kind),
            ("unit", ("metre", "unknown"), self.unit),
        ):
            if got not in options:
                raise ValueError(f"{name} must be one of {', '.join(options)}, got {got!r}.")
        if self.numbers is not None and len(self.numbers) != frames:
            raise ValueError(f"numbers must be one for each of {frames} frames, got {len(self.numbers)}.")
        for one, other in (("depth", "depth_mask"), ("track_pixels", "visible")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} must be given together, got one of them.")
        for name in _MAPS:
            value = getattr(self, name)
            if value is not None and value.shape != size:
                raise ValueError(f"{name} must have shape {list(size)}, got {list(value.shape)}.")
        for name, expected in (
            ("intrinsics", (frames, 3, 3)),
            ("track_pixels", (len(self.visible) if self.visible is not None else 0, frames, 2)),
            ("visible", (len(self.visible) if self.visible is not None else 0, frames)),
        ):
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise ValueError(f"{name} must have shape {list(expected)}, got {list(value.shape)}.")
        if self.cameras is not None:
            found = (
                *self.cameras.batch_shape,
                self.cameras.num_frames,
                self.cameras.height,
                self.cameras.width,
            )
            if found != size:
                raise ValueError(
                    f"cameras must be {frames} of {self.height} x {self.width} pixels, got {found}."
                )

    @property
    def holds(self) -> frozenset[str]:
        """Which of "cameras", "depth", "intrinsics", "moving" and "tracks" there are."""
        names = ("cameras", "depth", "intrinsics", "moving")
        found = {name for name in names if getattr(self, name) is not None}
        return frozenset(found | ({"tracks"} if self.track_pixels is not None else set()))

    def validate(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: If numbers do not ascend from 0, known depth is not finite (and > 0 where it is
                z-depth or metric), a lens or camera is none, a confidence is not from 0 to 1, a visible point
                is not finite, or `covers` is no part.
        """
        numbers = self.numbers
        if numbers is not None and (numbers[0] < 0 or sorted(set(numbers)) != list(numbers)):
            raise ValueError(f"numbers must ascend from 0 or more, got {list(numbers[:9])}.")
        if self.depth is not None and self.depth_mask is not None:
            known = self.depth[self.depth_mask]
            positive = self.kind == "depth" or self.unit == "metre"
            wrong = int((~torch.isfinite(known) | (known <= 0 if positive else known != known)).sum())
            if wrong:
                words = "finite and > 0" if positive else "finite"
                raise ValueError(f"depth must be {words} where known, got {wrong} other values.")
        if self.cameras is not None:
            self.cameras.validate()
        if self.intrinsics is not None:
            focal = self.intrinsics[:, [0, 1], [0, 1]]
            if not bool(torch.isfinite(self.intrinsics).all()) or bool((focal <= 0).any()):
                raise ValueError("intrinsics must be finite with focal lengths > 0, got others.")
        if self.static_confidence is not None:
            wrong = int((~((self.static_confidence >= 0) & (self.static_confidence <= 1))).sum())
            if wrong:
                raise ValueError(f"static_confidence must be from 0 to 1, got {wrong} other values.")
        if self.track_pixels is not None and self.visible is not None:
            wrong = int((~torch.isfinite(self.track_pixels[self.visible])).any(-1).sum())
            if wrong:
                raise ValueError(f"track_pixels must be finite where visible, got {wrong} that are not.")
        if not all(0 < part <= 1 for part in self.covers):
            raise ValueError(f"covers must be parts above 0 and at most 1, got {self.covers}.")

    def select(self, frames: Sequence[int]) -> "Annotation":
        """Some of the frames.

        Args:
            frames: Which, counted from 0 within this annotation, ascending.

        Returns:
            An annotation of these frames; tracks that none of them sees are left out.

        Raises:
            ValueError: If there is no such frame, or none is asked for.
        """
        places = list(frames)
        if not places or min(places) < 0 or max(places) >= self.num_frames:
            raise ValueError(f"frames must be from 0 to {self.num_frames - 1}, got {places[:9]}.")
        index = torch.tensor(places, dtype=torch.long)
        kept: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in (*_MAPS, "intrinsics")
            if getattr(self, name) is not None
        }
        if self.track_pixels is not None and self.visible is not None:
            seen = self.visible[:, index].any(1)
            kept["track_pixels"] = self.track_pixels[seen][:, index]
            kept["visible"] = self.visible[seen][:, index]
        numbers = self.numbers or range(self.num_frames)
        return replace(
            self,
            **kept,
            num_frames=len(places),
            cameras=None if self.cameras is None else self.cameras.select(index),
            numbers=tuple(numbers[place] for place in places),
        )
