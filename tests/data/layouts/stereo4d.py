"""Stereo4D with its rectified videos: even sides, square pixels, a centred lens that shows 60 degrees across.

No depth; tracks are known where they are seen only. A recording per scene.
"""

from pathlib import Path

import numpy as np
from data.layouts.files import Written, write_video
from data.layouts.scene import Scene

CLIPS = ("-MwZrkhQ0ck_130030030", "_bcdefghijk_7")  # names of videos may begin with a dash


def write(root: Path, *scenes: Scene) -> Written:
    (root / "npz").mkdir(parents=True)
    found = {}
    for clip, scene in zip(CLIPS, scenes, strict=False):
        np.savez(root / "npz" / f"{clip}.npz", **arrays(scene, clip))
        write_video(root / "processed" / clip / f"{clip}-left_rectified.mp4", scene.frames, scene.fps)
        found[f"npz/{clip}"] = scene
    return Written(root, found)


def arrays(scene: Scene, clip: str = CLIPS[0]) -> dict[str, np.ndarray]:
    """What the npz holds; rows of every second track go backwards, for any order is allowed."""
    seen = [np.flatnonzero(track)[:: 1 - 2 * (key % 2)] for key, track in enumerate(scene.visible.T)]
    places = [scene.points[frames, track] for track, frames in enumerate(seen)]
    start = int(clip.rsplit("_", 1)[1])
    return {
        "name": np.array(clip),
        "video_id": np.array(clip[:11]),
        "timestamps": start + np.round(np.arange(scene.num_frames) * 1e6 / scene.fps).astype(np.int64),
        "camera2world": scene.camera_to_world[:, :3],
        "track_lengths": np.array([len(frames) for frames in seen]),
        "track_indices": np.concatenate([*seen, []]).astype(np.int64),
        "track_coordinates": np.concatenate([*places, np.zeros((0, 3))]),
        "rectified2rig": np.stack([np.eye(3), np.eye(3)]),
        "fov_bounds": np.array([-90.0, 90.0, -90.0, 90.0]),
    }
