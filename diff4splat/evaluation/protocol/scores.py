"""Numbers per clip and per set of clips: the primary result, from which tables are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["CAPABILITIES", "FEATURELESS", "REAL_CLIPS", "ClipFeatureSet", "Evaluation", "Score", "SetScore"]

REAL_CLIPS = "real clips"
"""Name under which real clips are scored like a method; reports do not rank them."""

CAPABILITIES: dict[str, str] = {
    "novel_view_synthesis": "Novel view synthesis",
    "depth_rasterization": "Depth rasterization",
    "geometry_extraction": "Geometry extraction",
    "real_time_interaction": "Real-time interaction",
}
"""What a method can or cannot be used for, by key, in words; published tables say "yes" or "no"."""

FEATURELESS = "clips without features"
"""Fact with the reason for each clip of which a network gave no features that can be used."""


@dataclass(frozen=True)
class Score:
    """One number of one clip.

    Args:
        clip: Name of the clip.
        scene: Its scene.
        trajectory: Its path.
        metric: Key of `METRICS`.
        value: The number; NaN if it could not be measured.
        extractor: Key of the spec that it was measured with; empty where none is needed.
        problem: Why there is no number, in words; empty if there is one.
    """

    clip: str
    scene: str
    trajectory: str
    metric: str
    value: float
    extractor: str = ""
    problem: str = ""


@dataclass(frozen=True)
class SetScore:
    """One number of a whole set of clips.

    Args:
        metric: Key of `METRICS`.
        value: The number; NaN if it could not be measured.
        count: Clips that it is made from.
        reference_count: Real clips that they are compared with; 0 where there is no such set.
        extractor: Key of the spec; empty where none is needed.
        problem: Why there is no number, in words; empty if there is one.
    """

    metric: str
    value: float
    count: int
    reference_count: int = 0
    extractor: str = ""
    problem: str = ""


@dataclass(frozen=True, eq=False)
class ClipFeatureSet:
    """Features of clips, by which sets are compared.

    Args:
        clips: Names of the clips.
        features: One vector per clip.
    """

    clips: tuple[str, ...]
    features: Float[Tensor, "clip feature"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that was measured of a method.

    Args:
        method: Its name.
        manifest: Fingerprint of the manifest whose clips were asked for.
        clips: Names of these clips.
        scores: Numbers per clip.
        set_scores: Numbers of the whole set.
        extractors: Specs by key.
        features: Clip features of the method by key of their spec.
        references: The same of the real clips.
        facts: What else a reader should know, JSON values: model, machine, versions, settings.
    """

    method: str
    manifest: str
    clips: tuple[str, ...]
    scores: tuple[Score, ...]
    set_scores: tuple[SetScore, ...] = ()
    extractors: Mapping[str, ExtractorSpec] = field(default_factory=dict)
    features: Mapping[str, ClipFeatureSet] = field(default_factory=dict)
    references: Mapping[str, ClipFeatureSet] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
