"""Data: readers of datasets, metric depth, the clip of training, shards, procedural scenes of known truth."""

from diff4splat.data.clips import ClipDataset, check_clip
from diff4splat.data.metric_depth import (
    AlignmentMethod,
    AlignmentSpace,
    Anchors,
    DepthAlignment,
    align_recording,
    anchors_from_masks,
    anchors_from_points,
    apply_alignment,
    check_on_map,
    fit_scale_and_shift,
    mask_medians,
    metric_scale,
)
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
from diff4splat.data.readers import DATASETS, DatasetReader, find_datasets, open_dataset
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.data.shards import ShardClips, read_shard, shard_is_there, write_shard

__all__ = [
    "AlignmentMethod",
    "AlignmentSpace",
    "Anchors",
    "DepthAlignment",
    "align_recording",
    "anchors_from_masks",
    "anchors_from_points",
    "apply_alignment",
    "check_on_map",
    "fit_scale_and_shift",
    "mask_medians",
    "metric_scale",
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
    "check_clip",
    "find_datasets",
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
