"""Data: procedural dynamic scenes with exact ground truth."""

from diff4splat.data.procedural import (
    HELD_OUT_SEEDS,
    PATH_NAMES,
    ProceduralFrames,
    ProceduralScenes,
    procedural_sample,
    sample_cameras,
    sample_scenes,
    track_visibility,
)

__all__ = [
    "HELD_OUT_SEEDS",
    "PATH_NAMES",
    "ProceduralFrames",
    "ProceduralScenes",
    "procedural_sample",
    "sample_cameras",
    "sample_scenes",
    "track_visibility",
]
