"""An endless, seeded source of small dynamic worlds with exact depth, motion and captions."""

from diff4splat.data.procedural.clips import make_clips, object_motion
from diff4splat.data.procedural.layout import HELD_OUT_SEEDS, sample_scenes
from diff4splat.data.procedural.paths import PATH_NAMES, sample_cameras
from diff4splat.data.procedural.samples import procedural_sample, track_visibility
from diff4splat.data.procedural.scenes import ProceduralFrames, ProceduralScenes

__all__ = [
    "HELD_OUT_SEEDS",
    "PATH_NAMES",
    "ProceduralFrames",
    "ProceduralScenes",
    "make_clips",
    "object_motion",
    "procedural_sample",
    "sample_cameras",
    "sample_scenes",
    "track_visibility",
]
