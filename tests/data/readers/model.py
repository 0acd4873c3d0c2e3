"""A COLMAP model of the wall: points of any ids, some of them seen, and one that was not triangulated."""

from pathlib import Path

import numpy as np
from data.layouts import colmap
from data.readers.wall import pixel, world_to_camera

HEIGHT, WIDTH, FOCAL = 30, 40, 37.0
POINTS = {  # by id: place, colour
    7: ([0.4, -0.9, 7.0], (200, 10, 0)),
    3: ([-1.1, 0.3, 7.0], (0, 255, 1)),
    2**40: ([0.1, 0.2, 4.0], (1, 2, 3)),
}
SEEN = {0: [7, 3], 2: [2**40, -1, 7], 10: [], 11: [3]}  # points by image; -1 was not triangulated


def place_in(index: int, point: int) -> np.ndarray:
    if point < 0:
        return np.array([1.5, 2.5])
    return pixel(np.array(POINTS[point][0]), index, HEIGHT, WIDTH, FOCAL)


def model(name: str) -> colmap.Model:
    """Images are called by their index, in the place of {}."""
    lens = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    poses = {name.format(index): world_to_camera(index) for index in SEEN}
    seen = {
        name.format(index): [(*place_in(index, point), point) for point in points]
        for index, points in SEEN.items()
    }
    return colmap.Model(HEIGHT, WIDTH, lens, poses, POINTS, seen)


def write_binary(folder: Path, name: str = "frame_{}.png", lens: colmap.Lens = colmap.STRAIGHT) -> None:
    colmap.write_binary(folder, model(name), lens)


def write_text(folder: Path, name: str = "frame_{}.png", lens: colmap.Lens = colmap.STRAIGHT) -> None:
    colmap.write_text(folder, model(name), lens)
