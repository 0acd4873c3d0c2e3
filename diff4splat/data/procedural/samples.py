"""Training samples from procedural scenes: video, cameras, depth, objects, tracks and captions at once."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.procedural.draws import seed_keys, white_noise
from diff4splat.data.procedural.layout import sample_scenes
from diff4splat.data.procedural.paths import sample_cameras
from diff4splat.data.procedural.scenes import ProceduralFrames
from diff4splat.geometry import project, unproject

__all__ = ["procedural_sample", "track_visibility"]


def track_visibility(
    tracks: Float[Tensor, "batch frame track xyz=3"],
    cameras: Cameras,
    frames: ProceduralFrames,
    *,
    tolerance: float = 0.02,
) -> Bool[Tensor, "batch frame track"]:
    """Whether each tracked point is seen in each frame: inside the image and not behind something.

    Args:
        tracks: World positions, one per frame.
        cameras: The cameras of the frames.
        frames: Rendered depth.
        tolerance: Share of the depth by which a point may lie behind the rendered surface.

    Returns:
        True where visible.
    """
    pixels, depth = project(tracks, cameras.camera_to_world, cameras.intrinsics)
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height) & (depth > 1e-3)
    index = row.clamp(0, cameras.height - 1) * cameras.width + column.clamp(0, cameras.width - 1)
    surface = frames.depth.flatten(-2).gather(-1, index)
    return inside & (depth <= surface * (1 + tolerance) + 0.01)


def procedural_sample(
    seeds: int | Sequence[int],
    *,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    num_tracks: int = 256,
    supersample: int = 1,
    device: torch.device | str | None = None,
    scene_options: dict[str, Any] | None = None,
    camera_options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Samples for training or evaluation, one per seed.

    Args:
        seeds: One seed (the batch axis is kept, of size 1) or several.
        num_frames: Frames, at times evenly spaced over [0, 1].
        height: Image height, pixels.
        width: Image width, pixels.
        num_tracks: Tracked points, half of them on moving objects where frame 0 shows any; at most two per
            pixel of frame 0.
        supersample: See `ProceduralScenes.render`.
        device: Where to draw and render; the CPU when omitted.
        scene_options: Passed on to `sample_scenes`.
        camera_options: Passed on to `sample_cameras`.

    Returns:
        `video` [batch frame 3 height width] in [0, 1]; `camera_to_world` [batch frame 4 4] and `intrinsics`
        [batch frame 3 3]; `times` [batch frame]; `depth` [batch frame height width], z-depth; `object_index`
        [batch frame height width]; `tracks` [batch frame track 3], world positions of points seen in frame 0;
        `track_object` [batch track]; `track_visibility` [batch frame track]; `main_direction` [batch 3];
        `caption`, a tuple of strings; and the `scenes` and `cameras` objects themselves.

    Raises:
        ValueError: If a seed, a size or an option is out of range.

    Examples:
        >>> sample = procedural_sample([7, 8], num_frames=2, height=16, width=24)
        >>> sample["video"].shape
        torch.Size([2, 2, 3, 16, 24])
    """
    seeds = [seeds] if isinstance(seeds, int) else list(seeds)
    scenes = sample_scenes(seeds, device=device, **(scene_options or {}))
    cameras = sample_cameras(
        seeds, num_frames, height=height, width=width, device=device, **(camera_options or {})
    )
    time = torch.linspace(0.0, 1.0, num_frames, device=scenes.device) if num_frames > 1 else torch.zeros(1)
    times = time.to(scenes.device).expand(len(seeds), -1)
    frames = scenes.render(cameras, times, supersample=supersample)

    # pick the pixels of frame 0 with the largest random keys; for half of the picks, movers get a head start
    keys = white_noise(seed_keys(seeds, stream=4).to(scenes.device), height * width)
    index = frames.object_index[:, 0].flatten(1)
    moving = (keys + (index > 0)).topk(min(num_tracks // 2, height * width), dim=1).indices
    anywhere = (-keys).topk(min(num_tracks - num_tracks // 2, height * width), dim=1).indices
    chosen = torch.cat([moving, anywhere], dim=1)
    points = unproject(frames.depth[:, 0], cameras.camera_to_world[:, 0], cameras.intrinsics[:, 0]).flatten(
        1, 2
    )
    points = points.gather(1, chosen[..., None].expand(-1, -1, 3))
    track_object = index.gather(1, chosen)
    tracks = scenes.trajectories(points, track_object, times[:, 0], times)
    return {
        "video": frames.color,
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
        "times": times,
        "depth": frames.depth,
        "object_index": frames.object_index,
        "tracks": tracks,
        "track_object": track_object,
        "track_visibility": track_visibility(tracks, cameras, frames),
        "main_direction": scenes.main_direction,
        "caption": scenes.captions,
        "scenes": scenes,
        "cameras": cameras,
    }
