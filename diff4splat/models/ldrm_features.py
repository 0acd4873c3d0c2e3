"""What the reconstruction model computes once per clip, whatever target times are asked for later."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = ["LDRMFeatures"]


@dataclass(frozen=True)
class LDRMFeatures:
    """What the Transformer makes of latents and cameras; every target time is decoded from it.

    Args:
        gaussian_map: Raw Gaussian map, channels as in `GaussianHead`.
        pixels: Pixel features shared by the two heads.
        levels: Token grids of several depths.
        frame_times: Times of the frames that carry Gaussians.
        cameras: Cameras of these frames, relative to the first.
        origin: Pose of the first camera in the user's world.
    """

    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"]
    pixels: Float[Tensor, "batch map_frame pixel_width height width"]
    levels: tuple[Tensor, ...]
    frame_times: Float[Tensor, "batch map_frame"]
    cameras: Cameras
    origin: Float[Tensor, "batch 4 4"]

    def select(self, clips: slice) -> "LDRMFeatures":
        """Features of some clips of the batch.

        Args:
            clips: Slice of the batch axis.

        Returns:
            Views of the tensors.
        """
        return LDRMFeatures(
            gaussian_map=self.gaussian_map[clips],
            pixels=self.pixels[clips],
            levels=tuple(level[clips] for level in self.levels),
            frame_times=self.frame_times[clips],
            cameras=self.cameras.batch(clips),
            origin=self.origin[clips],
        )
