"""The causal video autoencoder on one clip in plain numpy float64; a clip is a list of maps."""

import numpy as np
from reference.layers import conv, part, silu


def channel_norm(maps, gain):
    return maps / np.sqrt(np.mean(maps**2, axis=0) + 1e-6) * gain


def convolve(maps, weights, **options):
    return conv(maps, weights["weight"], weights["bias"], **options)


def before(clip, index):
    """A frame and the two before it on channels; the first frame stands for those before it."""
    return np.concatenate([clip[max(index - back, 0)] for back in (2, 1, 0)])


def frame_block(clip, weights):
    result = []
    for maps in clip:
        inner = silu(channel_norm(maps, weights["layers.0.gain"]))
        inner = convolve(inner, part(weights, "layers.2."))
        inner = silu(channel_norm(inner, weights["layers.3.gain"]))
        result.append(maps + convolve(inner, part(weights, "layers.5.")))
    return result


def causal_block(clip, weights):
    result = []
    for index, maps in enumerate(clip):
        inner = channel_norm(before(clip, index), weights["time.0.gain"])
        inner = silu(convolve(inner, part(weights, "time.1.")))
        result.append(maps + convolve(inner, part(weights, "space.")))
    return result


def half(clip, weights):
    """y_i = x_2i + W [x_{2i-2}; x_{2i-1}; x_2i]."""
    indices = range(0, len(clip), 2)
    return [clip[i] + convolve(before(clip, i), part(weights, "mix.")) for i in indices]


def double(clip, weights):
    """Two frames from each and the one before it; the first of all is dropped."""
    result = []
    for index, maps in enumerate(clip):
        pair = np.concatenate((clip[max(index - 1, 0)], maps))
        first, second = np.split(convolve(pair, part(weights, "split.")), 2)
        result += [first + maps, second + maps]
    return result[1:]


def unshuffle(maps, side):
    """Pixels of a square on channels, rows before columns, channel by channel."""
    channels, height, width = maps.shape
    result = np.zeros((channels * side**2, height // side, width // side))
    for c, i, j in np.ndindex(channels, side, side):
        result[c * side**2 + i * side + j] = maps[c, i::side, j::side]
    return result


def shuffle(maps, side):
    channels, height, width = len(maps) // side**2, maps.shape[1] * side, maps.shape[2] * side
    result = np.zeros((channels, height, width))
    for c, i, j in np.ndindex(channels, side, side):
        result[c, i::side, j::side] = maps[c * side**2 + i * side + j]
    return result


BLOCKS = {"frame": frame_block, "causal": causal_block, "half": half, "double": double}


def chain(clip, weights, prefix, kinds):
    for index, kind in enumerate(kinds):
        clip = BLOCKS[kind](clip, part(weights, f"{prefix}.{index}."))
    return clip


def posterior(video, weights, num_blocks):
    """Mean and log-variance, limited to [-20, 4]; video in [0, 1]."""
    weights = part(weights, "encoder.")
    clip = [convolve(unshuffle(2 * f - 1, 4), part(weights, "fine.0.layer.1.")) for f in video]
    for index in range(1, num_blocks + 1):
        clip = frame_block(clip, part(weights, f"fine.{index}."))
    clip = [convolve(maps, part(weights, "down.layer."), stride=2) for maps in clip]
    kinds = ["causal", "half", *["causal"] * (num_blocks - 1), "half", *["causal"] * num_blocks]
    clip = chain(clip, weights, "coarse", kinds)
    both = np.array([convolve(maps, part(weights, "output.layer.")) for maps in clip])
    channels = both.shape[1] // 2
    return both[:, :channels], np.clip(both[:, channels:], -20, 4)


def encode(video, weights, num_blocks):
    mean, _ = posterior(video, weights, num_blocks)
    return (mean - weights["latent_mean"][:, None, None]) / weights["latent_std"][:, None, None]


def decode(latents, weights, num_blocks):
    raw = latents * weights["latent_std"][:, None, None] + weights["latent_mean"][:, None, None]
    weights = part(weights, "decoder.")
    clip = [convolve(maps, part(weights, "input.layer.")) for maps in raw]
    run = ["causal"] * num_blocks
    clip = chain(clip, weights, "coarse", [*run, "double", *run, "double", "causal"])
    clip = [shuffle(convolve(maps, part(weights, "up.layer.0.")), 2) for maps in clip]
    clip = chain(clip, weights, "fine", ["frame"] * (num_blocks + 1))
    output = part(weights, "output.layer.")
    clip = [convolve(silu(channel_norm(maps, output["0.gain"])), part(output, "2.")) for maps in clip]
    return np.array([(shuffle(maps, 4) + 1) / 2 for maps in clip])
