"""Small synthetic fields for the player's tests."""

import math

import torch

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics


def rolling_ball(
    *, num_ground: int = 4000, num_ball: int = 2500, num_times: int = 5
) -> DeformableGaussianField:
    """A patterned ball that rolls from left to right over a tiled floor before a wall."""
    generator = torch.Generator().manual_seed(7)

    def draw(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    side = math.isqrt(num_ground)
    grid = torch.stack(
        torch.meshgrid(torch.linspace(-3.4, 3.4, side), torch.linspace(0, 1, side), indexing="ij"), -1
    )
    grid = grid.reshape(-1, 2)
    floor = grid[:, 1] < 0.62
    depth = 1.6 + grid[:, 1] / 0.62 * 4.4
    up = (grid[:, 1] - 0.62) / 0.38 * 3.4
    means = torch.stack([grid[:, 0], torch.where(floor, 1.0, 1.0 - up), torch.where(floor, depth, 6.0)], -1)
    tiles = (
        (means[:, 0] * 1.5).floor() + torch.where(floor, means[:, 2] * 1.5, means[:, 1] * 1.5).floor()
    ) % 2
    wall = torch.tensor([0.20, 0.25, 0.34]) + 0.10 * ((means[:, :1] + means[:, 1:2]) * 2).sin().abs()
    rgb = torch.where(floor[:, None], torch.tensor([0.62, 0.58, 0.52]) - 0.28 * tiles[:, None], wall)
    rgb = rgb + 0.03 * draw(len(means), 1)
    thin = torch.where(floor[:, None], torch.tensor([1.0, 0.15, 1.0]), torch.tensor([1.0, 1.0, 0.15]))
    world = Gaussians(
        means,
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(len(means), 1),
        0.9 * 6.8 / side * thin * (0.9 + 0.2 * draw(len(means), 3)),
        torch.full((len(means),), 0.97),
        rgb_to_harmonics(rgb)[:, None],
    )

    index = torch.arange(num_ball) + 0.5
    latitude, longitude = torch.acos(1 - 2 * index / num_ball), index * math.pi * (3 - math.sqrt(5))
    normal = torch.stack(
        [latitude.sin() * longitude.cos(), latitude.cos(), latitude.sin() * longitude.sin()], dim=-1
    )
    band = (torch.atan2(normal[:, 2], normal[:, 0]) * 3 / math.pi + normal[:, 1] * 1.5).floor() % 2
    ball_rgb = torch.where(
        band[:, None] > 0, torch.tensor([0.95, 0.46, 0.20]), torch.tensor([0.96, 0.90, 0.78])
    )
    ball_rgb = ball_rgb * (0.72 - 0.28 * normal[:, 1:2] - 0.1 * normal[:, 2:])
    ball = Gaussians(
        0.6 * normal,
        torch.nn.functional.normalize(torch.randn(num_ball, 4, generator=generator), dim=-1),
        0.026 * math.sqrt(2500 / num_ball) * (0.8 + 0.4 * draw(num_ball, 3)),
        torch.full((num_ball,), 0.95),
        rgb_to_harmonics(ball_rgb)[:, None],
    )

    times = torch.linspace(0, 1, num_times)
    travel = -1.5 + 3.0 * times
    roll = -(travel + 1.5) / 0.6  # about the axis away from the viewer, as if without slipping
    cosine, sine = roll.cos()[:, None], roll.sin()[:, None]
    x, y = ball.means[:, 0], ball.means[:, 1]
    place = torch.stack(
        [cosine * x + sine * y, -sine * x + cosine * y, ball.means[:, 2].expand(num_times, -1)], -1
    )
    bounce = 0.25 * (3 * math.pi * times).sin().abs()
    center = torch.stack([travel, 0.4 - bounce, torch.full_like(times, 3.2)], -1)
    moved = place + center[:, None]
    turn = torch.stack([(roll / 2).cos(), 0 * roll, 0 * roll, -(roll / 2).sin()], -1)  # in world axes
    from diff4splat.geometry import quaternion_conjugate, quaternion_multiply

    own = ball.quaternions.expand(num_times, -1, -1)
    delta = quaternion_multiply(
        quaternion_multiply(quaternion_conjugate(own), turn[:, None].expand_as(own)), own
    )
    count = world.num_gaussians

    def padded(values: torch.Tensor, rest: float = 0.0) -> torch.Tensor:
        still = values.new_zeros(num_times, count, values.shape[-1])
        still[..., 0] = rest
        return torch.cat([still, values], dim=1)

    canonical = Gaussians(
        *(
            torch.cat([getattr(world, name), getattr(ball, name)])
            for name in ("means", "quaternions", "scales", "opacities", "harmonics")
        )
    )
    return DeformableGaussianField(
        canonical,
        times,
        padded(moved - ball.means),
        padded(delta, 1.0),
        padded(0.05 * torch.sin(6 * times)[:, None, None].expand(num_times, num_ball, 3)),
        metadata={"prompt": "a ball rolls over a tiled floor", "seed": 7},
    )


def sideways(num_frames: int = 5, *, height: int = 180, width: int = 320) -> Cameras:
    """A camera that slides to the right while it looks slightly to the left."""
    pose = torch.eye(4).repeat(num_frames, 1, 1)
    part = torch.linspace(0, 1, num_frames)
    angle = -0.12 * part
    pose[:, 0, 0], pose[:, 0, 2] = angle.cos(), angle.sin()
    pose[:, 2, 0], pose[:, 2, 2] = -angle.sin(), angle.cos()
    pose[:, 0, 3] = 0.6 * part
    pose[:, 1, 3] = -0.25
    lens = torch.tensor([[0.85 * width, 0, width / 2], [0, 0.85 * width, height / 2], [0, 0, 1.0]])
    return Cameras(pose, lens.repeat(num_frames, 1, 1), height=height, width=width)
