"""A COLMAP model of the wall, written by hand from the description of the format, as bytes or as text."""

import struct
from pathlib import Path

import numpy as np
from data.readers.wall import pixel, world_to_camera

HEIGHT, WIDTH, FOCAL = 30, 40, 37.0
POINTS = {  # by id: place, colour
    7: ([0.4, -0.9, 7.0], (200, 10, 0)),
    3: ([-1.1, 0.3, 7.0], (0, 255, 1)),
    2**40: ([0.1, 0.2, 4.0], (1, 2, 3)),
}
SEEN = {0: [7, 3], 2: [2**40, -1, 7], 10: [], 11: [3]}  # points by image; -1 was not triangulated


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """w x y z of a rotation by less than half a turn."""
    w = np.sqrt(1 + np.trace(rotation)) / 2
    x, y, z = ((rotation[j, k] - rotation[k, j]) / (4 * w) for j, k in ((2, 1), (0, 2), (1, 0)))
    return np.array([w, x, y, z])


def place_in(index: int, point: int) -> np.ndarray:
    if point < 0:
        return np.array([1.5, 2.5])
    return pixel(np.array(POINTS[point][0]), index, HEIGHT, WIDTH, FOCAL)


def write_binary(folder: Path, name: str = "frame_{}.png", lens: tuple = (0.0, 0.0, 0.0, 0.0)) -> None:
    """OPENCV lens; images in an order that is not that of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = struct.pack("<iiQQ8d", 5, 4, WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, *lens)
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 1) + camera)
    images = struct.pack("<Q", len(SEEN))
    for key, index in enumerate(reversed(SEEN), start=1):
        matrix = world_to_camera(index)
        images += struct.pack("<i7di", key, *quaternion(matrix[:3, :3]), *matrix[:3, 3], 5)
        images += name.format(index).encode() + b"\0" + struct.pack("<Q", len(SEEN[index]))
        for point in SEEN[index]:
            images += struct.pack("<2dq", *place_in(index, point), point)
    (folder / "images.bin").write_bytes(images)
    points = struct.pack("<Q", len(POINTS))
    for key, (place, color) in POINTS.items():
        seen = [(image, row) for image, row in ((1, 0), (2, 1))]
        points += struct.pack("<Q3d3BdQ", key, *place, *color, 0.25, len(seen))
        points += b"".join(struct.pack("<ii", *pair) for pair in seen)
    (folder / "points3D.bin").write_bytes(points)


def write_text(folder: Path, name: str = "frame_{}.png", lens: tuple = (0.0, 0.0, 0.0, 0.0)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = " ".join(map(repr, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, *lens)))
    (folder / "cameras.txt").write_text(f"# one line per camera\n5 OPENCV {WIDTH} {HEIGHT} {numbers}\n")
    lines = ["# two lines per image"]
    for key, index in enumerate(reversed(SEEN), start=1):
        matrix = world_to_camera(index)
        pose = " ".join(f"{number:.17g}" for number in (*quaternion(matrix[:3, :3]), *matrix[:3, 3]))
        lines.append(f"{key} {pose} 5 {name.format(index)}")
        seen = [(*place_in(index, point), point) for point in SEEN[index]]
        lines.append(" ".join(f"{x:.17g} {y:.17g} {point}" for x, y, point in seen))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    points = ["# one line per point"]
    for key, (place, color) in POINTS.items():
        points.append(" ".join(map(str, (key, *place, *color, 0.25, 1, 0, 2, 1))))
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")
