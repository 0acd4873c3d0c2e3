"""The reconstruction model: video latents and cameras to a deformable Gaussian field."""

from diff4splat.models.assembly import (
    assemble_field,
    map_depth,
    map_displacement,
    map_rotation,
    seen_before,
)
from diff4splat.models.backdrop import append_static, backdrop_gaussians
from diff4splat.models.cost import MemoryEstimate, count_flops, estimate_memory
from diff4splat.models.deformation_head import DeformationHead
from diff4splat.models.gaussian_head import GaussianHead
from diff4splat.models.latent_geometry import LatentGeometry
from diff4splat.models.layout import GuidedSampler, Layout, adaptive_layout, pixel_layout
from diff4splat.models.ldrm import LDRM
from diff4splat.models.ldrm_features import LDRMFeatures
from diff4splat.models.tokens import LatentPoseTokens, PatchTokens

__all__ = [
    "LDRM",
    "DeformationHead",
    "GaussianHead",
    "GuidedSampler",
    "LDRMFeatures",
    "LatentGeometry",
    "LatentPoseTokens",
    "Layout",
    "MemoryEstimate",
    "PatchTokens",
    "adaptive_layout",
    "append_static",
    "assemble_field",
    "backdrop_gaussians",
    "count_flops",
    "estimate_memory",
    "map_depth",
    "map_displacement",
    "map_rotation",
    "pixel_layout",
    "seen_before",
]
