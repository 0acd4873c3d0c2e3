"""Gaussian map and deformation map of one sample in plain numpy float64, frame by frame."""

import numpy as np
from reference.layers import conv, group_norm, linear, part, resize, rms_norm, silu, spread
from reference.transformer_attention import sinusoidal


def residual(maps, weights):
    """x + c2(silu(c1(silu(x))))."""
    inner = conv(silu(maps), weights["layers.1.weight"], weights["layers.1.bias"])
    return maps + conv(silu(inner), weights["layers.3.weight"], weights["layers.3.bias"])


def gaussian_head(tokens, image, weights, *, temporal_upsampling=1):
    """Tokens `[frame, row, column, dim]` to raw maps and pixel features `[frame, channel, row, column]`."""
    normed = rms_norm(tokens, weights["token_norm.weight"]).transpose(3, 0, 1, 2)
    volume = spread(normed, weights["coarse.weight"], weights["coarse.bias"])
    index = 0
    while f"further.{index}.weight" in weights:
        volume = spread(silu(volume), weights[f"further.{index}.weight"], weights[f"further.{index}.bias"])
        index += 1
    # Latent frame 0 stands for one pixel frame, the last of its block.
    volume = volume[:, temporal_upsampling - 1 :]
    maps, features = [], []
    for frame in range(volume.shape[1]):
        refined = volume[:, frame]
        for index in (0, 1):
            refined = residual(refined, part(weights, f"refine.{index}."))
        pixels = spread(refined[:, None], weights["fine.weight"], weights["fine.bias"])[:, 0]
        if frame == 0:
            known = np.zeros((4, *pixels.shape[1:]))
            if image is not None:
                known = np.concatenate((image - 0.5, np.ones((1, *pixels.shape[1:]))))
            seen = silu(conv(known, weights["image.0.weight"], weights["image.0.bias"]))
            pixels = pixels + conv(seen, weights["image_mix.weight"], weights["image_mix.bias"])
        feature = silu(conv(silu(pixels), weights["pixel.1.weight"], weights["pixel.1.bias"]))
        features.append(feature)
        maps.append(conv(feature, weights["output.weight"], weights["output.bias"]))
    return np.array(maps), np.array(features)


def deformation_head(levels, pixels, times, frame_times, weights, *, time_dim=64):
    """`[time, frame, 10, row, column]`: (t - t_k) times a fusion of all depths from coarse to fine."""
    maps = []
    for time in times:
        for frame, own in enumerate(frame_times):
            codes = [sinusoidal(value, time_dim, 1000.0, 30.0) for value in (time, time - own)]
            code = silu(linear(np.concatenate(codes), weights["time.0.weight"], weights["time.0.bias"]))
            fused = None
            for index in reversed(range(len(levels))):
                normed = rms_norm(levels[index][frame], weights[f"norms.{index}.weight"])
                projected = linear(
                    normed, weights[f"projections.{index}.weight"], weights[f"projections.{index}.bias"]
                ).transpose(2, 0, 1)
                # The shallowest depth at four times the tokens' resolution, then 2, 1, 1/2.
                factor = (4, 2, 1, 0.5)[index]
                size = [max(int(side * factor), 1) for side in projected.shape[1:]]
                grid = resize(projected, *size)
                both = linear(
                    code, weights[f"modulations.{index}.weight"], weights[f"modulations.{index}.bias"]
                )
                scale, shift = both.reshape(2, -1, 1, 1)
                grid = (1 + scale) * grid + shift
                if fused is not None:
                    grid = grid + resize(fused, *size)
                fused = residual(grid, part(weights, f"fusions.{index}."))
            coarse = conv(fused, weights["fused_features.weight"], weights["fused_features.bias"])
            detail = conv(pixels[frame], weights["pixel_features.weight"], weights["pixel_features.bias"])
            total = resize(coarse, *pixels.shape[-2:]) + detail
            normed = group_norm(total, weights["output_norm.weight"], weights["output_norm.bias"])
            raw = conv(silu(normed), weights["output.weight"], weights["output.bias"])
            maps.append((time - own) * raw)
    return np.array(maps).reshape(len(times), len(frame_times), 10, *pixels.shape[-2:])
