"""Data: the clip that training reads, shards of them on disk, and procedural scenes with exact truth."""

from diff4splat.data.clips import ClipDataset, check_clip
from diff4splat.data.procedural import (
    HELD_OUT_SEEDS,
    PATH_NAMES,
    ProceduralFrames,
    ProceduralScenes,
    make_clips,
    object_motion,
    procedural_sample,
    sample_cameras,
    sample_scenes,
    track_visibility,
)
from diff4splat.data.shards import ShardClips, read_shard, shard_is_there, write_shard

__all__ = [
    "HELD_OUT_SEEDS",
    "PATH_NAMES",
    "ClipDataset",
    "ProceduralFrames",
    "ProceduralScenes",
    "ShardClips",
    "check_clip",
    "make_clips",
    "object_motion",
    "procedural_sample",
    "read_shard",
    "sample_cameras",
    "sample_scenes",
    "shard_is_there",
    "track_visibility",
    "write_shard",
]
