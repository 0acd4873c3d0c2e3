"""Plücker coordinates (o x d, d) in plain numpy float64, one pixel at a time."""

import numpy as np


def plucker_rays(camera_to_world, intrinsics, height, width):
    rays = np.zeros((6, height, width))
    origin = camera_to_world[:3, 3]
    for row in range(height):
        for column in range(width):
            local = np.linalg.inv(intrinsics) @ np.array([column + 0.5, row + 0.5, 1.0])
            direction = camera_to_world[:3, :3] @ local
            direction = direction / np.linalg.norm(direction)
            rays[:3, row, column] = np.cross(origin, direction)
            rays[3:, row, column] = direction
    return rays
