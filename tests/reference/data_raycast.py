"""First hit of one ray with one convex solid, by marching along the ray and bisecting, in float64."""

import numpy as np


def is_inside(shape: str, point: np.ndarray) -> bool:
    """Whether a point lies in the unit solid: the ball, the cube, or the upright cylinder along y."""
    if shape == "ellipsoid":
        return float(np.dot(point, point)) <= 1.0
    if shape == "box":
        return float(np.abs(point).max()) <= 1.0
    return bool(point[0] ** 2 + point[2] ** 2 <= 1.0 and abs(point[1]) <= 1.0)


def first_hit(
    shape: str,
    size: np.ndarray,
    rotation: np.ndarray,
    center: np.ndarray,
    origin: np.ndarray,
    direction: np.ndarray,
    *,
    stop: float = 12.0,
    steps: int = 1200,
) -> float:
    """Smallest t > 0 with origin + t * direction inside the solid; infinity when there is none."""

    def inside(distance: float) -> bool:
        return is_inside(shape, (rotation.T @ (origin + distance * direction - center)) / size)

    before = 0.0
    for step in range(1, steps + 1):
        after = stop * step / steps
        if inside(after):
            for _ in range(60):
                middle = 0.5 * (before + after)
                if inside(middle):
                    after = middle
                else:
                    before = middle
            return after
        before = after
    return float("inf")
