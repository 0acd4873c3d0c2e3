"""Curless and Levoy's weighted mean of distances, for one point, view by view; weights are cosines.

Fusing as `diff4splat.assets.fuse_depth` describes it: distances along the ray times the cosine of
`surface_weights`, depth between pixels where the 3 x 3 around the nearest is smooth.
"""

import math

import numpy as np


def slope_squared(depth: np.ndarray, lens: np.ndarray, row: int, column: int) -> float:
    """s_x^2 + s_y^2 of a pixel, NaN where it or a neighbour is unknown."""
    height, width = depth.shape

    def ray(r: int, c: int) -> np.ndarray:
        return np.array([(c + 0.5 - lens[0, 2]) / lens[0, 0], (r + 0.5 - lens[1, 2]) / lens[1, 1], 1.0])

    def distance(r: int, c: int) -> float:
        return depth[r, c] * np.linalg.norm(ray(r, c)) if depth[r, c] > 0 else math.nan

    total = 0.0
    for steps in (((0, -1), (0, 1)), ((-1, 0), (1, 0))):
        steepest = 0.0
        for down, right in steps:
            r, c = row + down, column + right
            if not (0 <= r < height and 0 <= c < width):
                continue
            a, b = ray(row, column), ray(r, c)
            sine = np.linalg.norm(np.cross(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)
            first, second = distance(row, column), distance(r, c)
            slope = abs(first - second) / (min(first, second) * sine)
            steepest = math.nan if math.isnan(slope) or math.isnan(steepest) else max(steepest, slope)
        total += steepest**2
    return total


def pixel_weight(depth: np.ndarray, lens: np.ndarray, row: int, column: int, max_angle_deg: float) -> float:
    """Cosine of a pixel, 0 where unknown or too steep."""
    if not depth[row, column] > 0:
        return 0.0
    square = slope_squared(depth, lens, row, column)
    if math.isnan(square) or square > math.tan(math.radians(max_angle_deg)) ** 2:
        return 0.0
    return 1 / math.sqrt(1 + square)


def fused_distance(
    point: np.ndarray, depths: np.ndarray, poses: np.ndarray, lenses: np.ndarray, truncation: float
) -> tuple[float, float]:
    """Mean distance over the truncation, and the sum of the weights."""
    total = weights = 0.0
    height, width = depths.shape[1:]
    for depth, pose, lens in zip(depths, poses, lenses, strict=True):
        local = pose[:3, :3].T @ (point - pose[:3, 3])
        if local[2] <= 1e-6:
            continue
        u, v = (lens @ local)[:2] / local[2]
        if not (0 <= u < width and 0 <= v < height):
            continue
        row, column = int(v), int(u)
        trust = pixel_weight(depth, lens, row, column, 80)
        if trust == 0:
            continue
        rows = range(max(row - 1, 0), min(row + 2, height))
        columns = range(max(column - 1, 0), min(column + 2, width))
        around = [depth[r, c] * (pixel_weight(depth, lens, r, c, 80) > 0) for r in rows for c in columns]
        surface = depth[row, column]
        if min(around) > 0 and max(around) - min(around) < truncation:
            surface = _between(depth, u - 0.5, v - 0.5)
        cosine = max(pixel_weight(depth, lens, row, column, 89.9), 0.1)
        along = (surface - local[2]) * np.linalg.norm(local) / local[2]
        signed = cosine * along / truncation
        if signed < -1 or along < -2 * truncation:
            continue
        total += trust * min(signed, 1.0)
        weights += trust
    return (total / weights if weights else 1.0), weights


def _between(depth: np.ndarray, x: float, y: float) -> float:
    height, width = depth.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    c, r = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - c, y - r
    top = depth[r, c] * (1 - a) + depth[r, c + 1] * a
    bottom = depth[r + 1, c] * (1 - a) + depth[r + 1, c + 1] * a
    return top * (1 - b) + bottom * b
