"""Plain layers in numpy float64, as textbooks define them; maps are `[channel, row, column]`."""

import math

import numpy as np


def part(weights, prefix):
    """Weights whose names start with a prefix, without it."""
    return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}


def linear(vectors, weight, bias=0.0):
    return vectors @ weight.T + bias


def silu(values):
    return values / (1 + np.exp(-values))


def rms_norm(vectors, gain=1.0, eps=1e-6):
    """Over the last axis."""
    return vectors / np.sqrt(np.mean(vectors**2, axis=-1, keepdims=True) + eps) * gain


def group_norm(maps, gain, bias, eps=1e-5):
    """One group: mean and variance over channels and places together."""
    centred = maps - maps.mean()
    return centred / math.sqrt(np.mean(centred**2) + eps) * gain[:, None, None] + bias[:, None, None]


def conv(maps, weight, bias, *, stride=1, mode="constant"):
    """Convolution with odd kernels and padding that keeps the size, or divides it by the stride."""
    reach = weight.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)), mode=mode)
    rows, columns = -(-maps.shape[1] // stride), -(-maps.shape[2] // stride)
    result = np.zeros((weight.shape[0], rows, columns)) + bias[:, None, None]
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = padded[:, top : top + weight.shape[2], left : left + weight.shape[3]]
            result[:, row, column] += np.sum(weight * window, axis=(1, 2, 3))
    return result


def spread(volume, weight, bias):
    """3D deconvolution whose stride is its kernel: every place `[channel, frame, row, column]` a block."""
    _, channels, depth, height, width = weight.shape
    _, frames, rows, columns = volume.shape
    result = np.zeros((channels, frames * depth, rows * height, columns * width))
    for frame, row, column in np.ndindex(frames, rows, columns):
        block = np.tensordot(volume[:, frame, row, column], weight, axes=1) + bias[:, None, None, None]
        result[
            :,
            frame * depth : (frame + 1) * depth,
            row * height : (row + 1) * height,
            column * width : (column + 1) * width,
        ] = block
    return result


def resize(maps, height, width, *, antialias=False):
    """Bilinear: weights fall linearly with the distance of pixel centres.

    With `antialias` they fall over as many pixels as a new one covers, and are normalised.
    """
    rows = _taps(maps.shape[1], height, antialias)
    columns = _taps(maps.shape[2], width, antialias)
    return np.einsum("ir,crs,js->cij", rows, maps, columns)


def _taps(size, new, antialias):
    ratio = size / new
    taps = np.zeros((new, size))
    for i in range(new):
        centre = (i + 0.5) * ratio - 0.5
        if antialias:
            taps[i] = [max(0.0, 1 - abs(j - centre) / max(ratio, 1)) for j in range(size)]
            taps[i] /= taps[i].sum()
        else:
            centre = min(max(centre, 0.0), size - 1.0)
            taps[i] = [max(0.0, 1 - abs(j - centre)) for j in range(size)]
    return taps
