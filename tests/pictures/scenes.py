"""Small fields whose motion is known."""

import torch

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics

LENS = torch.tensor([[60.0, 0, 31], [0, 55, 20], [0, 0, 1]])


def looking(*, height: int = 43, width: int = 61, frames: int = 1) -> Cameras:
    """A camera a little beside the origin, turned a little."""
    angle = torch.tensor(0.1)
    pose = torch.eye(4)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    pose[:3, 3] = torch.tensor([-0.3, 0.1, -0.2])
    poses = pose.repeat(frames, 1, 1)
    poses[:, 0, 3] += torch.linspace(0, 0.4, frames)
    return Cameras(poses, LENS.repeat(frames, 1, 1), height=height, width=width)


def make_field(
    means: list[list[float]], deltas: list[list[list[float]]], *, scale: float = 0.08, rgb: float = 0.8
) -> DeformableGaussianField:
    """Round Gaussians; deltas are `[time][gaussian][xyz]`."""
    count, times = len(means), len(deltas)
    still = torch.zeros(times, count, 4)
    still[..., 0] = 1
    canonical = Gaussians(
        torch.tensor(means),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count, 3), scale),
        torch.full((count,), 0.95),
        rgb_to_harmonics(torch.full((count, 3), rgb))[:, None],
    )
    moments = torch.linspace(0, 1, times) if times > 1 else torch.zeros(1)
    return DeformableGaussianField(
        canonical, moments, torch.tensor(deltas), still, torch.zeros(times, count, 3), metadata={}
    )


def wall_and_ball(*, moves: bool = True) -> DeformableGaussianField:
    """A wall of 15 x 11 Gaussians at depth 4, and one that flies past before it, in a bent line."""
    wall = [[(x - 7) * 0.4, (y - 5) * 0.4, 4.0] for x in range(15) for y in range(11)]
    rest = [[0.0, 0.0, 0.0]] * len(wall)
    way = [[0.0, 0.0, 0.0], [0.4, 0.3, 0.1], [0.8, 0.0, 0.2]] if moves else [[0.0, 0.0, 0.0]] * 3
    return make_field([*wall, [-0.3, 0.0, 2.0]], [[*rest, step] for step in way], scale=0.2)
