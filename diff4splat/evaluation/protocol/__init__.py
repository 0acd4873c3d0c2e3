"""The protocol on clips: what is asked of a method, its videos, what they score, and how methods compare."""

from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary
from diff4splat.evaluation.protocol.videos import (
    ClipVideo,
    find_video,
    load_clip,
    read_video,
    video_fingerprint,
    write_frames,
)

__all__ = [
    "ClipFeatureSet",
    "ClipVideo",
    "Comparison",
    "Evaluation",
    "EvaluationClip",
    "EvaluationSummary",
    "Manifest",
    "MetricComparison",
    "MetricSummary",
    "Score",
    "SetScore",
    "find_video",
    "load_clip",
    "read_video",
    "video_fingerprint",
    "write_frames",
]
