"""Camera paths in plain numpy float64, one camera at a time; lengths of curves in closed form."""

import math

import numpy as np
from reference.geometry_quaternion import multiply, slerp, to_matrix


def spiral_position(share, amplitude, turns):
    """Point of p(u) = a u (cos cu, sin cu, 0), c = 2 pi turns, after a share of its length.

    The length up to u is a / 2 (u sqrt(1 + c^2 u^2) + asinh(c u) / c); u is found by bisection.
    """
    c = 2 * math.pi * turns

    def length(u):
        return u if c == 0 else (u * math.sqrt(1 + (c * u) ** 2) + math.asinh(c * u) / c) / 2

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) < share * length(1.0) else (low, middle)
    return amplitude * low * np.array([math.cos(c * low), math.sin(c * low), 0.0])


def straight(share, end):
    pose = np.eye(4)
    pose[:3, 3] = share * np.asarray(end)
    return pose


def orbit_position(share, degrees, radius):
    """On the circle around (0, 0, radius) through the origin, in the horizontal plane."""
    angle = share * degrees * math.pi / 180
    return np.array([radius * math.sin(angle), 0.0, radius - radius * math.cos(angle)])


def look_at(eye, target, up=(0.0, -1.0, 0.0)):
    """Columns: right, down, ahead; `up` has no part along right and a negative part along down."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    down = -(np.asarray(up) - np.dot(up, ahead) * ahead)
    down = down / np.linalg.norm(down)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(down, ahead), down, ahead], axis=1)
    pose[:3, 3] = eye
    return pose


def sway_position(share, reach, focus_depth):
    """Figure of eight; half of `reach` wide, but 4 to 12 per cent of the focus depth."""
    wide = min(max(0.5 * reach, 0.04 * focus_depth), 0.12 * focus_depth)
    angle = 2 * math.pi * share
    return np.array([wide * math.sin(angle), 0.5 * wide * math.sin(2 * angle), 0.0])


def keyframe(keys, share):
    """Pose at a share of the way through keys, in the frame of the first one.

    Positions: the cubic with given ends and tangents, by solving for its coefficients. Rotations: squad
    (Shoemake 1987) with logarithms and exponentials of quaternions.
    """
    first = np.linalg.inv(keys[0])
    keys = [first @ key for key in keys]
    last = len(keys) - 1
    place = share * last
    i = min(int(math.floor(place)), last - 1)
    f = place - i
    points = [key[:3, 3] for key in keys]
    tangents = [
        (points[min(k + 1, last)] - points[max(k - 1, 0)]) / (min(k + 1, last) - max(k - 1, 0))
        for k in range(last + 1)
    ]
    # Rows: value at 0, value at 1, slope at 0, slope at 1 of c0 + c1 f + c2 f^2 + c3 f^3.
    system = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 1, 2, 3]], dtype=np.float64)
    right = np.array([points[i], points[i + 1], tangents[i], tangents[i + 1]])
    coefficients = np.linalg.solve(system, right)
    pose = np.eye(4)
    pose[:3, 3] = np.array([1, f, f**2, f**3]) @ coefficients

    turns = [from_matrix(key[:3, :3]) for key in keys]
    for k in range(1, last + 1):
        turns[k] = turns[k] if turns[k] @ turns[k - 1] >= 0 else -turns[k]
    controls = list(turns)
    for k in range(1, last):
        inverse = turns[k] * np.array([1, -1, -1, -1])
        bend = logarithm(multiply(inverse, turns[k + 1])) + logarithm(multiply(inverse, turns[k - 1]))
        controls[k] = multiply(turns[k], exponential(-bend / 4))
    outer = slerp(turns[i], turns[i + 1], f)
    inner = slerp(controls[i], controls[i + 1], f)
    pose[:3, :3] = to_matrix(slerp(outer, inner, 2 * f * (1 - f)))
    return pose


def from_matrix(matrix):
    """Quaternion of a rotation below half a turn, from its trace and its antisymmetric part."""
    w = 0.5 * math.sqrt(1 + np.trace(matrix))
    turned = [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    return np.array([w, *(value / (4 * w) for value in turned)])


def logarithm(q):
    sine = np.linalg.norm(q[1:])
    return q[1:] if sine == 0 else q[1:] / sine * math.atan2(sine, q[0])


def exponential(vector):
    angle = np.linalg.norm(vector)
    return np.array([math.cos(angle), *(vector if angle == 0 else vector / angle * math.sin(angle))])
