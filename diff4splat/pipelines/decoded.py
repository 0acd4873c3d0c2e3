"""Reconstructors that read frames, behind a video model that gives latents."""

from typing import Any, Protocol, runtime_checkable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones import PretrainedReference
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["DecodedReconstructor", "VideoDecoder", "VideoReconstructor"]


@runtime_checkable
class VideoDecoder(Protocol):
    """What turns latents into frames: any `VideoBackbone`, or a small decoder for the same latents."""

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """Video in [0, 1] of normalised latents.

        Args:
            latents: As the video model returns them.

        Returns:
            Video in [0, 1].
        """
        ...


@runtime_checkable
class VideoReconstructor(Protocol):
    """What turns frames into a scene: `MoVieSReconstructor`, or anything with the same call."""

    def __call__(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        cameras: Cameras,
        *,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """Batched field of a clip.

        Args:
            video: Frames in [0, 1].
            cameras: One camera per frame, batch axis as in `video`.
            times: Ascending times in [0, 1] to store deltas at; those of the frames when omitted.
            max_gaussians: Budget; no limit when omitted.

        Returns:
            Field with one batch axis, in the world of `cameras`.
        """
        ...


class DecodedReconstructor(nn.Module):
    """A `Reconstructor` that decodes the latents first: any video model in front of one that reads frames.

    The first frame is replaced by the photograph where there is one, resized to the clip: it shows what the
    decoder blurs. The decoder is often the backbone of the same pipeline, so it is no submodule: its weights
    are neither counted nor saved here, but `to` moves it along.

    Args:
        decoder: Turns latents into frames; a `VideoBackbone`, or a `TinyVideoVAE` for the same latents, which
            is far smaller.
        reconstructor: Turns frames and their cameras into a field.
    """

    decoder: VideoDecoder

    def __init__(self, decoder: VideoDecoder, reconstructor: VideoReconstructor) -> None:
        super().__init__()
        object.__setattr__(self, "decoder", decoder)
        self.reconstructor = reconstructor

    @property
    def reference(self) -> PretrainedReference | None:
        """Where the reconstructor was loaded from; None where that is not known."""
        return getattr(self.reconstructor, "reference", None)

    def forward(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """The field of a clip whose latents are given.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`.
            image: First frame in [0, 1], at any size.
            times: Ascending times in [0, 1] to store deltas at; those of the frames when omitted.
            max_gaussians: Budget; no limit when omitted.

        Returns:
            Field with one batch axis, in the world of `cameras`.
        """
        video = self.decoder.decode(latents).float()
        if image is not None:
            first = F.interpolate(
                image.to(video), size=video.shape[-2:], mode="bilinear", antialias=True, align_corners=False
            )
            video = video.clone()
            video[:, 0] = first
        return self.reconstructor(video, cameras, times=times, max_gaussians=max_gaussians)

    def to(self, *args: Any, **kwargs: Any) -> "DecodedReconstructor":
        """Move the reconstructor, and the decoder by its own rule.

        Args:
            *args: As for `torch.nn.Module.to`.
            **kwargs: As for `torch.nn.Module.to`.

        Returns:
            The reconstructor itself.
        """
        for part in (self.decoder, self.reconstructor):
            if isinstance(part, nn.Module):
                part.to(*args, **kwargs)
        return self
