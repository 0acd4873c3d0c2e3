"""Camera features of video tokens by loops in float64, one token at a time."""

import numpy as np
from reference.layers import conv, linear, part, silu


def plucker_adapter(rays, weights, temporal_stride, spatial_stride, patch, temporal_patch):
    """`rays` [frame, 6, height, width] -> features [embed, token frame, row, column]."""
    step = spatial_stride
    latents = []
    for latent in range((len(rays) - 1) // temporal_stride + 1):
        frames = _frames_of(latent, temporal_stride)
        cells = np.zeros((6 * temporal_stride * step**2, rays.shape[2] // step, rays.shape[3] // step))
        for row, column in np.ndindex(cells.shape[1:]):
            block = [
                rays[frame, channel, row * step + i, column * step + j]
                for frame in frames
                for channel in range(6)
                for i in range(step)
                for j in range(step)
            ]
            cells[:, row, column] = block
        latents.append(cells)
    while len(latents) % temporal_patch:
        latents.insert(0, latents[0])
    tokens = []
    for start in range(0, len(latents), temporal_patch):
        cells = np.concatenate(latents[start : start + temporal_patch])
        read = weights["read.weight"][:, :, 0, 0]
        hidden = np.zeros((len(read), *cells.shape[1:]))
        for row, column in np.ndindex(cells.shape[1:]):
            hidden[:, row, column] = linear(cells[:, row, column], read, weights["read.bias"])
        hidden = hidden + conv(silu(hidden), weights["mix.weight"], weights["mix.bias"])
        tokens.append(
            _patches(silu(hidden), weights["write.weight"], patch) + weights["write.bias"][:, None, None]
        )
    return np.stack(tokens, axis=1)


def plucker_concatenation(rays, latents, weights, patch_weight, patch_bias, strides, patch):
    """Noisy latents [channel, frame, row, column] and camera latents joined, read by a widened embedding."""
    temporal_stride, step = strides
    camera = np.zeros((len(weights["embed.bias"]), *latents.shape[1:]))
    for latent, row, column in np.ndindex(latents.shape[1:]):
        for slot, frame in enumerate(_frames_of(latent, temporal_stride)):
            window = rays[frame, :, row * step : (row + 1) * step, column * step : (column + 1) * step]
            kernel = weights["embed.weight"][:, :, slot]
            camera[:, latent, row, column] += np.sum(kernel * window, axis=(1, 2, 3))
        camera[:, latent, row, column] += weights["embed.bias"]
    camera = (camera - camera.mean()) / np.sqrt(camera.var() + 1e-5)
    camera = camera * weights["norm.weight"][:, None, None, None] + weights["norm.bias"][:, None, None, None]
    joined = np.concatenate((latents, camera))
    widened = np.concatenate((patch_weight, weights["write.weight"]), axis=1)
    frames = [_patches(joined[:, frame], widened[:, :, 0], patch) for frame in range(joined.shape[1])]
    return np.stack(frames, axis=1) + patch_bias[:, None, None, None]


def _frames_of(latent, stride):
    """Latent 0 stands for frame 0, repeated; latent j for the frames (j - 1) stride + 1 to j stride."""
    return [max(0, (latent - 1) * stride + 1 + slot) for slot in range(stride)]


def _patches(maps, weight, patch):
    rows, columns = maps.shape[1] // patch, maps.shape[2] // patch
    tokens = np.zeros((len(weight), rows, columns))
    for row, column in np.ndindex(rows, columns):
        window = maps[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        tokens[:, row, column] = np.sum(weight * window, axis=(1, 2, 3))
    return tokens


def denoising_loss(clean, noise, time, predict, known, alphas_cumprod=None, steps=1000):
    """Mean squared error over the values of one clip that are not known, flow or v-prediction."""
    index = min(int(time * steps), steps - 1)
    total, count = 0.0, 0
    if alphas_cumprod is None:
        signal, spread, timestep = 1 - time, time, time * steps
    else:
        signal, spread, timestep = alphas_cumprod[index] ** 0.5, (1 - alphas_cumprod[index]) ** 0.5, index
    noisy = np.where(known, clean, signal * clean + spread * noise)
    prediction = predict(noisy, timestep)
    for place in np.ndindex(clean.shape):
        if known[place]:
            continue
        if alphas_cumprod is None:
            target = noise[place] - clean[place]
        else:
            target = signal * noise[place] - spread * clean[place]
        total, count = total + (prediction[place] - target) ** 2, count + 1
    return total / count


def fun_control_adapter(rays, weights, temporal_stride, spatial_stride, patch):
    """Channels of a pixel in the order coordinate, frame of the latent; then blocks of pixels on channels."""
    step = spatial_stride
    tokens = []
    for latent in range((len(rays) - 1) // temporal_stride + 1):
        frames = _frames_of(latent, temporal_stride)
        cells = np.zeros((6 * temporal_stride * step**2, rays.shape[2] // step, rays.shape[3] // step))
        for row, column in np.ndindex(cells.shape[1:]):
            cells[:, row, column] = [
                rays[frame, channel, row * step + i, column * step + j]
                for channel in range(6)
                for frame in frames
                for i in range(step)
                for j in range(step)
            ]
        hidden = _patches(cells, weights["conv.weight"], patch) + weights["conv.bias"][:, None, None]
        first, second = (part(weights, f"residual_blocks.0.conv{index}.") for index in (1, 2))
        inside = np.maximum(conv(hidden, first["weight"], first["bias"]), 0)
        tokens.append(hidden + conv(inside, second["weight"], second["bias"]))
    return np.stack(tokens, axis=1)
