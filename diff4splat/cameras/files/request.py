"""What a caller asks of a file of cameras, and what a reader gives back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from diff4splat.cameras.files.matrices import check_rigid, rigid_inverses

__all__ = ["Axes", "Direction", "Read", "Request", "intrinsics_of", "stored_size"]

Axes = Literal["opencv", "opengl", "ned"]
"""Camera axes: x right, y down, z forward; x right, y up, z backward; x forward, y right, z down."""

Direction = Literal["camera_to_world", "world_to_camera"]

DEFAULT_FIELD_OF_VIEW_DEG = 60.0
MAX_SIDE = 65_536

_TO_OPENCV = {
    "opencv": np.eye(4),
    "opengl": np.diag([1.0, -1.0, -1.0, 1.0]),
    # columns: the OpenCV axes (right, down, forward) in the order (forward, right, down)
    "ned": np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
}


class Read(NamedTuple):
    """Cameras of a file in the conventions of the library: OpenCV axes, camera-to-world, lenses in pixels."""

    camera_to_world: np.ndarray
    intrinsics: np.ndarray
    height: int
    width: int


@dataclass(frozen=True)
class Request:
    """What the caller says about a file that may not say it itself; None where nothing is said."""

    height: int | None = None
    width: int | None = None
    axes: Axes | None = None
    direction: Direction | None = None
    field_of_view_deg: float | None = None
    distortion: Literal["refuse", "drop"] = "refuse"
    camera: str | None = None
    notes: list[str] = field(default_factory=list)
    """What had to be assumed, one sentence each; readers append."""

    def check(self) -> None:
        """Refuse values outside what they may be."""
        for name, value, allowed in (
            ("axes", self.axes, (*_TO_OPENCV, None)),
            ("direction", self.direction, ("camera_to_world", "world_to_camera", None)),
            ("distortion", self.distortion, ("refuse", "drop")),
        ):
            if value not in allowed:
                known = ", ".join(word for word in allowed if word is not None)
                raise ValueError(f"{name} must be one of {known}, got {value!r}.")
        angle = self.field_of_view_deg
        if angle is not None and not 0 < angle < 180:
            raise ValueError(f"field_of_view_deg must lie between 0 and 180, got {angle}.")

    def refuse_stated(self, kind: str, *names: str) -> None:
        """Refuse what the caller says where the format itself says it."""
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} must be left out, for {kind} files state it, got {getattr(self, name)}."
                )

    def both_sides(self, kind: str) -> tuple[int, int]:
        """Height and width that the caller must give."""
        if self.height is None or self.width is None:
            raise ValueError(
                f"height and width must be given, for {kind} files state no image size, "
                f"got {self.height} and {self.width}."
            )
        return self.height, self.width

    def to_opencv(self, name: str, matrices: np.ndarray, *, direction: Direction | None = None) -> np.ndarray:
        """Camera-to-world matrices in OpenCV axes from what a file holds, by what the caller says about it.

        Args:
            name: What the file calls the matrices, for messages.
            matrices: Rigid 4 x 4 matrices, checked here.
            direction: What the file itself says, whose format then means OpenCV axes unless the caller says
                other ones; the caller's word, or camera-to-world, when omitted.

        Returns:
            Camera-to-world matrices.
        """
        check_rigid(name, matrices)
        assumed = []
        if direction is None and self.axes is None:
            assumed.append("OpenCV axes (x right, y down, z forward)")
        if direction is None and self.direction is None:
            assumed.append("camera-to-world matrices")
        if assumed:
            self.notes.append(f"{' and '.join(assumed)} are assumed, for the file does not say")
        if (direction or self.direction) == "world_to_camera":
            matrices = rigid_inverses(matrices)
        return matrices @ _TO_OPENCV[self.axes or "opencv"]

    def lenses(self, count: int, height: int, width: int) -> np.ndarray:
        """Intrinsics of a centred lens for files that hold none."""
        angle = self.field_of_view_deg
        if angle is None:
            angle = DEFAULT_FIELD_OF_VIEW_DEG
            self.notes.append(f"a field of view of {angle:g} degrees is assumed, for the file holds no lens")
        focal = width / (2 * math.tan(math.radians(angle) / 2))
        return np.tile(intrinsics_of(focal, focal, width / 2, height / 2), (count, 1, 1))

    def take_distortion(self, values: Mapping[str, float]) -> None:
        """Refuse or drop the distortion of a lens, as the caller wishes."""
        bent = {name: value for name, value in values.items() if value}
        if not bent:
            return
        if self.distortion == "refuse":
            name, value = next(iter(bent.items()))
            raise ValueError(
                f"{name} must be zero, got {value}: the cameras here are pinholes; undistort the images "
                "(colmap image_undistorter), or keep the pinhole part with distortion='drop' "
                "(diff4splat trajectory FILE --distortion drop --output path.json)."
            )
        note = "the distortion of the lens is dropped; the pinhole part is kept"
        if note not in self.notes:
            self.notes.append(note)


def intrinsics_of(focal_x: float, focal_y: float, centre_x: float, centre_y: float) -> np.ndarray:
    """Pinhole matrix, 3 x 3."""
    return np.array([[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]])


def stored_size(name: str, content: Mapping[str, Any], default: int | None = None) -> int:
    """A side of the images in pixels, from a file or from the caller.

    Args:
        name: Key in `content`.
        content: What the file says.
        default: What the caller says.

    Returns:
        A whole number from 1 to `MAX_SIDE`.
    """
    value = content.get(name, default)
    if value is None:
        raise ValueError(f"{name} must be given: the file states no image size.")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= MAX_SIDE or value % 1:
        raise ValueError(f"{name} must be a whole number of pixels from 1 to {MAX_SIDE}, got {value!r}.")
    return int(value)
