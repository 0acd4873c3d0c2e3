"""Extractors: networks, matchers and pose estimators as plug-ins, each with a spec that is printed."""

from diff4splat.evaluation.extractors.colmap_poses import ColmapMapper, ColmapPoses
from diff4splat.evaluation.extractors.flow import ClipMotion, DisFlow, FlowPreset, OpticalFlow, clip_motion
from diff4splat.evaluation.extractors.match_counts import AverageMatches, average_matches
from diff4splat.evaluation.extractors.oracle_poses import OraclePoses
from diff4splat.evaluation.extractors.protocols import (
    ClipFeatures,
    EstimatedPath,
    FrameFeatures,
    LevelLogits,
    Matcher,
    Matches,
    PoseEstimator,
    TextImageFeatures,
)
from diff4splat.evaluation.extractors.sift import SiftMatcher
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.extractors.two_view_poses import TwoViewPoses

__all__ = [
    "AverageMatches",
    "ClipFeatures",
    "ClipMotion",
    "ColmapMapper",
    "ColmapPoses",
    "DisFlow",
    "EstimatedPath",
    "ExtractorSpec",
    "FlowPreset",
    "FrameFeatures",
    "LevelLogits",
    "Matcher",
    "Matches",
    "OpticalFlow",
    "OraclePoses",
    "PoseEstimator",
    "SiftMatcher",
    "TextImageFeatures",
    "TwoViewPoses",
    "average_matches",
    "clip_motion",
]
