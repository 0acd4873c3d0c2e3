"""Where to look at a scene from that says nothing about it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.geometry import project

__all__ = ["depths_in_view", "overview_camera"]


def overview_camera(gaussians: Gaussians) -> Cameras:
    """A still 16:9 camera: at the origin looking forward if that sees most of the scene, else further back.

    Args:
        gaussians: One set.

    Returns:
        One camera of 720 x 1280 pixels and 60 degrees, float64, on the CPU.
    """
    focal = 640 / math.tan(math.radians(30))
    intrinsics = torch.tensor([[focal, 0, 640], [0, focal, 360], [0, 0, 1]], dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)
    cameras = Cameras(pose[None], intrinsics[None], height=720, width=1280)
    if len(depths_in_view(gaussians, cameras)) < 0.5 * gaussians.num_gaussians:
        means = gaussians.means.detach().to("cpu", torch.float64)
        center = means.median(dim=0).values
        distances = (means - center).norm(dim=-1).sort().values
        radius = float(distances[int(0.9 * (len(distances) - 1))])
        pose[:3, 3] = center - pose.new_tensor([0, 0, 1]) * max(radius, 1e-6) * 2.5
    return cameras


def depths_in_view(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, " seen"]:
    """z-depths of the Gaussians whose centres lie in the first camera's image.

    Args:
        gaussians: One set.
        cameras: Cameras without batch axes.

    Returns:
        Depths in scene units, float64, on the CPU.
    """
    means = gaussians.means.detach().to("cpu", torch.float64)
    pose, lens = (v[0].to("cpu", torch.float64) for v in (cameras.camera_to_world, cameras.intrinsics))
    pixels, depth = project(means, pose, lens)
    size = pixels.new_tensor([cameras.width, cameras.height])
    return depth[(depth > 0) & ((pixels >= 0) & (pixels < size)).all(-1)]
