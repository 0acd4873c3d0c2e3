"""Small clips for the tests of training."""

import torch
from torch import Tensor

from diff4splat.data import make_clips, object_motion, sample_cameras, sample_scenes
from diff4splat.geometry import unproject

SEEDS = [3, 11]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_clips() -> tuple[dict[str, Tensor], list[str]]:
    """Two clips of five frames with latents, and their captions."""
    clips, captions = make_clips(SEEDS, num_frames=5, height=32, width=32)
    clips["latents"] = torch.randn(2, 2, 3, 4, 4, generator=generator())
    return clips, captions


def exact_clips():
    """Two clips of nine frames with depth in full precision; their scenes and cameras."""
    scenes = sample_scenes(SEEDS)
    cameras = sample_cameras(SEEDS, 9, height=13, width=17, static_probability=0.0)
    times = torch.linspace(0, 1, 9)
    frames = scenes.render(cameras, times)
    clips = {
        "video": (frames.color * 255).to(torch.uint8),
        "depth": frames.depth[:, ::4],
        "object_index": frames.object_index[:, ::4],
        "object_motion": object_motion(scenes, times),
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
    }
    return clips, scenes, cameras


def with_unknown_depth(clips: dict[str, Tensor], value: float, *, share: float = 0.2) -> dict[str, Tensor]:
    """Clips whose depth is unknown at some pixels."""
    depth = clips["depth"].clone()
    depth[torch.rand(depth.shape, generator=generator(5)) < share] = value
    return {**clips, "depth": depth}


def as_tracks(clips: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same motion along tracks: one through each pixel of each key frame, hidden in the other key frames.

    Where they are hidden, tracks are NaN.
    """
    motion = clips["object_motion"]
    batch, _, num_frames = motion.shape[:3]
    points = unproject(clips["depth"].float(), clips["camera_to_world"][:, ::4], clips["intrinsics"][:, ::4])
    tracks, visible = [], []
    for key in range(points.shape[1]):
        index = clips["object_index"][:, key].long().flatten(1)
        moves = motion[torch.arange(batch)[:, None], index]  # clip, track, frame, 3, 4
        own = moves[:, :, 4 * key, None]
        start = points[:, key].flatten(1, 2)[:, :, None, :, None]
        at_zero = own[..., :3].mT @ (start - own[..., 3:])
        tracks.append((moves[..., :3] @ at_zero + moves[..., 3:])[..., 0])
        seen = torch.ones(batch, index.shape[1], num_frames, dtype=torch.bool)
        seen[:, :, ::4] = False
        seen[:, :, 4 * key] = True
        visible.append(seen)
    shown = torch.cat(visible, dim=1)
    laid = torch.cat(tracks, dim=1).where(shown[..., None], torch.nan)
    kept = {name: value for name, value in clips.items() if not name.startswith("object_")}
    return {**kept, "tracks": laid, "visible": shown}
