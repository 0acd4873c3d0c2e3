"""Recordings of known content for tests of files: everything that a recording can hold, drawn from a seed."""

import numpy as np
import torch
from data.readers.wall import camera_to_world

from diff4splat.cameras import Cameras
from diff4splat.data import Recording

FRAMES, HEIGHT, WIDTH, TRACKS = 7, 22, 38, 11


def full(seed: int = 0, *, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> Recording:
    """A recording with everything; unknown values are NaN, which must survive as they are."""
    draw = np.random.default_rng(seed)
    depth = draw.uniform(0.2, 90, (frames, height, width)).astype(np.float32)
    depth_mask = draw.random(depth.shape) > 0.25
    depth[~depth_mask] = np.nan
    tracks = draw.normal(size=(TRACKS, frames, 3)).astype(np.float32)
    visible = draw.random((TRACKS, frames)) > 0.5
    visible[3], visible[4, 0] = False, True
    tracks[~visible] = np.nan
    lenses = np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1))
    lenses[:, 0, 0], lenses[:, 1, 1] = draw.uniform(30, 40, (2, frames))
    lenses[:, :2, 2] = width / 2 + 0.25, height / 2 - 0.5
    poses = np.stack([camera_to_world(index) for index in range(frames)]).astype(np.float32)
    return Recording(
        name=f"scene {seed}/-left",
        dataset="spring",
        licence="CC-BY-4.0",
        video=torch.from_numpy(draw.integers(0, 256, (frames, 3, height, width), dtype=np.uint8)),
        cameras=Cameras(torch.from_numpy(poses), torch.from_numpy(lenses), height, width),
        depth=torch.from_numpy(depth),
        depth_mask=torch.from_numpy(depth_mask),
        dynamic_mask=torch.from_numpy(draw.random(depth.shape) > 0.75),
        tracks=torch.from_numpy(tracks),
        visible=torch.from_numpy(visible),
        track_pixels=torch.from_numpy(draw.uniform(0, width, (TRACKS, frames, 2)).astype(np.float32)),
        numbers=tuple(10 + 3 * index for index in range(frames)),
        fps=30000 / 1001,
        unit="metre",
        caption="Zwei Bären, \u718a, \U0001f43b",
        facts={"scale": {"s": 0.1, "anchors": [1, 2]}, "note": None},
    )


def smooth(seed: int = 0, *, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A video without noise, `[frame, rgb, height, width]`: slopes that move, as codecs like them."""
    time, _, row, column = np.meshgrid(
        np.arange(frames), np.arange(3), np.arange(height), np.arange(width), indexing="ij"
    )
    waves = 128 + 80 * np.sin(0.09 * row + 0.05 * column + 0.3 * time + seed)
    return waves.round().astype(np.uint8)


def same(one: Recording, other: Recording) -> None:
    """Assert that two recordings are the same in every bit, NaN included."""
    for name in ("name", "dataset", "licence", "numbers", "fps", "unit", "static", "caption", "facts"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("video", "depth", "depth_mask", "dynamic_mask", "tracks", "visible", "track_pixels"):
        same_bits(getattr(one, name), getattr(other, name), name)
    assert (one.cameras is None) == (other.cameras is None)
    if one.cameras is not None and other.cameras is not None:
        same_bits(one.cameras.camera_to_world, other.cameras.camera_to_world, "camera_to_world")
        same_bits(one.cameras.intrinsics, other.cameras.intrinsics, "intrinsics")


def same_bits(one: torch.Tensor | None, other: torch.Tensor | None, name: str = "") -> None:
    if one is None or other is None:
        assert one is other, name
        return
    assert (one.dtype, one.shape) == (other.dtype, other.shape), name
    assert one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes(), name
