"""The backdrop of one image in plain numpy float64, cell by cell."""

import math

import numpy as np
from reference.models_assembly import from_matrix, on_grid


def area(maps, side):
    """Mean over the pixels that each of side x side places touches."""
    result = np.zeros((len(maps), side, side))
    height, width = maps.shape[1:]
    for i, j in np.ndindex(side, side):
        rows = slice(i * height // side, -(-(i + 1) * height // side))
        columns = slice(j * width // side, -(-(j + 1) * width // side))
        result[:, i, j] = maps[:, rows, columns].mean(axis=(1, 2))
    return result


def blur(maps):
    """Three box filters of 5 x 5, the border repeated."""
    for _ in range(3):
        padded = np.pad(maps, ((0, 0), (2, 2), (2, 2)), mode="edge")
        blurred = np.zeros_like(maps)
        for i, j in np.ndindex(*maps.shape[1:]):
            blurred[:, i, j] = padded[:, i : i + 5, j : j + 5].mean(axis=(1, 2))
        maps = blurred
    return maps


def backdrop(image, depth, pose, intrinsics, size, *, cells=32, margin=0.5, behind=1.15):
    """Cells of two by two places; colours weighted with the fourth power of depth; see the docstring."""
    border = round(cells * margin)
    around = ((0, 0), (2 * border, 2 * border), (2 * border, 2 * border))
    near = np.pad(area(depth[None], 2 * cells), around, mode="edge")
    colors = np.pad(area(image, 2 * cells), around, mode="edge")
    weight = near[0] ** 4
    colors = blur(colors * weight) / blur(weight[None])
    grid = on_grid(intrinsics, size, cells, cells)
    side = cells + 2 * border
    result = {"means": [], "scales": [], "colors": [], "opacities": [], "quaternions": []}
    for i, j in np.ndindex(side, side):
        places = [(2 * i + k, 2 * j + m) for k in (0, 1) for m in (0, 1)]
        reach = [near[0, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max() for y, x in places]
        distance = behind * max(reach)
        pixel = np.array([j + 0.5 - border, i + 0.5 - border, 1.0])
        local = np.linalg.inv(grid) @ pixel * distance
        result["means"].append(pose[:3, :3] @ local + pose[:3, 3])
        result["scales"].append([0.65 * distance / min(grid[0, 0], grid[1, 1])] * 3)
        color = np.mean([colors[:, y, x] for y, x in places], axis=0)
        result["colors"].append(np.clip(color, 0, 1))
        result["opacities"].append(0.97)
        result["quaternions"].append(from_matrix(pose[:3, :3]))
    return {name: np.array(values) for name, values in result.items()}


def harmonics(colors):
    """Constant spherical harmonic, 1 / sqrt(4 pi), of colours around 0.5."""
    return (colors - 0.5) * math.sqrt(4 * math.pi)
