"""3D Gaussians, their colour as spherical harmonics, and their deformation over time."""

from diff4splat.gaussians.deformation import DeformableGaussianField, deform_gaussians
from diff4splat.gaussians.gaussians import Gaussians, concatenate_gaussians
from diff4splat.gaussians.harmonics import (
    evaluate_harmonics,
    harmonics_to_rgb,
    rgb_to_harmonics,
    rotate_harmonics,
)

__all__ = [
    "DeformableGaussianField",
    "Gaussians",
    "concatenate_gaussians",
    "deform_gaussians",
    "evaluate_harmonics",
    "harmonics_to_rgb",
    "rgb_to_harmonics",
    "rotate_harmonics",
]
