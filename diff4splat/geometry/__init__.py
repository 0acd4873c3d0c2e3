"""Rotations, pinhole projection, line fits: tensors in, tensors out."""

from diff4splat.geometry.line_fit import fit_line
from diff4splat.geometry.projection import (
    depth_to_distance,
    distance_to_depth,
    pixel_grid,
    pixel_rays,
    project,
    rigid_inverse,
    unproject,
    unproject_pixels,
)
from diff4splat.geometry.quaternion import (
    matrix_to_quaternion,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    quaternion_slerp,
    quaternion_to_matrix,
    quaternion_to_rotation_vector,
)

__all__ = [
    "depth_to_distance",
    "distance_to_depth",
    "fit_line",
    "matrix_to_quaternion",
    "pixel_grid",
    "pixel_rays",
    "project",
    "quaternion_conjugate",
    "quaternion_multiply",
    "quaternion_normalize",
    "quaternion_rotate",
    "quaternion_slerp",
    "quaternion_to_matrix",
    "rigid_inverse",
    "quaternion_to_rotation_vector",
    "unproject",
    "unproject_pixels",
]
