"""The protocol on clips: what is asked of a method, its videos, what they score, and how methods compare."""

from diff4splat.evaluation.protocol.cautions import cautions
from diff4splat.evaluation.protocol.comparing import compare
from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.score_groups import ScoreGroup, clip_scenes, score_groups
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary, summarize

__all__ = [
    "ClipFeatureSet",
    "Comparison",
    "Evaluation",
    "EvaluationClip",
    "EvaluationSummary",
    "Manifest",
    "MetricComparison",
    "MetricSummary",
    "Score",
    "ScoreGroup",
    "SetScore",
    "cautions",
    "clip_scenes",
    "compare",
    "score_groups",
    "summarize",
]
