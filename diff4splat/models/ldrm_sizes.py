"""Arguments of `LDRM` for its named sizes, each with the latents that it reads unless a spec is given."""

from typing import Any

from diff4splat.models.latent_geometry import LatentGeometry, latent_options

__all__ = ["BASE", "COMPACT", "PAPER", "size_options"]

# Latents of CogVideoX, 16 channels of 4 x 8 x 8 in clips of 8 k + 1 frames.
PAPER: dict[str, Any] = {
    "latent_channels": 16,
    "frame_multiple": 8,
    # stated: Sec. 4.1, and the maps of T x H x W of Sec. 3.3
    "num_layers": 16,
    "embed_dim": 64,
    "every_frame": True,
    "pixel_stride": 1,
    # our reading
    "dim": 1024,
    "num_heads": 16,
    "num_key_value_heads": 4,
    "patch_size": 2,
    "head_width": 128,
    "pixel_width": 32,
    "motion_width": 64,
}

# Latents of Wan 2.1, 16 channels of 4 x 8 x 8 in clips of 4 k + 1 frames.
BASE: dict[str, Any] = {
    "latent_channels": 16,
    "dim": 512,
    "num_layers": 12,
    "head_width": 96,
    "temporal_context": 1,
    "backdrop_cells": 32,
}

# Latents of the compact backbone, 8 channels of 4 x 8 x 8: the defaults of `LDRM`.
COMPACT: dict[str, Any] = {"temporal_context": 1, "backdrop_cells": 32}


def size_options(size: dict[str, Any], spec: LatentGeometry | None) -> dict[str, Any]:
    """Arguments of a size, for the latents of a spec where one is given.

    Args:
        size: One of the sizes above.
        spec: Latents to read instead of those of the size.

    Returns:
        Arguments of the constructor, by name.
    """
    return size if spec is None else {**size, **latent_options(spec)}
