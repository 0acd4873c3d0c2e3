"""The compact diffusion transformer on one sample in plain numpy float64."""

import numpy as np
from reference.layers import linear, part, rms_norm, silu
from reference.transformer_attention import grid_angles, sinusoidal
from reference.transformer_blocks import block


def encode_text(prompt, weights, *, num_layers, num_heads=4):
    """A start symbol and the UTF-8 bytes: their embeddings, a convolution over five, blocks, a norm."""
    ids = [256, *prompt.encode()]
    words = [weights["embedding.weight"][i] for i in ids]
    dim = len(words[0])
    mixed = []
    for place, word in enumerate(words):
        total = word + weights["neighbours.bias"]
        for tap in range(5):
            if 0 <= place + tap - 2 < len(words):
                total = total + weights["neighbours.weight"][:, :, tap] @ words[place + tap - 2]
        mixed.append(total)
    words = np.array(mixed)
    angles = np.array([grid_angles(0, 0, place, dim // num_heads, 100.0) for place in range(len(ids))])
    for index in range(num_layers):
        words = block(
            words,
            part(weights, f"blocks.{index}."),
            num_heads=num_heads,
            num_key_value_heads=num_heads,
            angles=angles,
        )
    return rms_norm(words, weights["norm.weight"])


def patch(maps, row, column, side):
    return maps[:, row * side : (row + 1) * side, column * side : (column + 1) * side].reshape(-1)


def velocity(latents, time, rays, prompt, weights, config):
    """Latents and rays `[latent_frame, channel, row, column]`; zero at the first frame, which is given."""
    side, dim = config["patch_size"], config["dim"]
    frames, channels, rows, columns = latents.shape
    grid = (frames, rows // side, columns // side)
    words = encode_text(prompt, part(weights, "text."), num_layers=config["text_layers"])
    tokens = []
    for frame, row, column in np.ndindex(*grid):
        seen = np.concatenate((latents[frame], latents[0]))
        token = linear(
            patch(seen, row, column, side), weights["latent_tokens.weight"], weights["latent_tokens.bias"]
        )
        pose = patch(rays[frame], row, column, side)
        tokens.append(token + linear(pose, weights["pose_tokens.weight"], weights["pose_tokens.bias"]))
    tokens = np.array(tokens)
    condition = []
    for frame in range(frames):
        code = sinusoidal(0.0 if frame == 0 else time, dim, 10_000.0, 1_000.0)
        code = silu(linear(code, weights["time.0.weight"], weights["time.0.bias"]))
        code = silu(linear(code, weights["time.2.weight"], weights["time.2.bias"]))
        condition.append(linear(code, weights["shared_modulation.weight"], weights["shared_modulation.bias"]))
    head_dim = dim // config["num_heads"]
    angles = np.array([grid_angles(*place, head_dim, 100.0) for place in np.ndindex(*grid)])
    for index in range(config["num_layers"]):
        tokens = block(
            tokens,
            part(weights, f"blocks.{index}."),
            num_heads=config["num_heads"],
            num_key_value_heads=config["num_key_value_heads"],
            angles=angles,
            condition=np.array(condition),
            context=words,
        )
    result = np.zeros_like(latents)
    normed = rms_norm(tokens, weights["output_norm.weight"])
    for token, (frame, row, column) in zip(normed, np.ndindex(*grid), strict=True):
        if frame > 0:
            square = linear(token, weights["output.weight"], weights["output.bias"])
            rows, columns = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
            result[frame, :, rows, columns] = square.reshape(channels, side, side)
    return result
