"""Pinhole cameras over time: the struct, camera paths, Plücker rays and camera files."""

from diff4splat.cameras import trajectory
from diff4splat.cameras.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.cameras.describe import PathDescription, describe_path
from diff4splat.cameras.files import load_cameras, save_cameras
from diff4splat.cameras.latent_grid import latent_rays
from diff4splat.cameras.packing import pack_frames, pool_maps, unshuffle_pixels
from diff4splat.cameras.plucker import PluckerEmbedding, plucker_rays
from diff4splat.cameras.poses import pose_maps, pose_vectors
from diff4splat.cameras.retime import retime_path

__all__ = [
    "Cameras",
    "PathDescription",
    "PluckerEmbedding",
    "describe_path",
    "field_of_view_to_intrinsics",
    "latent_rays",
    "load_cameras",
    "pack_frames",
    "plucker_rays",
    "pool_maps",
    "pose_maps",
    "pose_vectors",
    "retime_path",
    "save_cameras",
    "trajectory",
    "unshuffle_pixels",
]
