"""Cameras beside a path: the views that a reconstruction is judged by and was not given."""

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import quaternion_to_matrix

__all__ = ["beside_path"]


def beside_path(
    cameras: Cameras,
    times: Float[Tensor, "batch view"],
    *,
    generator: torch.Generator,
    shift: float = 0.35,
    focus_depth: float = 4.0,
) -> Cameras:
    """Cameras near a path at given times, moved sideways and turned back to what they looked at.

    Args:
        cameras: Paths with one batch axis.
        times: Times on the path in [0, 1].
        generator: Source of the offsets.
        shift: Standard deviation of the sideways offset, scene units; 0.6 of it vertically, half of it along
            the view.
        focus_depth: Distance of the point that stays in the middle, scene units.

    Returns:
        One camera per time, with the intrinsics of its path's first frame.

    Raises:
        ValueError: If the cameras do not have one batch axis as long as that of `times`, or a time is out of
            range.
    """
    if cameras.batch_shape != times.shape[:1]:
        raise ValueError(
            f"cameras must have the batch axis of times {tuple(times.shape[:1])}, got {cameras.batch_shape}."
        )
    batch, views = times.shape
    deviation = torch.tensor([shift, 0.6 * shift, 0.5 * shift])
    offset = torch.randn(batch, views, 3, generator=generator) * deviation
    # Turning by the angle under which the focus sees the offset keeps the focus in the middle (small angles).
    yaw, pitch = -offset[..., 0] / focus_depth, offset[..., 1] / focus_depth
    half = torch.stack((torch.ones_like(yaw), pitch / 2, yaw / 2, torch.zeros_like(yaw)), dim=-1)
    local = torch.eye(4).repeat(batch, views, 1, 1)
    local[..., :3, :3] = quaternion_to_matrix(half / half.norm(dim=-1, keepdim=True))
    local[..., :3, 3] = offset
    on_path = _poses_at(cameras, times)
    intrinsics = cameras.intrinsics[:, :1].expand(batch, views, 3, 3)
    return Cameras(on_path @ local.to(on_path), intrinsics, cameras.height, cameras.width)


def _poses_at(cameras: Cameras, times: Tensor) -> Tensor:
    """Poses on each path at its own times; `Cameras.interpolate` takes the same times for the whole batch."""
    paths = zip(cameras.camera_to_world, cameras.intrinsics, times, strict=True)
    return torch.stack(
        [
            Cameras(pose, intrinsics, cameras.height, cameras.width).interpolate(time).camera_to_world
            for pose, intrinsics, time in paths
        ]
    )
