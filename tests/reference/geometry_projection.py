"""Pinhole projection in plain numpy float64, one pixel or point at a time."""

import numpy as np


def unproject(depth, camera_to_world, intrinsics):
    height, width = depth.shape
    points = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            pixel = np.array([column + 0.5, row + 0.5, 1.0])
            local = depth[row, column] * np.linalg.inv(intrinsics) @ pixel
            points[row, column] = (camera_to_world @ np.append(local, 1.0))[:3]
    return points


def project(points, camera_to_world, intrinsics):
    pixels, depths = [], []
    for point in points:
        local = (np.linalg.inv(camera_to_world) @ np.append(point, 1.0))[:3]
        homogeneous = intrinsics @ local
        pixels.append(homogeneous[:2] / homogeneous[2])
        depths.append(local[2])
    return np.array(pixels), np.array(depths)


def distance(depth, intrinsics):
    local = unproject(depth, np.eye(4), intrinsics)
    return np.sqrt((local**2).sum(axis=-1))
