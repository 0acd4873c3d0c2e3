"""Plücker rays of latents in plain numpy float64, one latent at a time."""

import numpy as np


def latent_rays(camera_to_world, intrinsics, size, latent_size, stride):
    """Latent 0 stands for frame 0, repeated; latent j for the frames (j - 1) stride + 1 to j stride."""
    frames = len(camera_to_world)
    rows, columns = latent_size
    packed = np.zeros(((frames - 1) // stride + 1, 6 * stride, rows, columns))
    for latent in range(packed.shape[0]):
        for slot in range(stride):
            frame = 0 if latent == 0 else (latent - 1) * stride + 1 + slot
            pose, origin = camera_to_world[frame], camera_to_world[frame][:3, 3]
            for row in range(rows):
                for column in range(columns):
                    pixel = np.array([(column + 0.5) * size[1] / columns, (row + 0.5) * size[0] / rows, 1.0])
                    direction = pose[:3, :3] @ np.linalg.inv(intrinsics[frame]) @ pixel
                    direction = direction / np.linalg.norm(direction)
                    line = np.concatenate((np.cross(origin, direction), direction))
                    packed[latent, 6 * slot : 6 * slot + 6, row, column] = line
    return packed
