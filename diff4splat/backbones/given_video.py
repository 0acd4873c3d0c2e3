"""A backbone without diffusion: a video that is there already, through another backbone's encoder."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones.backbone import (
    LatentSpec,
    PretrainedReference,
    VideoBackbone,
    get_backbone,
)
from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance, SampleStep

__all__ = ["GivenVideoBackbone"]


class GivenVideoBackbone(nn.Module):
    """Latents of a given video in place of generated ones, to see what a reconstructor makes of true frames.

    Wherever a backbone is asked for, this one answers with the same clip: image, prompt, steps, guidance and
    generator have no say. `Diff4SplatPipeline.reconstruct_video` needs no clip here; it gives its own.

    Args:
        encoder: Backbone whose `spec`, `encode` and `decode` are used.
        video: The clip in [0, 1]; may be set later, as the attribute `video`.

    Examples:
        >>> backbone = GivenVideoBackbone(get_backbone("compact"), torch.rand(5, 3, 32, 32))
        >>> from diff4splat.cameras import trajectory
        >>> cameras = trajectory.static(5, height=32, width=32).batch(None)
        >>> backbone.generate(torch.rand(1, 3, 32, 32), cameras).shape
        torch.Size([1, 2, 8, 4, 4])
    """

    def __init__(
        self, encoder: VideoBackbone, video: Float[Tensor, "frame rgb=3 height width"] | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.video = video
        self.reference: PretrainedReference | None = None

    @property
    def spec(self) -> LatentSpec:
        """Geometry of the encoder's latents."""
        return self.encoder.spec

    def encode(
        self, video: Float[Tensor, "batch frame rgb=3 height width"]
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of a video, by the encoder.

        Args:
            video: In [0, 1]; frames and size by the rules of `spec`.

        Returns:
            Normalised latents.
        """
        return self.encoder.encode(video)

    def decode(
        self, latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"]
    ) -> Float[Tensor, "batch frame rgb=3 height width"]:
        """Video of latents, by the encoder.

        Args:
            latents: As `encode` returns them.

        Returns:
            Video in [0, 1].
        """
        return self.encoder.decode(latents)

    @torch.no_grad()
    def generate(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        *,
        num_steps: int = 1,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Float[Tensor, "batch latent_frame channel latent_height latent_width"]:
        """Latents of the given clip, once per image of the batch.

        Args:
            image: Tells the size that the clip must have; nothing else.
            cameras: Tell the number of frames that the clip must have.
            prompt: Not used.
            num_steps: Not used.
            guidance: Not used.
            generator: Not used.
            callback: Not called: there are no steps.

        Returns:
            Normalised latents.

        Raises:
            ValueError: If there is no clip, or it has another size or number of frames.
        """
        if self.video is None:
            raise ValueError("video must be set before generate is called, got none.")
        expected = (cameras.num_frames, 3, *image.shape[-2:])
        if tuple(self.video.shape) != expected:
            raise ValueError(f"video must have shape {list(expected)}, got {list(self.video.shape)}.")
        latents = self.encode(self.video[None])
        return latents.expand(len(image), *latents.shape[1:])

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], *, encoder: str = "compact", **options: Any
    ) -> "GivenVideoBackbone":
        """Load the encoder; the video is given later.

        Args:
            name_or_path: Where the encoder's weights are: a folder or a Hub id.
            encoder: Name that the encoder is registered under.
            **options: Passed to its factory.

        Returns:
            The backbone, without a video.
        """
        return cls(get_backbone(encoder, name_or_path=name_or_path, **options))

    def to(self, *args: Any, **kwargs: Any) -> "GivenVideoBackbone":
        """Move the encoder, by its own rule where it has one.

        Args:
            *args: As for `torch.nn.Module.to`.
            **kwargs: As for `torch.nn.Module.to`.

        Returns:
            The backbone itself.
        """
        if isinstance(self.encoder, nn.Module):
            self.encoder.to(*args, **kwargs)
        return self
