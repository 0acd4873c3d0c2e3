"""From raw maps to points and rotations in plain numpy float64, one pixel at a time."""

import math

import numpy as np


def depth(raw):
    return 4.0 * math.exp(min(max(raw, -5.0), 5.0))


def unproject(z, camera_to_world, intrinsics, row, column):
    local = np.linalg.inv(intrinsics) @ np.array([column + 0.5, row + 0.5, 1.0]) * z
    return camera_to_world[:3, :3] @ local + camera_to_world[:3, 3]


def displacement(raw, z, camera_to_world):
    """Units of depth along the camera's axes, to the world."""
    return camera_to_world[:3, :3] @ (np.asarray(raw) * z)


def multiply(p, q):
    """Hamilton product, wxyz."""
    w = p[0] * q[0] - np.dot(p[1:], q[1:])
    return np.array([w, *(p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:]))])


def turn(raw):
    """Offset from the identity, made unit length."""
    q = np.asarray(raw) + np.array([1.0, 0.0, 0.0, 0.0])
    return q / np.linalg.norm(q)


def to_matrix(q):
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
