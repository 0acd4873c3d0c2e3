"""Recordings of procedural scenes whose depth, cameras and tracks are exact."""

from functools import cache

import torch

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.data import Recording, sample_scenes
from diff4splat.geometry import project, quaternion_to_matrix, unproject

FRAMES, HEIGHT, WIDTH = 13, 107, 149


def path(num_frames: int = FRAMES) -> tuple[Cameras, torch.Tensor]:
    """A path that turns about all axes and speeds up, and what takes it to the axes of its scene."""
    time = torch.linspace(0, 1, num_frames)
    half = torch.stack(
        (torch.ones_like(time), 0.06 * time, 0.13 * time**2, 0.1 * torch.sin(2 * time)), dim=-1
    )
    poses = torch.eye(4).repeat(num_frames, 1, 1)
    poses[:, :3, :3] = quaternion_to_matrix(half / half.norm(dim=-1, keepdim=True))
    poses[:, :3, 3] = torch.stack((0.5 * time**2, -0.2 * time, 0.3 * torch.sin(3 * time)), dim=-1)
    turned = torch.eye(4)  # nothing begins at the identity
    turned[:3, :3] = quaternion_to_matrix(torch.tensor([0.9, 0.1, -0.3, 0.3]))
    turned[:3, 3] = torch.tensor([3.0, -2.0, 5.0])
    lens = field_of_view_to_intrinsics(61.0, height=HEIGHT, width=WIDTH).expand(num_frames, 3, 3)
    return Cameras(turned @ poses, lens, HEIGHT, WIDTH), torch.linalg.inv(turned)


@cache
def recording(seed: int = 3) -> Recording:
    """A scene with movers, everything known."""
    cameras, to_scene = path()
    seen_by = Cameras(to_scene @ cameras.camera_to_world, cameras.intrinsics, HEIGHT, WIDTH)
    scenes = sample_scenes([seed])
    times = torch.linspace(0, 1, FRAMES)
    frames = scenes.render(seen_by.batch(None), times, supersample=2)
    index = frames.object_index[0]
    points = unproject(frames.depth[0, 0], cameras.camera_to_world[0], cameras.intrinsics[0])
    static = (index[0] == 0).flatten().nonzero()[::101, 0]
    tracks = points.flatten(0, 1)[static][:, None].expand(-1, FRAMES, 3).clone()
    pixels, depth = project(tracks.transpose(0, 1), cameras.camera_to_world, cameras.intrinsics)
    column, row = pixels.floor().long().unbind(-1)
    inside = (depth > 0) & (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    surface = frames.depth[0][
        torch.arange(FRAMES)[:, None], row.clamp(0, HEIGHT - 1), column.clamp(0, WIDTH - 1)
    ]
    visible = inside & (depth < 1.02 * surface)
    return Recording(
        name="a/b",
        dataset="procedural",
        licence="MIT",
        video=(255 * frames.color[0]).round().to(torch.uint8),
        cameras=cameras,
        depth=frames.depth[0],
        depth_mask=torch.ones_like(index, dtype=torch.bool),
        dynamic_mask=index > 0,
        tracks=tracks,
        visible=visible.T,
        track_pixels=pixels.transpose(0, 1),
        unit="metre",
    )
