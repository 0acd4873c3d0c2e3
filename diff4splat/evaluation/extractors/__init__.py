"""Extractors: networks, matchers and pose estimators as plug-ins, each with a spec that is printed."""

from diff4splat.evaluation.extractors.aesthetic import (
    AestheticRatings,
    load_aesthetic_head,
    load_aesthetic_ratings,
)
from diff4splat.evaluation.extractors.cache import FeatureCache, cached, frames_digest
from diff4splat.evaluation.extractors.cards import EXTRACTORS, ExtractorCard
from diff4splat.evaluation.extractors.clip import ClipEmbeddings, background_embeddings
from diff4splat.evaluation.extractors.colmap_poses import ColmapMapper, ColmapPoses
from diff4splat.evaluation.extractors.dino import DinoFeatures
from diff4splat.evaluation.extractors.flow import ClipMotion, DisFlow, FlowPreset, OpticalFlow, clip_motion
from diff4splat.evaluation.extractors.i3d import I3DFeatures
from diff4splat.evaluation.extractors.lpips import LpipsMetric
from diff4splat.evaluation.extractors.match_counts import AverageMatches, average_matches
from diff4splat.evaluation.extractors.oracle_poses import OraclePoses
from diff4splat.evaluation.extractors.preparing import (
    CLIP_PREPARATION,
    DINO_PREPARATION,
    I3D_PREPARATION,
    Fit,
    FramePreparation,
)
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
from diff4splat.evaluation.extractors.q_align import QAlignLevels
from diff4splat.evaluation.extractors.registry import extractor_table, load_extractor
from diff4splat.evaluation.extractors.seeded import (
    SeededClipFeatures,
    SeededFrameFeatures,
    SeededLevelLogits,
    SeededTextImage,
)
from diff4splat.evaluation.extractors.sift import SiftMatcher
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.extractors.suite import NETWORKS, ExtractorSuite, PoseChoice, default_suite
from diff4splat.evaluation.extractors.two_view_poses import TwoViewPoses

__all__ = [
    "AestheticRatings",
    "AverageMatches",
    "CLIP_PREPARATION",
    "ClipEmbeddings",
    "ClipFeatures",
    "ClipMotion",
    "ColmapMapper",
    "ColmapPoses",
    "DINO_PREPARATION",
    "DinoFeatures",
    "DisFlow",
    "EXTRACTORS",
    "EstimatedPath",
    "ExtractorCard",
    "ExtractorSpec",
    "ExtractorSuite",
    "FeatureCache",
    "Fit",
    "FlowPreset",
    "FrameFeatures",
    "FramePreparation",
    "FrameRatings",
    "I3DFeatures",
    "I3D_PREPARATION",
    "ImageDistance",
    "LevelLogits",
    "LpipsMetric",
    "Matcher",
    "Matches",
    "NETWORKS",
    "OpticalFlow",
    "OraclePoses",
    "PoseChoice",
    "PoseEstimator",
    "QAlignLevels",
    "SeededClipFeatures",
    "SeededFrameFeatures",
    "SeededLevelLogits",
    "SeededTextImage",
    "SiftMatcher",
    "TextImageFeatures",
    "TwoViewPoses",
    "average_matches",
    "background_embeddings",
    "cached",
    "clip_motion",
    "default_suite",
    "extractor_table",
    "frames_digest",
    "load_aesthetic_head",
    "load_aesthetic_ratings",
    "load_extractor",
]
