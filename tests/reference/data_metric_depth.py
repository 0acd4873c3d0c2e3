"""Metric from relative depth in float64 numpy, mask by mask, anchor by anchor (Diff4Splat, Algorithm 1)."""

import math

import numpy as np


def middle(values: list[float]) -> float:
    """Median; the mean of the two in the middle where there are two."""
    ordered, count = sorted(values), len(values)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def anchors(relative: np.ndarray, masks: np.ndarray, readings: np.ndarray) -> list[tuple[float, float]]:
    """Lines 5 to 13: (median relative value, reading) of every mask with a valid reading."""
    found = []
    for frame in range(len(relative)):
        for number in range(masks.shape[1]):
            reading = float(readings[frame, number])
            if not (math.isfinite(reading) and reading > 0):
                continue
            inside = []
            for row in range(relative.shape[1]):
                for column in range(relative.shape[2]):
                    if masks[frame, number, row, column]:
                        inside.append(float(relative[frame, row, column]))
            if inside:
                found.append((middle(inside), reading))
    return found


def least_squares(
    pairs: list[tuple[float, float]], weights: list[float] | None = None
) -> tuple[float, float]:
    """Line 15: scale and shift by the normal equations, solved by Cramer's rule."""
    weights = [1.0] * len(pairs) if weights is None else weights
    w = wx = wy = wxx = wxy = 0.0
    for (x, y), weight in zip(pairs, weights, strict=True):
        w += weight
        wx += weight * x
        wy += weight * y
        wxx += weight * x * x
        wxy += weight * x * y
    determinant = wxx * w - wx * wx
    return (wxy * w - wx * wy) / determinant, (wxx * wy - wx * wxy) / determinant


def algorithm_1(relative: np.ndarray, masks: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """Line 17: the whole algorithm as it is printed, in depth space."""
    scale, shift = least_squares(anchors(relative, masks, readings))
    result = np.zeros_like(relative)
    for place in np.ndindex(*relative.shape):
        result[place] = scale * relative[place] + shift
    return result


def in_disparity_space(
    relative: np.ndarray, masks: np.ndarray, readings: np.ndarray, least: float
) -> np.ndarray:
    """The same with inverse depth on both sides of the fit."""
    pairs = [(value, 1 / reading) for value, reading in anchors(relative, masks, readings)]
    scale, shift = least_squares(pairs)
    result = np.zeros_like(relative)
    for place in np.ndindex(*relative.shape):
        result[place] = 1 / max(scale * relative[place] + shift, least)
    return result


def huber_cost(x: np.ndarray, y: np.ndarray, limit: float, scale: float, shift: float) -> float:
    """Sum of squares up to a limit and of sizes beyond."""
    total = 0.0
    for one, other in zip(x, y, strict=True):
        size = abs(scale * one + shift - other)
        total += size * size / 2 if size <= limit else limit * (size - limit / 2)
    return total
