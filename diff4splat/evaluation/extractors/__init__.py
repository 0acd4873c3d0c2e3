"""Extractors: networks, matchers and pose estimators as plug-ins, each with a spec that is printed."""

from diff4splat.evaluation.extractors.aesthetic import (
    AestheticRatings,
    AestheticWeights,
    load_aesthetic_ratings,
    load_aesthetic_weights,
)
from diff4splat.evaluation.extractors.cards import EXTRACTORS, ExtractorCard
from diff4splat.evaluation.extractors.clip import ClipEmbeddings, background_embeddings
from diff4splat.evaluation.extractors.dino import DinoFeatures
from diff4splat.evaluation.extractors.i3d import I3DFeatures
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
    LevelLogits,
    Matcher,
    Matches,
    PoseEstimator,
    TextImageFeatures,
)
from diff4splat.evaluation.extractors.q_align import QAlignLevels
from diff4splat.evaluation.extractors.registry import extractor_table, load_extractor
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = [
    "AestheticRatings",
    "AestheticWeights",
    "CLIP_PREPARATION",
    "ClipEmbeddings",
    "ClipFeatures",
    "DINO_PREPARATION",
    "DinoFeatures",
    "EXTRACTORS",
    "EstimatedPath",
    "ExtractorCard",
    "ExtractorSpec",
    "Fit",
    "FrameFeatures",
    "FramePreparation",
    "I3DFeatures",
    "I3D_PREPARATION",
    "LevelLogits",
    "Matcher",
    "Matches",
    "PoseEstimator",
    "QAlignLevels",
    "TextImageFeatures",
    "background_embeddings",
    "extractor_table",
    "load_aesthetic_ratings",
    "load_aesthetic_weights",
    "load_extractor",
]
