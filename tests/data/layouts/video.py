"""Plain videos: even sides; no cameras. A recording per scene."""

from pathlib import Path

from data.layouts.files import Written, write_video
from data.layouts.scene import Scene


def write(root: Path, *scenes: Scene) -> Written:
    names = [f"a film/-clip {index}.mp4" for index in range(1, len(scenes) + 1)]
    for name, scene in zip(names, scenes, strict=True):
        write_video(root / name, scene.frames, scene.fps)
    return Written(root, dict(zip(names, scenes, strict=True)))
