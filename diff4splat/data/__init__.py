"""Data: readers of datasets, the clip of training, shards, procedural scenes with exact truth."""

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
from diff4splat.data.readers import (
    DATASETS,
    DatasetReader,
    SparsePoints,
    find_datasets,
    load_sparse_points,
    open_dataset,
)
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.data.shards import ShardClips, read_shard, shard_is_there, write_shard

__all__ = [
    "DATASETS",
    "HELD_OUT_SEEDS",
    "PATH_NAMES",
    "ClipDataset",
    "DatasetReader",
    "ProceduralFrames",
    "ProceduralScenes",
    "Recording",
    "RecordingInfo",
    "ShardClips",
    "SparsePoints",
    "check_clip",
    "find_datasets",
    "load_sparse_points",
    "make_clips",
    "object_motion",
    "open_dataset",
    "procedural_sample",
    "read_shard",
    "sample_cameras",
    "sample_scenes",
    "shard_is_there",
    "track_visibility",
    "write_shard",
]
