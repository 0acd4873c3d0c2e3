"""What the pipeline asks of a model that turns video latents into a scene."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["Reconstructor"]


@runtime_checkable
class Reconstructor(Protocol):
    """What turns video latents into a scene: `LDRM`, or anything with the same call."""

    def __call__(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "batch rgb=3 height width"] | None = None,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """Batched field in the frame of the first camera, with a budget of `max_gaussians`.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`.
            image: First frame in [0, 1], at any size; what it shows may be finer than the latents.
            times: Ascending times in [0, 1] to store deltas at; those of the frames when omitted.
            max_gaussians: Budget, which the first frame may fill; no limit when omitted.

        Returns:
            Field with one batch axis, in the world of `cameras`.
        """
        ...
