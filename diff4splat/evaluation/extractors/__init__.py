"""Extractors: networks, matchers and pose estimators as plug-ins, each with a spec that is printed."""

from diff4splat.evaluation.extractors.cache import FeatureCache, cached, frames_digest
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
from diff4splat.evaluation.extractors.seeded import (
    SeededClipFeatures,
    SeededFrameFeatures,
    SeededLevelLogits,
    SeededTextImage,
)
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = [
    "ClipFeatures",
    "EstimatedPath",
    "ExtractorSpec",
    "FeatureCache",
    "FrameFeatures",
    "FrameRatings",
    "ImageDistance",
    "LevelLogits",
    "LpipsMetric",
    "Matcher",
    "Matches",
    "PoseEstimator",
    "SeededClipFeatures",
    "SeededFrameFeatures",
    "SeededLevelLogits",
    "SeededTextImage",
    "TextImageFeatures",
    "cached",
    "frames_digest",
]
