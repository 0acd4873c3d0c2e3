"""The protocol on clips: what is asked of a method, its videos, what they score, and how methods compare."""

from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.making import ClipMaker, MadeClip, PipelineMaker, Shown
from diff4splat.evaluation.protocol.manifest import EvaluationClip, Manifest
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary

__all__ = [
    "ClipFeatureSet",
    "ClipMaker",
    "Comparison",
    "Evaluation",
    "EvaluationClip",
    "EvaluationSummary",
    "MadeClip",
    "Manifest",
    "MetricComparison",
    "MetricSummary",
    "PipelineMaker",
    "Score",
    "SetScore",
    "Shown",
]
