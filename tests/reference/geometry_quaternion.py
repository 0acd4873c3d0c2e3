"""Rotations in plain numpy float64, one quaternion at a time, wxyz."""

import math

import numpy as np


def multiply(p, q):
    """Hamilton's table: i i = j j = k k = i j k = -1."""
    table = {  # (row, column): (sign, unit)
        (0, 0): (1, 0), (0, 1): (1, 1), (0, 2): (1, 2), (0, 3): (1, 3),
        (1, 0): (1, 1), (1, 1): (-1, 0), (1, 2): (1, 3), (1, 3): (-1, 2),
        (2, 0): (1, 2), (2, 1): (-1, 3), (2, 2): (-1, 0), (2, 3): (1, 1),
        (3, 0): (1, 3), (3, 1): (1, 2), (3, 2): (-1, 1), (3, 3): (-1, 0),
    }  # fmt: skip
    result = np.zeros(4)
    for (row, column), (sign, unit) in table.items():
        result[unit] += sign * p[row] * q[column]
    return result


def to_matrix(q):
    """Rodrigues' formula from the axis and angle of a quaternion of any length."""
    q = np.asarray(q, dtype=np.float64) / np.linalg.norm(q)
    sine = np.linalg.norm(q[1:])
    if sine == 0:
        return np.eye(3)
    x, y, z = q[1:] / sine
    angle = 2 * math.atan2(sine, q[0])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def slerp(p, q, fraction):
    """Rotate p towards the nearer of q and -q by a share of the angle, in the plane of the two."""
    q = q if p @ q >= 0 else -q
    side = q - (p @ q) * p
    if np.linalg.norm(side) < 1e-12:
        return p
    side = side / np.linalg.norm(side)
    angle = math.atan2(q @ side, p @ q) * fraction
    return math.cos(angle) * p + math.sin(angle) * side


def rotation_vector(q):
    """Axis times angle, the short way round."""
    q = np.asarray(q, dtype=np.float64) / np.linalg.norm(q)
    q = q if q[0] >= 0 else -q
    sine = np.linalg.norm(q[1:])
    if sine == 0:
        return np.zeros(3)
    return 2 * math.atan2(sine, q[0]) * q[1:] / sine
