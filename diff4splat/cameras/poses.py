"""Cameras as plain numbers, without rays: the alternative that the paper compares Plücker rays with."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras.cameras import Cameras

__all__ = ["pose_maps", "pose_vectors"]


def pose_vectors(cameras: Cameras) -> Float[Tensor, "*batch frame pose=12"]:
    """Twelve numbers per camera: the rotation matrix, row by row, then the translation.

    Source: Diff4Splat, supplement, "Impact of Pose Encoding". The paper does not say of which transform: they
    are of `camera_to_world` here. Intrinsics do not enter.

    Args:
        cameras: Cameras of any batch shape; values flow through differentiably.

    Returns:
        Rotation (entries 0 to 8) and camera centre in scene units (entries 9 to 11).
    """
    rotation = rearrange(cameras.camera_to_world[..., :3, :3], "... i j -> ... (i j)")
    return torch.cat((rotation, cameras.positions), dim=-1)


def pose_maps(
    cameras: Cameras, *, height: int, width: int
) -> Float[Tensor, "*batch frame pose=12 {height} {width}"]:
    """The twelve numbers of each camera at every place of a grid, to stand where `plucker_rays` would.

    Args:
        cameras: Cameras of any batch shape.
        height: Rows of the grid.
        width: Columns of the grid.

    Returns:
        Constant maps; views of one vector per camera, do not write to them.

    Raises:
        ValueError: If a size is below 1.
    """
    for name, value in (("height", height), ("width", width)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    vectors = pose_vectors(cameras)
    return vectors[..., None, None].expand(*vectors.shape, height, width)
