"""Distances of sets of features and scores of features as loops and textbook formulas, float64."""

import math

import numpy as np
from scipy import linalg


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """|mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)) by the root of the matrix, sample covariances."""
    one, other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(one @ other)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(one) + np.trace(other) - 2 * np.trace(root).real)


def kernel_discrepancy(x: np.ndarray, y: np.ndarray, degree: int, gamma: float, coefficient: float) -> float:
    """Unbiased squared maximum mean discrepancy with (gamma a.b + c)^degree, by loops over pairs."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (gamma * sum(p * q for p, q in zip(a, b, strict=True)) + coefficient) ** degree

    total = 0.0
    for points in (x, y):
        size = len(points)
        for i in range(size):
            for j in range(size):
                if i != j:
                    total += kernel(points[i], points[j]) / (size * (size - 1))
    for a in x:
        for b in y:
            total -= 2 * kernel(a, b) / (len(x) * len(y))
    return total


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle of two vectors."""
    product = sum(p * q for p, q in zip(a, b, strict=True))
    return product / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))


def consistency(features: np.ndarray) -> float:
    """Mean over frames after the first of the mean of two cosines, each at least 0."""
    total = 0.0
    for t in range(1, len(features)):
        before = max(0.0, cosine(features[t], features[t - 1]))
        first = max(0.0, cosine(features[t], features[0]))
        total += (before + first) / 2
    return total / (len(features) - 1)
