"""Random camera paths for procedural scenes, one per seed, drawn as a batch."""

from collections.abc import Sequence

import torch
from einops import rearrange

from diff4splat.cameras import Cameras
from diff4splat.data.procedural.draws import Draws

__all__ = ["PATH_NAMES", "sample_cameras"]

PATH_NAMES = ("static", "forward", "backward", "upward", "downward", "spiral", "smooth")
"""Kinds of camera paths that `sample_cameras` draws from."""


def sample_cameras(
    seeds: Sequence[int],
    num_frames: int,
    *,
    height: int,
    width: int,
    max_translation: float = 0.7,
    field_of_view_deg: tuple[float, float] = (45.0, 75.0),
    static_probability: float = 0.15,
    device: torch.device | str | None = None,
) -> Cameras:
    """A random camera path per seed: static, the five of the paper, or a smooth random one.

    The camera looks at a point ahead of the first view while it moves; the first camera is the identity.

    Args:
        seeds: One per path; independent of the scene drawn from the same seed.
        num_frames: Frames of each path.
        height: Image height, pixels.
        width: Image width, pixels.
        max_translation: Largest distance from the start, scene units.
        field_of_view_deg: Range of the horizontal field of view, degrees.
        static_probability: Share of cameras that do not move.
        device: Where the tensors go; the CPU when omitted.

    Returns:
        Cameras with one batch axis.

    Raises:
        ValueError: If a count or size is below 1, or a range is not ordered.
    """
    if min(num_frames, height, width) < 1:
        raise ValueError(
            f"num_frames, height and width must be at least 1, got {num_frames}, {height}, {width}."
        )
    if not 0 < field_of_view_deg[0] <= field_of_view_deg[1] < 180:
        raise ValueError(f"field_of_view_deg must be ordered within (0, 180), got {field_of_view_deg}.")
    draws = Draws(seeds, stream=3)
    moving = (1.0 - static_probability) / (len(PATH_NAMES) - 1)
    kind = draws.choose([static_probability] + [moving] * (len(PATH_NAMES) - 1))[:, None, None]
    amplitude = draws.uniform(0.3, 1.0)[:, None, None] * max_translation
    time = torch.linspace(0.0, 1.0, num_frames)[:, None] if num_frames > 1 else torch.zeros(1, 1)
    phase, turns = draws.uniform(0.0, 2 * torch.pi), draws.uniform(0.5, 1.0)
    angle = phase[:, None, None] + 2 * torch.pi * turns[:, None, None] * time
    start = phase[:, None, None]
    circle = (
        torch.cat([torch.cos(angle) - torch.cos(start), torch.sin(angle) - torch.sin(start), 0 * angle], -1)
        * 0.5
    )
    circle = circle + torch.tensor([0.0, 0.0, 0.4]) * draws.uniform(-1.0, 1.0)[:, None, None] * time
    bend = torch.sin(torch.pi * time) * draws.uniform(-0.4, 0.4, 1, 3)
    straight = torch.nn.functional.normalize(draws.uniform(-1.0, 1.0, 1, 3) + 1e-3, dim=-1)
    offsets = {
        "static": torch.zeros_like(circle),
        "forward": torch.tensor([0.0, 0.0, 1.0]) * time,
        "backward": torch.tensor([0.0, 0.0, -1.0]) * time,
        "upward": torch.tensor([0.0, -0.7, 0.0]) * time,
        "downward": torch.tensor([0.0, 0.7, 0.0]) * time,
        "spiral": circle,
        "smooth": 0.8 * straight * time + bend,
    }
    position = torch.zeros_like(circle)
    for index, name in enumerate(PATH_NAMES):
        position = torch.where(kind == index, offsets[name] * amplitude, position)
    farthest = position.norm(dim=-1, keepdim=True).amax(1, keepdim=True)
    position = position * (max_translation / farthest.clamp_min(1e-12)).clamp(max=1.0)  # a few bend too far
    focus = torch.tensor([0.0, 0.0, 1.0]) * draws.uniform(3.0, 8.0)[:, None, None]
    wander = torch.sin(torch.pi * 0.5 * time) * draws.uniform(-0.6, 0.6, 1, 3) * (kind == len(PATH_NAMES) - 1)
    follows = draws.chance(0.8)[:, None, None]
    forward = torch.where(follows, focus + wander - position, torch.tensor([0.0, 0.0, 1.0]))
    forward = torch.nn.functional.normalize(forward, dim=-1)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]).expand_as(forward), forward, dim=-1), dim=-1
    )
    down = torch.linalg.cross(forward, right, dim=-1)
    camera_to_world = torch.eye(4).expand(len(seeds), num_frames, 4, 4).clone()
    camera_to_world[..., :3, :3] = torch.stack([right, down, forward], dim=-1)
    camera_to_world[..., :3, 3] = position
    low, high = field_of_view_deg
    focal = 0.5 * width / torch.tan(torch.deg2rad(draws.uniform(low, high)) / 2)
    intrinsics = torch.zeros(len(seeds), 3, 3)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
    intrinsics = rearrange(intrinsics, "b i j -> b 1 i j").expand(-1, num_frames, -1, -1).contiguous()
    if device is not None:
        camera_to_world, intrinsics = camera_to_world.to(device), intrinsics.to(device)
    return Cameras(camera_to_world=camera_to_world, intrinsics=intrinsics, height=height, width=width)
