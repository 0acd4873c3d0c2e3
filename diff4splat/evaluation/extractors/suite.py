"""The extractors of an evaluation: one for each purpose, or none where a number is not wanted."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, Literal, get_args

import torch

from diff4splat.evaluation.extractors.aesthetic import AestheticRatings
from diff4splat.evaluation.extractors.colmap_poses import ColmapPoses
from diff4splat.evaluation.extractors.flow import DisFlow, OpticalFlow
from diff4splat.evaluation.extractors.lpips import LpipsMetric
from diff4splat.evaluation.extractors.protocols import (
    ClipFeatures,
    FrameFeatures,
    FrameRatings,
    ImageDistance,
    LevelLogits,
    Matcher,
    PoseEstimator,
    TextImageFeatures,
)
from diff4splat.evaluation.extractors.registry import load_extractor
from diff4splat.evaluation.extractors.seeded import (
    SeededClipFeatures,
    SeededFrameFeatures,
    SeededLevelLogits,
    SeededTextImage,
)
from diff4splat.evaluation.extractors.sift import SiftMatcher
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.extractors.two_view_poses import TwoViewPoses
from diff4splat.evaluation.metrics.quality import AestheticHead

__all__ = ["NETWORKS", "ExtractorSuite", "PoseChoice", "default_suite"]

PoseChoice = Literal["auto", "colmap", "two-view", "none"]
"""How cameras of clips are found."""


@dataclass(frozen=True, eq=False)
class ExtractorSuite:
    """What clips are measured with; what is None is left out of the report, with that reason.

    Args:
        clips: Features of clips, for FVD and KVD.
        subject: Features of frames, for subject consistency.
        background: Features of frames, for background consistency.
        prompts: Features of frames and prompts, for the CLIP-Score.
        beauty: Ratings of frames, for CLIP-Aesthetic.
        levels: Words of a language model, for QA-Quality.
        matcher: Points that two frames share, for the average matches.
        flow: Optical flow, for the dynamic degree.
        poses: Cameras of clips, for relative pose errors.
        distance: Distance of images, for LPIPS.
    """

    clips: ClipFeatures | None = None
    subject: FrameFeatures | None = None
    background: FrameFeatures | None = None
    prompts: TextImageFeatures | None = None
    beauty: FrameRatings | None = None
    levels: LevelLogits | None = None
    matcher: Matcher | None = None
    flow: OpticalFlow | None = None
    poses: PoseEstimator | None = None
    distance: ImageDistance | None = None

    def specs(self) -> dict[str, ExtractorSpec]:
        """Specs of all extractors that there are, by their keys.

        Returns:
            One spec per key.
        """
        found = (getattr(self, part.name) for part in fields(self))
        return {one.spec.key: one.spec for one in found if one is not None}


NETWORKS = {
    "i3d": "clips",
    "dino": "subject",
    "clip-background": "background",
    "clip": "prompts",
    "aesthetic": "beauty",
    "q-align": "levels",
    "lpips": "distance",
}
"""Kinds of trained networks that a suite takes, and the place that each has in it."""


def default_suite(
    *,
    networks: Mapping[str, str] | None = None,
    poses: PoseChoice = "auto",
    untrained: Literal["where they mean something", "everywhere"] = "where they mean something",
    device: torch.device | str = "cpu",
) -> ExtractorSuite:
    """Extractors that need no weights, and the trained networks that are named.

    Networks drawn from a seed stand in for I3D, DINO and the CLIP of backgrounds: distances between their
    features do compare methods. Prompts, beauty, quality and LPIPS are left out without trained networks.

    Args:
        networks: Sources by kind: file, folder or Hub id, see `EXTRACTORS`; empty for the default one. Also
            "lpips": "alex", "vgg", or a file with the weights of AlexNet.
        poses: How cameras of clips are found. "auto" is COLMAP where pycolmap is installed, two views
            elsewhere.
        untrained: "everywhere" lets drawn networks also stand in where their numbers mean nothing, to try
            that all of it works.
        device: Where networks run.

    Returns:
        The suite.

    Raises:
        ValueError: If a kind or an option is unknown, or weights are those of another network.
        FileNotFoundError: If weights are missing; says where to get them.
        ModuleNotFoundError: If a package is missing.
    """
    if poses not in get_args(PoseChoice):
        raise ValueError(f"poses must be one of {', '.join(get_args(PoseChoice))}, got {poses!r}.")
    networks = networks or {}
    if unknown := sorted(networks.keys() - NETWORKS.keys()):
        raise ValueError(f"networks must be of {', '.join(NETWORKS)}, got {unknown[0]!r}.")
    found: dict[str, Any] = {
        "clips": SeededClipFeatures(),
        "subject": SeededFrameFeatures(0),
        "background": SeededFrameFeatures(1),
        "matcher": SiftMatcher(),
        "flow": DisFlow(),
        "poses": _pose_estimator(poses),
    }
    if untrained == "everywhere":
        found |= {"prompts": SeededTextImage(), "levels": SeededLevelLogits()}
        found |= {"distance": LpipsMetric(seed=0), "beauty": _drawn_ratings()}
    for kind, source in networks.items():
        found[NETWORKS[kind]] = _load(kind, source, device)
    return ExtractorSuite(**found)


def _load(kind: str, source: str, device: torch.device | str) -> Any:
    if kind != "lpips":
        return load_extractor(kind, source or None, device=device)
    if source == "vgg":
        return LpipsMetric("vgg", device=device)
    return LpipsMetric("alex", weights=None if source in ("", "alex") else source, device=device)


def _pose_estimator(choice: PoseChoice) -> PoseEstimator | None:
    if choice == "auto":
        choice = "colmap" if find_spec("pycolmap") else "two-view"
    if choice == "none":
        return None
    return ColmapPoses() if choice == "colmap" else TwoViewPoses()


def _drawn_ratings() -> AestheticRatings:
    """A head drawn from a seed on embeddings drawn from a seed."""
    embeddings = SeededFrameFeatures(2)
    width = embeddings(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape[1]
    weight = torch.randn(width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    spec = ExtractorSpec("untrained head", "one affine map", "normalised features", "seed 2", trained=False)
    return AestheticRatings(embeddings, AestheticHead(weight, 5.0), spec)
