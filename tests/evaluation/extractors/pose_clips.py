"""Renders of a procedural scene along known paths, for pose estimators."""

from functools import cache

import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.data import sample_scenes

FRAMES = 7


@cache
def clip(name: str, *, moving: bool = False, seed: int = 7) -> tuple[torch.Tensor, Cameras, torch.Tensor]:
    """Frames, cameras, and where nothing moves by itself."""
    scene = sample_scenes([seed], static=not moving)
    cameras = turning() if name == "turning" else trajectory.by_name(name, FRAMES, height=128, width=128)
    rendered = scene.render(cameras.batch(None), torch.linspace(0, 1, FRAMES)[None], supersample=2)
    return (rendered.color[0] * 255).round().byte(), cameras, rendered.object_index[0] == 0


def turning() -> Cameras:
    """A camera that pans by ten degrees and does not move."""
    angle = torch.tensor(10.0).deg2rad()
    end = torch.eye(4)
    end[0, 0] = end[2, 2] = angle.cos()
    end[0, 2], end[2, 0] = angle.sin(), -angle.sin()
    return trajectory.keyframes([torch.eye(4), end], FRAMES, height=128, width=128)


def step_length(cameras: Cameras) -> float:
    """Mean distance of neighbours."""
    return (cameras.positions[1:] - cameras.positions[:-1]).norm(dim=-1).mean().item()
