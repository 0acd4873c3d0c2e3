"""Where world positions are in the frames."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import project

__all__ = ["seen_places"]

_NEAREST = 1e-6


def seen_places(
    positions: Float[Tensor, "frame track xyz=3"], cameras: Cameras
) -> tuple[Float[Tensor, "frame track xy=2"], Float[Tensor, "frame track"], Bool[Tensor, "frame track"]]:
    """Pixels and depth of world positions, and which of them a camera can see.

    Args:
        positions: World coordinates, scene units.
        cameras: One per frame.

    Returns:
        Pixels and z-depth in float64, and whether the point is before the camera and inside the image. Pixels
        are the centre of the first one where the point is not before the camera.
    """
    pixels, z = project(positions.double(), cameras.camera_to_world.double(), cameras.intrinsics.double())
    ahead = (z > _NEAREST) & torch.isfinite(pixels).all(-1)
    pixels = torch.where(ahead[..., None], pixels, 0.5)
    size = pixels.new_tensor([cameras.width, cameras.height])
    return pixels, z, ahead & (pixels >= 0).all(-1) & (pixels < size).all(-1)
