"""Shards of training: recordings as samples in WebDataset tars with a Parquet index, and streams of them."""

from diff4splat.data.streaming.depth_codes import DEPTH_ERROR
from diff4splat.data.streaming.recording_shards import RecordingShards
from diff4splat.data.streaming.sample import decode_sample, encode_sample, sample_words
from diff4splat.data.streaming.shards import SampleParts, index_shards, write_shards
from diff4splat.data.streaming.stream import ShuffledOrder, StreamedRecordings
from diff4splat.data.streaming.video_parts import VideoKind

__all__ = [
    "DEPTH_ERROR",
    "RecordingShards",
    "SampleParts",
    "ShuffledOrder",
    "StreamedRecordings",
    "VideoKind",
    "decode_sample",
    "encode_sample",
    "index_shards",
    "sample_words",
    "write_shards",
]
