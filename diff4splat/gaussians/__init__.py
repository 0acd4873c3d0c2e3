"""3D Gaussians, their colour as spherical harmonics, and their deformation over time."""

from diff4splat.gaussians.deformation import deform_gaussians
from diff4splat.gaussians.deltas import (
    Deltas,
    compose_deltas,
    deltas_between,
    interpolate_deltas,
    invert_deltas,
)
from diff4splat.gaussians.field import DeformableGaussianField
from diff4splat.gaussians.gaussians import Gaussians, concatenate_gaussians
from diff4splat.gaussians.harmonics import (
    evaluate_harmonics,
    harmonics_to_rgb,
    rgb_to_harmonics,
    rotate_harmonics,
)
from diff4splat.gaussians.velocity import GaussianVelocities, gaussian_velocities

__all__ = [
    "DeformableGaussianField",
    "Deltas",
    "GaussianVelocities",
    "Gaussians",
    "compose_deltas",
    "concatenate_gaussians",
    "deform_gaussians",
    "deltas_between",
    "evaluate_harmonics",
    "gaussian_velocities",
    "harmonics_to_rgb",
    "interpolate_deltas",
    "invert_deltas",
    "rgb_to_harmonics",
    "rotate_harmonics",
]
