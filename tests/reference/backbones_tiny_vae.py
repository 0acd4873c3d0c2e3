"""The tiny video autoencoder on one clip in plain numpy float64, frame by frame; a clip is a list of maps.

Layers, numbered as in github.com/madebyollin/taehv: memory blocks see a frame and the one before it.
"""

import numpy as np
from reference.layers import conv, part


def convolve(maps, weights, **options):
    return conv(maps, weights["weight"], weights.get("bias", np.zeros(len(weights["weight"]))), **options)


def relu(maps):
    return np.maximum(maps, 0)


def with_before(clip):
    """Each frame with the one before it on channels; zeros before the first."""
    return [np.concatenate((maps, clip[i - 1] if i else 0 * maps)) for i, maps in enumerate(clip)]


def memory_block(clip, weights):
    result = []
    for maps, both in zip(clip, with_before(clip), strict=True):
        inner = relu(convolve(both, part(weights, "conv.0.")))
        inner = relu(convolve(inner, part(weights, "conv.2.")))
        result.append(relu(maps + convolve(inner, part(weights, "conv.4."))))
    return result


def wide_memory_block(clip, weights):
    result = []
    for maps, both in zip(clip, with_before(clip), strict=True):
        kernels = weights["conv.0.weight"]
        inner = np.concatenate(
            [conv(both[c : c + 1], kernels[c : c + 1], np.zeros(1)) for c in range(len(both))]
        )
        inner = relu(convolve(inner, part(weights, "conv.1.")))
        result.append(maps + convolve(inner, part(weights, "conv.3.")))
    return result


def merge(clip, weights):
    """One frame from as many as the kernel has room for."""
    stride = weights["conv.weight"].shape[1] // len(clip[0])
    groups = [np.concatenate(clip[i : i + stride]) for i in range(0, len(clip), stride)]
    return [convolve(group, part(weights, "conv.")) for group in groups]


def split(clip, weights):
    """As many frames from one as the kernel gives."""
    stride = weights["conv.weight"].shape[0] // len(clip[0])
    return [frame for maps in clip for frame in np.split(convolve(maps, part(weights, "conv.")), stride)]


def double(maps):
    return maps.repeat(2, axis=1).repeat(2, axis=2)


def fold(maps, side):
    """Pixels of a square on channels, rows before columns, channel by channel."""
    channels, height, width = maps.shape
    result = np.zeros((channels * side**2, height // side, width // side))
    for c, i, j in np.ndindex(channels, side, side):
        result[c * side**2 + i * side + j] = maps[c, i::side, j::side]
    return result


def unfold(maps, side):
    channels, height, width = maps.shape
    result = np.zeros((channels // side**2, height * side, width * side))
    for c, i, j in np.ndindex(len(result), side, side):
        result[c, i::side, j::side] = maps[c * side**2 + i * side + j]
    return result


def encode(video, weights, *, patch_size, temporal_stride):
    """Latents of the frames of a clip; the last frame stands for those beyond the end."""
    clip = [fold(maps, patch_size) for maps in (*video, *[video[-1]] * (temporal_stride - 1))]
    clip = [relu(convolve(maps, part(weights, "encoder.0."))) for maps in clip]
    for start in (2, 7, 12):
        clip = merge(clip, part(weights, f"encoder.{start}."))
        clip = [convolve(maps, part(weights, f"encoder.{start + 1}."), stride=2) for maps in clip]
        for place in range(start + 2, start + 5):
            clip = memory_block(clip, part(weights, f"encoder.{place}."))
    return np.stack([convolve(maps, part(weights, "encoder.17.")) for maps in clip])


def decode(latents, weights, *, patch_size, temporal_stride, variant):
    """Frames of latents, colours not limited; those before the first are left out."""
    if variant == "super":
        clip = [convolve(maps, part(weights, "decoder.0.")) for maps in latents]
        for start in (1, 8, 15):
            for place in range(start, start + 3):
                clip = wide_memory_block(clip, part(weights, f"decoder.{place}."))
            clip = [relu(convolve(maps, part(weights, f"decoder.{start + 3}."))) for maps in clip]
            clip = split([unfold(maps, 2) for maps in clip], part(weights, f"decoder.{start + 6}."))
    else:
        limited = [3 * np.tanh(maps / 3) for maps in latents]
        clip = [relu(convolve(maps, part(weights, "decoder.1."))) for maps in limited]
        for start in (3, 9, 15):
            for place in range(start, start + 3):
                clip = memory_block(clip, part(weights, f"decoder.{place}."))
            clip = split([double(maps) for maps in clip], part(weights, f"decoder.{start + 4}."))
            clip = [convolve(maps, part(weights, f"decoder.{start + 5}.")) for maps in clip]
        clip = [relu(maps) for maps in clip]
    clip = [unfold(convolve(maps, part(weights, "decoder.22.")), patch_size) for maps in clip]
    return np.stack(clip[temporal_stride - 1 :])
