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
from diff4splat.evaluation.protocol.scores import REAL_CLIPS, ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.evaluation.protocol.scoring import score_references, score_videos
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary, summarize
from diff4splat.evaluation.protocol.video_folder import METHOD_FILE, MethodFacts, make_videos, read_method
from diff4splat.evaluation.protocol.videos import (
    ClipVideo,
    find_video,
    load_clip,
    read_video,
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
    "METHOD_FILE",
    "MadeClip",
    "Manifest",
    "MethodFacts",
    "MetricComparison",
    "MetricSummary",
    "PAPER_TRAJECTORIES",
    "PipelineMaker",
    "REAL_CLIPS",
    "SavedEvaluation",
    "Score",
    "ScoreGroup",
    "ScoreLog",
    "ScoredClip",
    "SetScore",
    "Shown",
    "cautions",
    "clip_scenes",
    "compare",
    "find_video",
    "load_clip",
    "load_evaluation",
    "loop",
    "make_videos",
    "manifest_of_images",
    "protocol_cameras",
    "read_method",
    "read_video",
    "save_evaluation",
    "score_groups",
    "score_references",
    "score_videos",
    "summarize",
    "write_frames",
    "write_procedural_protocol",
]
