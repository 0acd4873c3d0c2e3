"""Depth priors in float64 numpy, one Gaussian and one cell at a time."""

import itertools
import math

import numpy as np

CELLS = (8, 16, 16)


def spread_sums(sums: np.ndarray) -> np.ndarray:
    """Sums of a grid after none, one, ... four box filters of 3 cells with repeated borders."""
    total, layers = sums.copy(), sums.copy()
    for _ in range(4):
        filtered = np.zeros_like(layers)
        for cell in np.ndindex(layers.shape):
            values = []
            for step in itertools.product((-1, 0, 1), repeat=3):
                place = tuple(
                    min(max(c + s, 0), n - 1) for c, s, n in zip(cell, step, layers.shape, strict=True)
                )
                values.append(layers[place])
            filtered[cell] = sum(values) / 27
        layers = filtered
        total = total + filtered
    return total


def correction_grid(depth: np.ndarray, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean of log depth / seen around each cell of log seen depth, rows and columns."""
    height, width = depth.shape
    logs = np.log(seen[known])
    near, span = logs.min(), max(logs.max() - logs.min(), 1e-3)
    weighted, weight, changes = np.zeros(CELLS), np.zeros(CELLS), []
    for row in range(height):
        for column in range(width):
            if not known[row, column]:
                continue
            position = (math.log(seen[row, column]) - near) / span
            cell = (
                min(max(int(position * CELLS[0]), 0), CELLS[0] - 1),
                row * CELLS[1] // height,
                column * CELLS[2] // width,
            )
            change = math.log(depth[row, column] / seen[row, column])
            weighted[cell] += change
            weight[cell] += 1
            changes.append(change)
    median = sorted(changes)[(len(changes) - 1) // 2]  # torch's: the lower of two
    return (spread_sums(weighted) + 1e-3 * median) / (spread_sums(weight) + 1e-3)


def read_grid(grid: np.ndarray, place: list[float]) -> float:
    """Trilinear value at a place in [0, 1] per axis (depth, row, column), held beyond the outer cells."""
    lows, parts = [], []
    for value, count in zip(place, grid.shape, strict=True):
        position = min(max(min(max(value, 0.0), 1.0) * count - 0.5, 0.0), count - 1)
        low = min(int(position), count - 2)
        lows.append(low)
        parts.append(position - low)
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        share = np.prod([part if bit else 1 - part for bit, part in zip(corner, parts, strict=True)])
        total += share * grid[tuple(low + bit for low, bit in zip(lows, corner, strict=True))]
    return float(total)


def ratios(
    means: np.ndarray,
    depth: np.ndarray,
    seen: np.ndarray,
    known: np.ndarray,
    pose: np.ndarray,
    lens: np.ndarray,
) -> np.ndarray:
    """How much farther along its ray each Gaussian goes."""
    height, width = depth.shape
    logs = np.log(seen[known])
    near, span = logs.min(), max(logs.max() - logs.min(), 1e-3)
    grid = correction_grid(depth, seen, known)
    result = []
    for mean in means:
        x, y, z = pose[:3, :3].T @ (mean - pose[:3, 3])
        if z > 1e-6:
            u, v = lens[0, 0] * x / z + lens[0, 2], lens[1, 1] * y / z + lens[1, 2]
        else:
            u, v, z = -1.0, -1.0, 1e-6
        change = read_grid(grid, [(math.log(z) - near) / span, v / height, u / width])
        row, column = math.floor(v), math.floor(u)
        if 0 <= row < height and 0 <= column < width and known[row, column]:
            front = math.exp(-((math.log(z / seen[row, column])) ** 2) / (2 * 0.1**2))
            change = front * math.log(depth[row, column] / z) + (1 - front) * change
        result.append(math.exp(change))
    return np.array(result)


def fit_disparity(disparity: np.ndarray, depth: np.ndarray) -> tuple[float, float]:
    """Scale and shift of the least sum of depth * |1 / depth - scale * disparity - shift|."""
    from scipy.optimize import linprog

    count = len(disparity)
    cost = np.concatenate([[0, 0], np.ones(count)])
    scaled = np.stack([depth * disparity, depth], axis=1)
    upper = np.block([[scaled, -np.eye(count)], [-scaled, -np.eye(count)]])
    bound = np.concatenate([np.ones(count), -np.ones(count)])
    limits = [(None, None)] * 2 + [(0, None)] * count
    solution = linprog(cost, A_ub=upper, b_ub=bound, bounds=limits)
    return float(solution.x[0]), float(solution.x[1])
