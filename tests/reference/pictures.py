"""Slow float64 twins of the pictures: lines pixel by pixel, projection by hand, the wheel of optical flow."""

import math

import numpy as np


def coverage_of_a_line(
    points: list[tuple[float, float]], *, height: int, width: int, line_width: float
) -> np.ndarray:
    """Share of each pixel that a line through points covers, by its distance from the nearest piece."""
    covered = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            distance = min(
                distance_to_piece(x, y, *start, *end)
                for start, end in zip(points, points[1:] or points, strict=False)
            )
            covered[row, column] = min(max((line_width + 1) / 2 - distance, 0.0), 1.0)
    return covered


def distance_to_piece(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    along_x, along_y = bx - ax, by - ay
    squared = along_x**2 + along_y**2
    share = 0.0
    if squared > 0:
        share = min(max(((x - ax) * along_x + (y - ay) * along_y) / squared, 0.0), 1.0)
    return math.hypot(x - ax - share * along_x, y - ay - share * along_y)


def pixel_of(point: list[float], camera_to_world: list[list[float]], lens: list[list[float]]):
    """Pixel (x, y) and depth of a world point, by loops."""
    offset = [point[i] - camera_to_world[i][3] for i in range(3)]
    local = [sum(camera_to_world[j][i] * offset[j] for j in range(3)) for i in range(3)]
    x = lens[0][0] * local[0] / local[2] + lens[0][2]
    y = lens[1][1] * local[1] / local[2] + lens[1][2]
    return x, y, local[2]


def mean_at(start: list[float], times: list[float], deltas: list[list[float]], time: float) -> list[float]:
    """Place of a Gaussian at a time, linear between stored times."""
    for index in range(len(times) - 1):
        if times[index] <= time <= times[index + 1]:
            share = (time - times[index]) / (times[index + 1] - times[index])
            moved = [a + share * (b - a) for a, b in zip(deltas[index], deltas[index + 1], strict=True)]
            return [a + b for a, b in zip(start, moved, strict=True)]
    raise ValueError(time)


def wheel() -> list[tuple[float, float, float]]:
    """The 55 hues of Baker et al., written out: 15 from red to yellow, then 6, 4, 11, 13 and 6."""
    hues: list[tuple[float, float, float]] = []
    hues += [(1.0, i / 15, 0.0) for i in range(15)]
    hues += [(1 - i / 6, 1.0, 0.0) for i in range(6)]
    hues += [(0.0, 1.0, i / 4) for i in range(4)]
    hues += [(0.0, 1 - i / 11, 1.0) for i in range(11)]
    hues += [(i / 13, 0.0, 1.0) for i in range(13)]
    hues += [(1.0, 0.0, 1 - i / 6) for i in range(6)]
    return hues


def flow_color(x: float, y: float, largest: float) -> tuple[float, ...]:
    hues = wheel()
    angle = math.atan2(y, x)
    place = (angle if angle >= 0 else angle + 2 * math.pi) / (2 * math.pi) * len(hues)
    lower, share = int(place) % len(hues), place - int(place)
    strength = min(math.hypot(x, y) / largest, 1.0)
    pairs = zip(hues[lower], hues[(lower + 1) % len(hues)], strict=True)
    return tuple(1 - strength * (1 - (a + share * (b - a))) for a, b in pairs)
