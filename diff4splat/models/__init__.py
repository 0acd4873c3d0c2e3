"""The reconstruction model: video latents and cameras to a deformable Gaussian field."""

from diff4splat.models.assembly import map_depth, map_displacement, map_rotation
from diff4splat.models.heads import DeformationHead, GaussianHead
from diff4splat.models.ldrm import LDRM, LDRMFeatures
from diff4splat.models.tokens import LatentPoseTokens, PatchTokens

__all__ = [
    "LDRM",
    "DeformationHead",
    "GaussianHead",
    "LDRMFeatures",
    "LatentPoseTokens",
    "PatchTokens",
    "map_depth",
    "map_displacement",
    "map_rotation",
]
