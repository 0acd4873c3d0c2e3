"""Editing of a moving scene: choose Gaussians by masks, change where, when and how they move, join scenes."""

from diff4splat.editing.box import gaussians_in_box
from diff4splat.editing.clusters import small_clusters
from diff4splat.editing.deltas_at import deltas_at
from diff4splat.editing.floaters import floaters
from diff4splat.editing.freeze import freeze
from diff4splat.editing.image_mask import gaussians_in_mask
from diff4splat.editing.isolation import isolated_gaussians
from diff4splat.editing.merge import merge_fields
from diff4splat.editing.motion import scale_motion
from diff4splat.editing.moving import moving_gaussians, travel_distances
from diff4splat.editing.near_cameras import gaussians_near_cameras
from diff4splat.editing.needles import needles
from diff4splat.editing.neighbors import nearest_neighbors
from diff4splat.editing.resample import resample_times
from diff4splat.editing.retime import retime
from diff4splat.editing.scale_space import convert_scale_space
from diff4splat.editing.similarity import similarity_matrix, transform_cameras
from diff4splat.editing.transform_part import transform_part

__all__ = [
    "convert_scale_space",
    "deltas_at",
    "floaters",
    "freeze",
    "gaussians_in_box",
    "gaussians_in_mask",
    "gaussians_near_cameras",
    "isolated_gaussians",
    "merge_fields",
    "moving_gaussians",
    "nearest_neighbors",
    "needles",
    "resample_times",
    "retime",
    "scale_motion",
    "similarity_matrix",
    "small_clusters",
    "transform_cameras",
    "transform_part",
    "travel_distances",
]
