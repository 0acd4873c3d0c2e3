"""Several cameras that film one thing: which ones, and what all of them see at one time."""

from typing import Any

import torch

from diff4splat.cameras import Cameras
from diff4splat.data.recording_source import RecordingSource
from diff4splat.data.recordings import Recording

__all__ = ["read_views", "synchronized"]


def synchronized(source: RecordingSource, scene: str) -> list[int]:
    """The recordings of a scene: its cameras, which film the same thing frame by frame.

    Args:
        source: Recordings.
        scene: As `RecordingEntry.scene` says.

    Returns:
        Numbers in `source.entries`, ascending.

    Raises:
        ValueError: If there is no such scene.
    """
    found = [number for number, entry in enumerate(source.entries) if entry.scene == scene]
    if not found:
        raise ValueError(f"scene must be one of a recording, got {scene!r}.")
    return found


def read_views(source: RecordingSource, scene: str, frame: int) -> Recording:
    """What all cameras of a scene see at one time.

    Args:
        source: Recordings.
        scene: As `RecordingEntry.scene` says.
        frame: Which frame of each of them, counted from 0.

    Returns:
        A recording whose frames are the views, all of the same number, in the order of `synchronized`; its
        `facts["views"]` are the names of the cameras. It is static, because it shows one time. Cameras,
        depth and dynamic masks are there if all views have them; tracks are left out.

    Raises:
        ValueError: If there is no such scene or frame, the views differ in size or in the number of the
            frame, or cannot be read; names the recording.
        OSError: If files cannot be read.
    """
    numbers = synchronized(source, scene)
    entries = [source.entries[number] for number in numbers]
    views = [source.read(number, [frame]) for number in numbers]
    for entry, view in zip(entries, views, strict=True):
        if (view.height, view.width) != (views[0].height, views[0].width):
            raise ValueError(
                f"{entry.uid} must have the size of {entries[0].uid}, {views[0].height} x {views[0].width}, "
                f"got {view.height} x {view.width}."
            )
        if view.numbers != views[0].numbers:
            raise ValueError(
                f"{entry.uid} must have the frames of {entries[0].uid}, got number {view.numbers[0]} in the "
                f"place of {views[0].numbers[0]}."
            )
    kept: dict[str, Any] = {}
    for name in ("depth", "depth_mask", "dynamic_mask"):
        maps = [getattr(view, name) for view in views]
        if all(value is not None for value in maps):
            kept[name] = torch.cat(maps)
    return Recording(
        name=scene,
        dataset=views[0].dataset,
        licence=views[0].licence,
        video=torch.cat([view.video for view in views]),
        cameras=_together([view.cameras for view in views]),
        numbers=views[0].numbers * len(views),
        unit=views[0].unit,
        static=True,
        caption=views[0].caption or entries[0].caption,
        facts={"views": [entry.uid for entry in entries]},
        **kept,
    )


def _together(cameras: list[Cameras | None]) -> Cameras | None:
    known = [each for each in cameras if each is not None]
    if len(known) < len(cameras):
        return None
    poses, lenses = (
        torch.cat([getattr(each, name) for each in known]) for name in ("camera_to_world", "intrinsics")
    )
    return Cameras(poses, lenses, known[0].height, known[0].width)
