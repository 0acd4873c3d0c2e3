"""Matches, epipolar distances and pose errors as loops and textbook formulas, float64."""

import math

import numpy as np


def mutual_pairs(first: np.ndarray, second: np.ndarray, ratio: float | None) -> list[tuple[int, int]]:
    """Pairs of rows that are each other's nearest, one distance after the other."""
    table = [[math.dist(a, b) for b in second] for a in first]
    pairs = []
    for i, row in enumerate(table):
        j = row.index(min(row))
        column = [other[j] for other in table]
        others = [value for k, value in enumerate(row) if k != j]
        distinct = ratio is None or not others or row[j] < ratio * min(others)
        if column.index(min(column)) == i and distinct:
            pairs.append((i, j))
    return pairs


def least_shift(first: np.ndarray, second: np.ndarray, fundamental: np.ndarray) -> float:
    """Least joint shift of two points that puts them on each other's epipolar lines, by Newton's steps.

    The constraint is g(x, y) = (y, 1) F (x, 1) = 0; each step goes to where its tangent plane is zero, from
    the point measured (Hartley and Zisserman 2004, Sec. 4.2.6, iterated).
    """
    start = np.concatenate((first, second))
    place = start.copy()
    for _ in range(50):
        x, y = np.append(place[:2], 1.0), np.append(place[2:], 1.0)
        slope = np.concatenate(((fundamental.T @ y)[:2], (fundamental @ x)[:2]))
        value = y @ fundamental @ x + slope @ (start - place)
        place = start - slope * value / (slope @ slope)
    return float(np.linalg.norm(place - start))


def relative_errors(
    estimated: np.ndarray, reference: np.ndarray, step: int, scale: float
) -> tuple[list[float], list[float]]:
    """Lengths and angles (degrees) of Sturm's error, from how a point of frame i + step looks from frame i.

    No 4 x 4 product: a relative pose is where frame i puts the origin and the axes of the other frame.
    """
    lengths, angles = [], []
    for i in range(len(reference) - step):
        views = []
        for path, factor in ((estimated, scale), (reference, 1.0)):
            here, there = path[i], path[i + step]
            centre = here[:3, :3].T @ (there[:3, 3] - here[:3, 3]) * factor
            axes = np.stack([here[:3, :3].T @ there[:3, k] for k in range(3)], axis=1)
            views.append((centre, axes))
        (p, p_axes), (q, q_axes) = views
        lengths.append(math.dist(p, q))
        chord = np.linalg.norm(p_axes - q_axes)  # Frobenius: 2 sqrt(2) sin(angle / 2)
        angles.append(math.degrees(2 * math.asin(min(1.0, chord / (2 * math.sqrt(2))))))
    return lengths, angles
