"""What the reconstruction model needs to know of a video model: how frames and pixels map to latents."""

from typing import Any, Protocol, runtime_checkable

__all__ = ["LatentGeometry"]

_TOKEN_PIXELS = 16


@runtime_checkable
class LatentGeometry(Protocol):
    """Anything with these four attributes, for instance a `diff4splat.backbones.LatentSpec`."""

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        ...

    @property
    def temporal_stride(self) -> int:
        """Pixel frames per latent frame after the first, which stands for one pixel frame alone."""
        ...

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent side."""
        ...

    @property
    def frame_multiple(self) -> int | None:
        """The m of the frame rule: clips have m k + 1 pixel frames; the temporal stride when None."""
        ...


def latent_options(spec: LatentGeometry) -> dict[str, Any]:
    """Options of `LDRM` that follow from the latents it reads.

    A token covers 16 x 16 pixels where the spatial stride divides 16, and one latent where it is larger: 2 x
    2 latents of CogVideoX, one latent of Wan 2.2 or LTX-Video.

    Args:
        spec: Geometry of the latents.

    Returns:
        Arguments of the constructor, by name.
    """
    return {
        "latent_channels": spec.channels,
        "temporal_stride": spec.temporal_stride,
        "spatial_stride": spec.spatial_stride,
        "patch_size": max(1, _TOKEN_PIXELS // spec.spatial_stride),
        "frame_multiple": spec.frame_multiple,
    }
