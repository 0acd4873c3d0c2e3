"""Extractors: networks, matchers and pose estimators as plug-ins, each with a spec that is printed."""

from diff4splat.evaluation.extractors.lpips import LpipsMetric
from diff4splat.evaluation.extractors.protocols import (
    ClipFeatures,
    EstimatedPath,
    FrameFeatures,
    FrameRatings,
    ImageDistance,
    LevelLogits,
    Matcher,
    Matches,
    PoseEstimator,
    TextImageFeatures,
)
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = [
    "ClipFeatures",
    "EstimatedPath",
    "ExtractorSpec",
    "FrameFeatures",
    "FrameRatings",
    "ImageDistance",
    "LevelLogits",
    "LpipsMetric",
    "Matcher",
    "Matches",
    "PoseEstimator",
    "TextImageFeatures",
]
