"""Evaluation metrics, baselines and intervals as loops and textbook formulas, float64."""

import math

import numpy as np


def psnr(image: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the pixels of a mask, [3, h, w] images, peak 1."""
    total, count = 0.0, 0
    for channel, row, column in np.ndindex(image.shape):
        if mask[row, column]:
            shown = min(max(image[channel, row, column], 0.0), 1.0)
            total += (shown - target[channel, row, column]) ** 2
            count += 1
    return 10 * math.log10(1 / (total / count))


def correlation(depth: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Pearson correlation over the pixels of a mask."""
    return float(np.corrcoef(depth[mask], target[mask])[0, 1])


def absolute_relative_error(depth: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Mean of |d - t| / t over the pixels of a mask."""
    errors = [abs(depth[i] - target[i]) / target[i] for i in np.ndindex(depth.shape) if mask[i]]
    return sum(errors) / len(errors)


def end_point_error(displacement: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """Mean distance of end points over the pixels of a mask."""
    errors = [math.dist(displacement[i], target[i]) for i in np.ndindex(mask.shape) if mask[i]]
    return sum(errors) / len(errors)


def homography_warp(
    image: np.ndarray,
    source_pose: np.ndarray,
    target_pose: np.ndarray,
    source_intrinsics: np.ndarray,
    target_intrinsics: np.ndarray,
    depth: float,
) -> np.ndarray:
    """View of [3, h, w] pixels on the plane z = depth of the source camera, by the plane's homography.

    H = K_s (R + t n^T / z_0) K_t^-1 takes target pixels to source pixels; colours are bilinear between pixel
    centres and constant beyond the outermost ones.
    """
    relative = np.linalg.inv(source_pose) @ target_pose
    rotation, shift = relative[:3, :3], relative[:3, 3]
    normal = rotation.T @ np.array([0.0, 0.0, 1.0])
    middle = rotation + np.outer(shift, normal) / (depth - shift[2])
    matrix = source_intrinsics @ middle @ np.linalg.inv(target_intrinsics)
    _, height, width = image.shape
    warped = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y, w = matrix @ np.array([column + 0.5, row + 0.5, 1.0])
            x = min(max(x / w - 0.5, 0.0), width - 1.0)
            y = min(max(y / w - 0.5, 0.0), height - 1.0)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            a, b = x - left, y - top
            upper = (1 - a) * image[:, top, left] + a * image[:, top, left + 1]
            lower = (1 - a) * image[:, top + 1, left] + a * image[:, top + 1, left + 1]
            warped[:, row, column] = (1 - b) * upper + b * lower
    return warped


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Ends of Wilson's interval: the two p that solve (s/n - p)^2 = z^2 p (1 - p) / n, by bisection."""
    share, z = successes / count, 1.959963984540054

    def excess(p: float) -> float:
        return (share - p) ** 2 - z**2 * p * (1 - p) / count

    def root(outside: float, inside: float) -> float:
        for _ in range(200):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if excess(middle) > 0 else (outside, middle)
        return (outside + inside) / 2

    return (0.0 if successes == 0 else root(0.0, share)), (1.0 if successes == count else root(1.0, share))


def nearest_frame(frame_times: np.ndarray, time: float) -> int:
    """Index of the frame whose time is nearest."""
    best = 0
    for index, frame_time in enumerate(frame_times):
        if abs(frame_time - time) < abs(frame_times[best] - time):
            best = index
    return best


def least_mean(values: np.ndarray) -> float:
    """Smallest mean of the columns of [scene, rival] numbers."""
    scenes, rivals = values.shape
    return min(sum(values[i, k] for i in range(scenes)) / scenes for k in range(rivals))


def least_mean_interval(values: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """Percentile interval of `least_mean` over sets of scenes, one row of indices each."""
    found = sorted(least_mean(values[row]) for row in draws)

    def quantile(share: float) -> float:
        position = share * (len(found) - 1)
        below = int(position)
        above = min(below + 1, len(found) - 1)
        return found[below] + (position - below) * (found[above] - found[below])

    return quantile(0.025), quantile(0.975)


def mean_displacement(displacement: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean of [h, w, 3] displacements over the pixels of a mask."""
    total, count = np.zeros(3), 0
    for pixel in np.ndindex(mask.shape):
        if mask[pixel]:
            total += displacement[pixel]
            count += 1
    return total / count


def obeys(displacement: np.ndarray, direction: np.ndarray) -> bool:
    """Whether a displacement is longer than 0.02 and less than 45 degrees away from a unit direction."""
    length = math.sqrt(sum(component**2 for component in displacement))
    if length <= 0.02:
        return False
    return math.degrees(math.acos(min(1.0, max(-1.0, float(displacement @ direction) / length)))) < 45
