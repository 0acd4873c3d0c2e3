"""Errors of a tiny autoencoder beside a large one, clip by clip in plain numpy float64."""

import numpy as np
from reference import backbones_tiny_vae


def errors(videos, latents, weights, *, patch_size, temporal_stride, variant):
    """Means over each clip: squared error of latents, absolute errors of pixels by way of either latents."""
    strides = {"patch_size": patch_size, "temporal_stride": temporal_stride}
    result = {"latent": [], "reconstruction": [], "decoding": []}
    for video, latent in zip(videos, latents, strict=True):
        encoded = backbones_tiny_vae.encode(video, weights, **strides)
        result["latent"].append(np.mean((encoded - latent) ** 2))
        for name, z in (("reconstruction", encoded), ("decoding", latent)):
            decoded = backbones_tiny_vae.decode(z, weights, **strides, variant=variant)
            result[name].append(np.mean(np.abs(decoded - video)))
    return {name: np.array(values) for name, values in result.items()}
