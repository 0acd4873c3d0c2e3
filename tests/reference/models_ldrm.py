"""The whole reconstruction model on one clip in plain numpy float64: latents and cameras to a field."""

import numpy as np
from reference.cameras_latent_grid import latent_rays
from reference.layers import linear, part, resize, rms_norm
from reference.models_assembly import field, seen_before
from reference.models_heads import deformation_head, gaussian_head
from reference.transformer_attention import grid_angles
from reference.transformer_blocks import block


def patch_tokens(maps, weights, patch):
    """One token per square of `patch` x `patch` places of every frame."""
    tokens = []
    for frame in maps:
        for row in range(0, frame.shape[1], patch):
            for column in range(0, frame.shape[2], patch):
                places = [
                    linear(frame[:, row + i, column + j], weights["embed.weight"], weights["embed.bias"])
                    for i in range(patch)
                    for j in range(patch)
                ]
                tokens.append(linear(np.concatenate(places), weights["join.weight"], weights["join.bias"]))
    return np.array(tokens)


def latent_vectors(poses, latent_size, stride):
    """Rotation row by row, then the centre, of the frames of a latent, the same numbers at every place."""
    vectors = [np.concatenate((pose[:3, :3].reshape(9), pose[:3, 3])) for pose in poses]
    packed = [[vectors[0]] * stride]
    for first in range(1, len(poses), stride):
        packed.append(vectors[first : first + stride])
    flat = np.array([np.concatenate(frames) for frames in packed])
    return np.tile(flat[:, :, None, None], (1, 1, *latent_size))


def feature_tokens(features, grid, weights):
    """W n(mean of a square) + b; features `[latent_frame, channel, row, column]`."""
    frames, rows, columns = grid
    high, wide = features.shape[2] // rows, features.shape[3] // columns
    tokens = []
    for f, i, j in np.ndindex(frames, rows, columns):
        square = features[f, :, i * high : (i + 1) * high, j * wide : (j + 1) * wide]
        normed = rms_norm(square.mean(axis=(1, 2)), weights["feature_norm.weight"])
        tokens.append(linear(normed, weights["feature.weight"], weights["feature.bias"]))
    return np.array(tokens)


def groups_of(layer, grid, attention):
    """Tokens that a block lets read each other: all; or those of a frame and of a place, layer by layer."""
    frames, places = grid[0], grid[1] * grid[2]
    numbers = np.arange(frames * places).reshape(frames, places)
    if attention == "full":
        return [numbers.ravel()]
    return list(numbers if layer % 2 == 0 else numbers.T)


def ldrm(latents, poses, intrinsics, size, times, weights, config, *, image=None, features=None):
    """Values of the field; latents `[latent_frame, channel, row, column]`, one pose per pixel frame."""
    stride, patch = config["temporal_stride"], config["patch_size"]
    frames, _, rows, columns = latents.shape
    relative = np.array([np.linalg.inv(poses[0]) @ pose for pose in poses])
    if config["pose_encoding"] == "plucker":
        rays = latent_rays(relative, intrinsics, size, (rows, columns), stride)
    else:
        rays = latent_vectors(relative, (rows, columns), stride)
    reach = config["temporal_context"]
    near = [
        np.concatenate([latents[min(max(f + k, 0), frames - 1)] for k in range(-reach, reach + 1)])
        for f in range(frames)
    ]
    joint = [
        patch_tokens(near, part(weights, "tokens.latent."), patch),
        patch_tokens(rays, part(weights, "tokens.pose."), patch),
    ]
    tokens = np.concatenate(joint, axis=1)
    grid = (frames, rows // patch, columns // patch)
    if features is not None:
        tokens = tokens + feature_tokens(features, grid, part(weights, "tokens."))
    head_dim = config["dim"] // config["num_heads"]
    angles = np.array([grid_angles(*place, head_dim, 100.0) for place in np.ndindex(*grid)])
    after = []
    for index in range(config["num_layers"]):
        mixed = np.zeros_like(tokens)
        for group in groups_of(index, grid, config["attention"]):
            mixed[group] = block(
                tokens[group],
                part(weights, f"blocks.{index}."),
                num_heads=config["num_heads"],
                num_key_value_heads=config["num_key_value_heads"],
                angles=angles[group],
            )
        tokens = mixed
        after.append(tokens.reshape(*grid, -1))
    # Depths: after one, two, three and four quarters of the layers.
    levels = [after[max(round(len(after) * quarter / 4) - 1, 0)] for quarter in (1, 2, 3, 4)]

    pixels_per_latent = config["spatial_stride"] // config["pixel_stride"]
    small = (rows * pixels_per_latent, columns * pixels_per_latent)
    known = None if image is None else resize(image, *small, antialias=True)
    upsampling = stride if config["every_frame"] else 1
    maps, pixels = gaussian_head(
        levels[-1], known, part(weights, "gaussian_head."), temporal_upsampling=upsampling
    )
    step = 1 if config["every_frame"] else stride
    own = [index / (len(poses) - 1) for index in range(0, len(poses), step)]
    if config["every_frame"]:
        # Frame j belongs to the latent frame that ends at it or after it.
        levels = [np.array([level[-(-j // stride)] for j in range(len(poses))]) for level in levels]
    head = part(weights, "deformation_head.")
    deformation = deformation_head(levels, pixels, times, own, head)
    start = deformation_head(levels, pixels, [0.0], own, head)[0]
    at_frames = deformation_head(levels, pixels, own, own, head)
    seen = seen_before(maps, at_frames, relative[::step], intrinsics[::step], size)
    blocks = None
    if image is not None:
        blocks = [(j + 0.5, i + 0.5, 1, image[:, i, j]) for i, j in np.ndindex(*image.shape[1:])]
    return field(
        maps,
        deformation,
        start,
        relative[::step],
        intrinsics[::step],
        size,
        seen=seen,
        image=image,
        blocks=blocks,
        origin=poses[0],
    )
