"""The camera struct: where each frame was taken from and through which lens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.geometry import matrix_to_quaternion, quaternion_slerp, quaternion_to_matrix, rigid_inverse

__all__ = ["Cameras", "field_of_view_to_intrinsics"]


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras of one image size, one per frame, with any leading batch axes.

    Axes are OpenCV's: +x right, +y down, +z forward. Construction checks shapes only; values are checked by
    `validate()`.

    Args:
        camera_to_world: Rigid transforms from camera to world coordinates, in scene units.
        intrinsics: Upper triangular pinhole matrices in pixels; the top-left pixel centre is (0.5, 0.5).
        height: Image rows.
        width: Image columns.

    Raises:
        ValueError: If the shapes do not agree or the image is empty.

    Examples:
        >>> intrinsics = field_of_view_to_intrinsics(60.0, height=64, width=96)
        >>> cameras = Cameras(torch.eye(4)[None], intrinsics[None], height=64, width=96)
        >>> cameras.crop(0, 16, 64, 64).intrinsics[0, :2, 2].tolist()
        [32.0, 32.0]
    """

    camera_to_world: Float[Tensor, "*batch frame 4 4"]
    intrinsics: Float[Tensor, "*batch frame 3 3"]
    height: int
    width: int

    def __post_init__(self) -> None:
        shape = tuple(self.camera_to_world.shape)
        if len(shape) < 3 or shape[-2:] != (4, 4):
            raise ValueError(f"camera_to_world must have shape [*batch, frame, 4, 4], got {list(shape)}.")
        expected = (*shape[:-2], 3, 3)
        if tuple(self.intrinsics.shape) != expected:
            raise ValueError(
                f"intrinsics must have shape {list(expected)} to match camera_to_world, "
                f"got {list(self.intrinsics.shape)}."
            )
        for name, value in (("height", self.height), ("width", self.width)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.camera_to_world.shape[-3]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Sizes of the leading axes before the frame axis."""
        return tuple(self.camera_to_world.shape[:-3])

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.camera_to_world.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.camera_to_world.dtype

    @property
    def positions(self) -> Float[Tensor, "*batch frame xyz=3"]:
        """Camera centres in world coordinates."""
        return self.camera_to_world[..., :3, 3]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Cameras":
        """Cameras on another device or in another floating type.

        Args:
            device: Target device; unchanged when omitted.
            dtype: Target floating type; unchanged when omitted.

        Returns:
            New cameras; tensors that need no change are shared.
        """
        return replace(
            self,
            camera_to_world=self.camera_to_world.to(device=device, dtype=dtype),
            intrinsics=self.intrinsics.to(device=device, dtype=dtype),
        )

    def validate(self, *, tolerance: float = 1e-3) -> None:
        """Refuse values that are no camera: not finite, not rigid, or without a positive focal length.

        Args:
            tolerance: Largest accepted entry of |R^T R - I| and of the deviation of fixed entries (0 and 1).

        Raises:
            ValueError: Naming the argument, what was expected and what was found.
        """
        # in numpy: this runs before every frame on the CPU, and torch takes several times as long for it
        matrices, intrinsics = (
            v.detach().to(device="cpu", dtype=torch.float64).numpy()
            for v in (self.camera_to_world, self.intrinsics)
        )
        for name, value in (("camera_to_world", matrices), ("intrinsics", intrinsics)):
            if not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite, got NaN or infinity.")
        error = _largest(matrices[..., 3, :] - [0.0, 0.0, 0.0, 1.0])
        if error > tolerance:
            raise ValueError(
                "camera_to_world must have last row [0, 0, 0, 1], "
                f"got a deviation of {error:.3g} (tolerance {tolerance})."
            )
        rotations = matrices[..., :3, :3]
        error = _largest(rotations.swapaxes(-1, -2) @ rotations - np.eye(3))
        if error > tolerance:
            raise ValueError(
                "camera_to_world must be rigid (orthonormal rotation), "
                f"got |R^T R - I| up to {error:.3g} (tolerance {tolerance})."
            )
        if (np.linalg.det(rotations) < 0).any():
            raise ValueError("camera_to_world must have rotations of determinant +1, got a reflection (-1).")
        focal = intrinsics[..., [0, 1], [0, 1]]
        if (focal <= 0).any():
            raise ValueError(f"intrinsics must have focal lengths > 0, got {focal.min():.6g}.")
        if _largest(intrinsics[..., [1, 2, 2, 2], [0, 0, 1, 2]] - [0.0, 0.0, 0.0, 1.0]) > tolerance:
            raise ValueError(
                "intrinsics must be upper triangular with last row [0, 0, 1], got other entries."
            )

    def select(self, frames: int | slice | Sequence[int] | Int[Tensor, " selected"]) -> "Cameras":
        """Cameras of some frames, in the order given.

        Args:
            frames: Frame index (negative counts from the end), slice, or indices. The frame axis is kept.

        Returns:
            Cameras with as many frames as were selected.

        Raises:
            IndexError: If an index is out of range.
        """
        index: slice | Tensor
        if isinstance(frames, slice):
            index = frames
        elif isinstance(frames, Tensor):
            index = frames.to(self.device)
        else:
            listed = [frames] if isinstance(frames, int) else list(frames)
            index = torch.tensor(listed, dtype=torch.long, device=self.device)
        return replace(
            self,
            camera_to_world=self.camera_to_world[..., index, :, :],
            intrinsics=self.intrinsics[..., index, :, :],
        )

    def batch(self, index: int | slice | None) -> "Cameras":
        """Some paths of a batch, along the first batch axis.

        Args:
            index: An integer for one path without that axis, a slice for several with it, None for a new
                first batch axis of length 1.

        Returns:
            Cameras that share the tensors of these.

        Raises:
            ValueError: If `index` is not None and there is no batch axis.
        """
        if index is not None and not self.batch_shape:
            raise ValueError("batch needs cameras with a batch axis, got none.")
        return replace(self, camera_to_world=self.camera_to_world[index], intrinsics=self.intrinsics[index])

    def crop(self, top: int, left: int, height: int, width: int) -> "Cameras":
        """Cameras of a rectangle cut out of every image.

        Args:
            top: First row kept.
            left: First column kept.
            height: Rows kept.
            width: Columns kept.

        Returns:
            Cameras whose principal point has moved by (-left, -top).

        Raises:
            ValueError: If the rectangle is empty or leaves the image.
        """
        inside = top >= 0 and left >= 0 and top + height <= self.height and left + width <= self.width
        if not inside or height < 1 or width < 1:
            raise ValueError(
                f"crop must lie inside the {self.height} x {self.width} image, "
                f"got rows {top} to {top + height} and columns {left} to {left + width}."
            )
        offset = torch.zeros_like(self.intrinsics)
        offset[..., 0, 2] = left
        offset[..., 1, 2] = top
        return replace(self, intrinsics=self.intrinsics - offset, height=height, width=width)

    def resize(self, height: int, width: int) -> "Cameras":
        """Cameras of the same views at another resolution.

        Args:
            height: New rows.
            width: New columns; the aspect ratio may change.

        Returns:
            Cameras with the first two rows of the intrinsics scaled.

        Raises:
            ValueError: If a size is below 1.
        """
        scale = self.intrinsics.new_tensor([[width / self.width], [height / self.height], [1.0]])
        return replace(self, intrinsics=self.intrinsics * scale, height=height, width=width)

    def relative_to(self, camera_to_world: Float[Tensor, "*#batch 4 4"] | None = None) -> "Cameras":
        """Cameras in the coordinates of a reference camera, which itself becomes the identity.

        Args:
            camera_to_world: Rigid transform of the reference; the first frame when omitted.

        Returns:
            Cameras whose world axes are the reference camera's axes.
        """
        if camera_to_world is None:
            camera_to_world = self.camera_to_world[..., 0, :, :]
        inverse = rigid_inverse(camera_to_world)[..., None, :, :]
        return replace(self, camera_to_world=inverse @ self.camera_to_world)

    def scale(self, factor: float) -> "Cameras":
        """The same path in another unit of length.

        Args:
            factor: What positions are multiplied by, > 0.

        Returns:
            Cameras with the rotations and intrinsics of these.

        Raises:
            ValueError: If `factor` is not a positive number.
        """
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor must be a positive number, got {factor}.")
        camera_to_world = self.camera_to_world.clone()
        camera_to_world[..., :3, 3] *= factor
        return replace(self, camera_to_world=camera_to_world)

    def at_rest(self) -> "Cameras":
        """As many cameras, all where the first one is.

        Returns:
            Cameras with the pose of the first frame in every frame; each keeps its own intrinsics.
        """
        first = self.camera_to_world[..., :1, :, :]
        return replace(self, camera_to_world=first.expand_as(self.camera_to_world))

    def interpolate(self, times: Float[Tensor, " time"]) -> "Cameras":
        """Cameras at any times of the clip, frame i of F standing at time i / (F - 1).

        Positions and intrinsics are interpolated linearly, rotations at constant angular speed between
        frames.

        Args:
            times: Times in [0, 1], in any order.

        Returns:
            Cameras with one frame per time; exact, to rounding, at the times of the frames.

        Raises:
            ValueError: If a time lies outside [0, 1] or is NaN.
        """
        if not ((times >= 0) & (times <= 1)).all():
            raise ValueError(
                f"times must lie in [0, 1], got {times.min().item():.6g} to {times.max().item():.6g}."
            )
        position = times.to(device=self.device, dtype=self.dtype) * (self.num_frames - 1)
        lower = position.detach().floor().long()
        upper = (lower + 1).clamp(max=self.num_frames - 1)
        fraction = position - lower

        start, end = self.camera_to_world[..., lower, :, :], self.camera_to_world[..., upper, :, :]
        quaternions = quaternion_slerp(
            matrix_to_quaternion(start[..., :3, :3]), matrix_to_quaternion(end[..., :3, :3]), fraction
        )
        translation = torch.lerp(start[..., :3, 3:], end[..., :3, 3:], fraction[:, None, None])
        upper_rows = torch.cat((quaternion_to_matrix(quaternions), translation), dim=-1)
        intrinsics = torch.lerp(
            self.intrinsics[..., lower, :, :], self.intrinsics[..., upper, :, :], fraction[:, None, None]
        )
        return replace(
            self, camera_to_world=torch.cat((upper_rows, start[..., 3:, :]), dim=-2), intrinsics=intrinsics
        )


def field_of_view_to_intrinsics(
    field_of_view_deg: float, *, height: int, width: int, dtype: torch.dtype | None = None
) -> Float[Tensor, "3 3"]:
    r"""Pinhole matrix of a centred camera with square pixels.

    $$f = \frac{w}{2 \tan(\alpha / 2)}$$

    Args:
        field_of_view_deg: Horizontal field of view $\alpha$ in degrees, between 0 and 180 (both excluded).
        height: Image rows.
        width: Image columns $w$.
        dtype: Floating type; torch's default when omitted.

    Returns:
        Intrinsics in pixels with the principal point at the image centre.

    Raises:
        ValueError: If the angle is out of range.
    """
    if not 0 < field_of_view_deg < 180:
        raise ValueError(f"field_of_view_deg must lie between 0 and 180, got {field_of_view_deg}.")
    focal = width / (2 * math.tan(math.radians(field_of_view_deg) / 2))
    return torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]], dtype=dtype)


def _largest(values: np.ndarray) -> float:
    """Largest absolute value, 0 where there are none."""
    return float(np.abs(values).max()) if values.size else 0.0
