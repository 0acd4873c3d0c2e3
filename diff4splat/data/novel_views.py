"""Cameras beside a path: the views that a reconstruction is judged by and was not given."""

import torch
from einops import rearrange
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
        shift: Standard deviation of the sideways and vertical offset, scene units; half as much along the view.
        focus_depth: Distance of the point that stays in the middle, scene units.

    Returns:
        One camera per time.
    """
    on_path = torch.stack([path_pose for path_pose in _poses_at(cameras, times)])  # batch view 4 4
    batch, views = times.shape
    offset = torch.randn(batch, views, 3, generator=generator) * torch.tensor(
        [shift, 0.6 * shift, 0.5 * shift]
    )
    # Turning by the angle under which the offset is seen from the focus keeps the focus in the middle (small angles).
    yaw, pitch = -offset[..., 0] / focus_depth, offset[..., 1] / focus_depth
    half = torch.stack((torch.ones_like(yaw), pitch / 2, yaw / 2, torch.zeros_like(yaw)), dim=-1)
    local = torch.eye(4).repeat(batch, views, 1, 1)
    local[..., :3, :3] = quaternion_to_matrix(half / half.norm(dim=-1, keepdim=True))
    local[..., :3, 3] = offset
    intrinsics = rearrange(cameras.intrinsics[:, :1], "b 1 i j -> b 1 i j").expand(batch, views, 3, 3)
    return Cameras(on_path @ local.to(on_path), intrinsics, cameras.height, cameras.width)


def _poses_at(cameras: Cameras, times: Tensor) -> list[Tensor]:
    paths = zip(cameras.camera_to_world, cameras.intrinsics, times, strict=True)
    return [
        Cameras(pose, intrinsics, cameras.height, cameras.width).interpolate(time).camera_to_world
        for pose, intrinsics, time in paths
    ]
