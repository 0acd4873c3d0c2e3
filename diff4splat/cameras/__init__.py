"""Pinhole cameras over time: the struct, camera paths, Plücker rays and camera files."""

from diff4splat.cameras import trajectory
from diff4splat.cameras.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.cameras.files import load_cameras, save_cameras
from diff4splat.cameras.latent_grid import latent_rays
from diff4splat.cameras.plucker import PluckerEmbedding, plucker_rays

__all__ = [
    "Cameras",
    "PluckerEmbedding",
    "field_of_view_to_intrinsics",
    "latent_rays",
    "load_cameras",
    "plucker_rays",
    "save_cameras",
    "trajectory",
]
