"""Plücker rays packed onto a latent grid, several pixel frames to a latent frame."""

from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras.cameras import Cameras
from diff4splat.cameras.packing import pack_frames
from diff4splat.cameras.plucker import plucker_rays

__all__ = ["latent_rays"]


def latent_rays(
    cameras: Cameras, *, height: int, width: int, temporal_stride: int
) -> Float[Tensor, "*batch latent_frame packed height width"]:
    """Plücker rays through the centres of latents, the frames of a latent stacked on channels.

    Latent frame 0 stands for pixel frame 0 alone, latent frame j for the s frames that end at j s (s is
    `temporal_stride`); frame 0 is repeated s times so that every latent has 6 s channels, frame-major.

    Args:
        cameras: One camera per pixel frame; k s + 1 frames.
        height: Latent rows.
        width: Latent columns.
        temporal_stride: Pixel frames per latent frame.

    Returns:
        Packed rays, k + 1 latent frames, moments in scene units.

    Raises:
        ValueError: If the number of frames does not fit the stride, or a size is below 1.
    """
    if temporal_stride < 1:
        raise ValueError(f"temporal_stride must be at least 1, got {temporal_stride}.")
    if (cameras.num_frames - 1) % temporal_stride:
        raise ValueError(
            f"cameras must have k * {temporal_stride} + 1 frames for temporal_stride={temporal_stride}, "
            f"got {cameras.num_frames}."
        )
    return pack_frames(plucker_rays(cameras.resize(height, width)), temporal_stride=temporal_stride)
