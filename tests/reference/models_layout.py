"""Blocks of pixels and edge-aware sampling in plain numpy float64, by trying and by loops."""

import math

import numpy as np


def cheapest_cover(image, row, column, side, price):
    """Least cost of covering a square with blocks at a price each, by trying every merge: cost and blocks."""
    if side == 1:
        return price, 1
    block = image[:, row : row + side, column : column + side]
    merged = sum(np.sum((channel - channel.mean()) ** 2) for channel in block) + price
    half = side // 2
    quarters = [
        cheapest_cover(image, row + i * half, column + j * half, half, price) for i in (0, 1) for j in (0, 1)
    ]
    split = sum(cost for cost, _ in quarters)
    return (merged, 1) if merged <= split else (split, sum(count for _, count in quarters))


def guided_value(values, map_colors, x, y, color, sigma):
    """Joint bilateral upsampling on the four places around a position in [0, 1]; values `[channel, h, w]`."""
    height, width = values.shape[1:]
    across, down = x * width - 0.5, y * height - 0.5
    total, result = 0.0, np.zeros(values.shape[0])
    for i in (0, 1):
        for j in (0, 1):
            row, column = math.floor(down) + i, math.floor(across) + j
            weight = (1 - abs(down - row)) * (1 - abs(across - column))
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            distance = np.sum((map_colors[:, row, column] - color) ** 2)
            weight *= 1e-3 + math.exp(-distance / (2 * sigma**2))
            total += weight
            result += weight * values[:, row, column]
    return result / total
