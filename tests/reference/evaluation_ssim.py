"""Structural similarity as loops over windows, float64."""

import math

import numpy as np


def ssim(image: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Mean over colours and over pixels of a mask that are 5 or more from the border, [3, h, w] images.

    Wang et al. 2004: moments of an 11 x 11 Gaussian window of deviation 1.5, here over the pixels of the
    mask, weights divided by their sum.
    """
    channels, height, width = image.shape
    values = []
    for channel in range(channels):
        for row in range(5, height - 5):
            for column in range(5, width - 5):
                if mask[row, column]:
                    values.append(_around(image[channel], target[channel], mask, row, column))
    return sum(values) / len(values)


def _around(image: np.ndarray, target: np.ndarray, mask: np.ndarray, row: int, column: int) -> float:
    weights, ours, theirs = [], [], []
    for down in range(-5, 6):
        for right in range(-5, 6):
            if mask[row + down, column + right]:
                weights.append(math.exp(-(down**2 + right**2) / (2 * 1.5**2)))
                ours.append(min(max(image[row + down, column + right], 0.0), 1.0))
                theirs.append(target[row + down, column + right])
    shares = np.array(weights) / sum(weights)
    x, y = np.array(ours), np.array(theirs)
    mean_x, mean_y = (shares * x).sum(), (shares * y).sum()
    variance_x, variance_y = (shares * (x - mean_x) ** 2).sum(), (shares * (y - mean_y) ** 2).sum()
    covariance = (shares * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 0.01**2, 0.03**2
    return (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )
