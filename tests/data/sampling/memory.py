"""Recordings in memory, of a world that is known, and a source that notes what is read of them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from diff4splat.cameras import Cameras
from diff4splat.data import Recording, RecordingInfo, procedural_sample
from diff4splat.data.recording_source import RecordingEntry
from diff4splat.geometry import project, unproject


class MemorySource:
    """Recordings by name; `asked` holds which frames of which recording were read."""

    def __init__(self, recordings: Sequence[Recording], scenes: Sequence[str] | None = None) -> None:
        self.recordings = list(recordings)
        self.asked: list[tuple[int, list[int] | None]] = []
        scenes = [recording.name for recording in recordings] if scenes is None else scenes
        self.entries = [
            RecordingEntry(
                recording.name, recording.dataset, recording.licence, info(recording), scene, recording.static
            )
            for recording, scene in zip(recordings, scenes, strict=True)
        ]

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        self.asked.append((index, None if frames is None else list(frames)))
        return self.recordings[index] if frames is None else self.recordings[index].select(list(frames))


def info(recording: Recording) -> RecordingInfo:
    kinds = ("cameras", "depth", "dynamic_mask", "tracks")
    holds = frozenset(kind for kind in kinds if getattr(recording, kind) is not None)
    frames, height, width = recording.num_frames, recording.height, recording.width
    return RecordingInfo(recording.name, frames, height, width, recording.fps, holds, recording.unit)


def procedural_recording(seed: int = 3, num_frames: int = 9, size: tuple[int, int] = (22, 34)) -> Recording:
    """Things move in it; its tracks start in frame 0."""
    sample = procedural_sample(
        seed,
        num_frames=num_frames,
        height=size[0],
        width=size[1],
        num_tracks=61,
        camera_options={"static_probability": 0.0},
    )
    return Recording(
        name=f"scene-{seed}",
        dataset="procedural",
        licence="MIT",
        video=(sample["video"][0] * 255).to(torch.uint8),
        cameras=Cameras(sample["camera_to_world"][0], sample["intrinsics"][0], *size),
        depth=sample["depth"][0],
        depth_mask=sample["depth"][0] > 0,
        dynamic_mask=sample["object_index"][0] > 0,
        tracks=sample["tracks"][0].transpose(0, 1),
        visible=sample["track_visibility"][0].T,
        caption=sample["caption"][0],
    )


def wall(
    name: str = "wall",
    *,
    num_frames: int = 13,
    height: int = 33,
    width: int = 51,
    shift: float = 0.1,
    dataset: str = "none",
    side: float = 0.0,
) -> Recording:
    """A slanted wall, z = 5 + 0.3 x + 0.1 y, that fills the view of a camera moving right and ahead.

    Colours say where on the wall a pixel lies: red is 20 x + 130, green 20 y + 130, blue ten times the frame.
    The camera stands `side` beside its path; its world is moved and turned.
    """
    poses = torch.eye(4, dtype=torch.float64).repeat(num_frames, 1, 1)
    time = torch.arange(num_frames, dtype=torch.float64)
    poses[:, 0, 3], poses[:, 2, 3] = side + shift * time, 0.5 * shift * time
    lens = torch.tensor([[50.0, 0, 24], [0, 47.0, 17.5], [0, 0, 1]]).double().repeat(num_frames, 1, 1)
    flat = torch.ones(num_frames, height, width, dtype=torch.float64)
    rays = unproject(flat, torch.eye(4, dtype=torch.float64).expand_as(poses), lens)
    start = poses[:, None, None, :3, 3]
    slope = torch.tensor([-0.3, -0.1, 1.0], dtype=torch.float64)
    depth = (5 - (start * slope).sum(-1)) / (rays * slope).sum(-1)
    points = rays * depth[..., None] + start
    color = (20 * points[..., :2] + 130).clamp(0, 255)
    blue = (10 * time)[:, None, None].expand(-1, height, width)
    places = torch.tensor(
        [[x, y, 5 + 0.3 * x + 0.1 * y] for x in (-1.5, -0.2, 1.3) for y in (-1.1, 0.4, 1.2)]
    )
    pixels, _ = project(places.double().expand(num_frames, -1, -1), poses, lens)
    inside = ((pixels >= 0) & (pixels < torch.tensor([width, height]))).all(-1)
    recording = Recording(
        name=name,
        dataset=dataset,
        licence="MIT",
        video=torch.stack((color[..., 0], color[..., 1], blue), dim=1).round().to(torch.uint8),
        cameras=Cameras(poses, lens, height, width),
        depth=depth.float(),
        depth_mask=torch.ones_like(depth, dtype=torch.bool),
        tracks=places[:, None].repeat(1, num_frames, 1),
        visible=inside.T.contiguous(),
        track_pixels=pixels.transpose(0, 1).float(),
        static=True,
        caption=f"a view of {name}",
    )
    return moved(recording)


def moved(recording: Recording) -> Recording:
    """The same in another world frame, turned by 0.6 about y and shifted."""
    cos, sin = torch.cos(torch.tensor(0.6)).double(), torch.sin(torch.tensor(0.6)).double()
    move = torch.eye(4, dtype=torch.float64)
    move[0, 0], move[0, 2], move[2, 0], move[2, 2] = cos, sin, -sin, cos
    move[:3, 3] = torch.tensor([7.0, -2.0, 3.0])
    cameras = recording.cameras
    tracks = recording.tracks.double() @ move[:3, :3].T + move[:3, 3]
    poses = move @ cameras.camera_to_world.double()
    return replace(
        recording, cameras=replace(cameras, camera_to_world=poses.to(cameras.dtype)), tracks=tracks.float()
    )
