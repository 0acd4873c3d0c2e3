"""The protocol on clips: what is asked of a method, its videos, what they score, and how methods compare."""

from diff4splat.evaluation.protocol.cautions import cautions
from diff4splat.evaluation.protocol.comparing import compare
from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.images import manifest_of_images
from diff4splat.evaluation.protocol.making import ClipMaker, MadeClip, PipelineMaker, Shown
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.paths import PAPER_TRAJECTORIES, loop, protocol_cameras
from diff4splat.evaluation.protocol.procedural import write_procedural_protocol
from diff4splat.evaluation.protocol.score_files import SavedEvaluation, load_evaluation, save_evaluation
from diff4splat.evaluation.protocol.score_groups import ScoreGroup, clip_scenes, score_groups
from diff4splat.evaluation.protocol.score_log import ScoredClip, ScoreLog
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary, summarize
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
    "ClipMaker",
    "ClipVideo",
    "Comparison",
    "Evaluation",
    "EvaluationClip",
    "EvaluationSummary",
    "MadeClip",
    "Manifest",
    "MetricComparison",
    "MetricSummary",
    "PipelineMaker",
    "PAPER_TRAJECTORIES",
    "SavedEvaluation",
    "Score",
    "ScoreLog",
    "ScoredClip",
    "SetScore",
    "Shown",
    "find_video",
    "load_clip",
    "load_evaluation",
    "loop",
    "manifest_of_images",
    "protocol_cameras",
    "read_video",
    "save_evaluation",
    "video_fingerprint",
    "write_frames",
    "write_procedural_protocol",
    "ScoreGroup",
    "SetScore",
    "cautions",
    "clip_scenes",
    "compare",
    "score_groups",
    "summarize",
]
