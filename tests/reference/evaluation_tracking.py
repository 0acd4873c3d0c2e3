"""Scores of TAPVid-3D as loops over points, float64 (Koppula et al. 2024, Sec. 4)."""

import math

import numpy as np

PIXELS = (1, 2, 4, 8, 16)


def scale(
    points: np.ndarray, target: np.ndarray, visible: np.ndarray, said: np.ndarray, scaling: str, queries: list
) -> np.ndarray:
    """One factor per track, [track, frame, 3] points."""
    tracks = len(points)
    if scaling == "none":
        return np.ones(tracks)
    if scaling == "per_trajectory":
        return np.array([target[n, queries[n], 2] / points[n, queries[n], 2] for n in range(tracks)])
    both = [index for index in np.ndindex(visible.shape) if visible[index] and said[index]]
    ours = [math.hypot(*points[index]) for index in both]
    theirs = [math.hypot(*target[index]) for index in both]
    middle = np.median if scaling == "median" else np.mean
    return np.full(tracks, middle(theirs) / middle(ours))


def scores(
    points: np.ndarray,
    target: np.ndarray,
    visible: np.ndarray,
    said: np.ndarray,
    focal: tuple[float, float],
    scaling: str,
    queries: list,
) -> dict[str, float]:
    """APD, AJ, OA and EPE3D of one clip."""
    factors = scale(points, target, visible, said, scaling, queries)
    shares, jaccards, errors = [], [], []
    for pixels in PIXELS:
        correct = seen = true = false = 0
        for n, t in np.ndindex(visible.shape):
            limit = pixels * target[n, t, 2] / math.sqrt(focal[0] * focal[1])
            near = math.dist(factors[n] * points[n, t], target[n, t]) < limit
            seen += visible[n, t]
            correct += visible[n, t] and near
            true += visible[n, t] and near and said[n, t]
            false += said[n, t] and not (visible[n, t] and near)
        shares.append(correct / seen)
        jaccards.append(true / (seen + false))
    agreed = sum(visible[index] == said[index] for index in np.ndindex(visible.shape)) / visible.size
    for n, t in np.ndindex(visible.shape):
        if visible[n, t]:
            errors.append(math.dist(factors[n] * points[n, t], target[n, t]))
    return {
        "apd": sum(shares) / 5,
        "aj": sum(jaccards) / 5,
        "oa": agreed,
        "epe": sum(errors) / len(errors),
    }
