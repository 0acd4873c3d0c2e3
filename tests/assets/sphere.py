"""Depth maps of a ball and a wall by their formulas: truth for fusing and for meshes."""

import math

import torch
from torch import Tensor

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics, trajectory
from diff4splat.geometry import pixel_rays

CENTRE, RADIUS = torch.tensor([0.3, -0.2, 0.5]), 1.0


def ball(num_views: int = 17, side: int = 97) -> tuple[Tensor, Tensor, Cameras]:
    """Views from all sides; the colour of a point of the surface is (its normal + 1) / 2."""
    index = torch.arange(num_views) + 0.5
    polar, around = torch.acos(1 - 2 * index / num_views), math.pi * (1 + 5**0.5) * index
    places = CENTRE + 3 * torch.stack(
        (polar.sin() * around.cos(), polar.cos(), polar.sin() * around.sin()), dim=-1
    )
    matrices = trajectory.look_at(places, CENTRE)
    lens = field_of_view_to_intrinsics(50.0, height=side, width=side)
    cameras = Cameras(matrices, lens.expand(num_views, 3, 3), height=side, width=side)
    rays = torch.einsum(
        "fij,fhwj->fhwi", matrices[:, :3, :3], pixel_rays(cameras.intrinsics, height=side, width=side)
    )
    start = (places - CENTRE)[:, None, None]
    square, slope = (rays * rays).sum(-1), (rays * start).sum(-1)
    inner = slope**2 - square * ((start * start).sum(-1) - RADIUS**2)
    depth = torch.where(inner > 0, (-slope - inner.clamp_min(0).sqrt()) / square, torch.zeros_like(inner))
    normals = (start + rays * depth[..., None]) / RADIUS
    return depth, ((normals + 1) / 2).clamp(0, 1).permute(0, 3, 1, 2), cameras


def wall(side: int = 48) -> tuple[Tensor, Tensor, Cameras]:
    """Three views along z of a wall at z = 3."""
    matrices = torch.eye(4).repeat(3, 1, 1)
    matrices[1:, 0, 3] = torch.tensor([-0.3, 0.3])
    lens = field_of_view_to_intrinsics(60.0, height=side, width=side)
    cameras = Cameras(matrices, lens.expand(3, 3, 3), height=side, width=side)
    color = torch.tensor([0.2, 0.6, 0.9])[None, :, None, None].expand(3, 3, side, side)
    return torch.full((3, side, side), 3.0), color, cameras
