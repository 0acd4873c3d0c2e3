"""A COLMAP project: pictures and a sparse model, as bytes or as text. Any size and lens; no depth.

The points of the model are those of the scene that stand still. A project holds one scene: others are
written into folders beside it.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene
from scipy.spatial.transform import Rotation

Lens = tuple[float, float, float, float]
STRAIGHT: Lens = (0.0, 0.0, 0.0, 0.0)  # k1 k2 p1 p2


class Model(NamedTuple):
    """What a model holds."""

    height: int
    width: int
    intrinsics: np.ndarray  # 3 3
    poses: dict[str, np.ndarray]  # world to camera, by the name of the image
    points: dict[int, tuple[list[float], tuple[int, int, int]]]  # place and colour, by id
    seen: dict[str, list[tuple[float, float, int]]]  # x, y and point, by the name of the image; -1 is none


def write(root: Path, *scenes: Scene, text: bool = False) -> Written:
    found = {}
    for index, scene in enumerate(scenes):
        place = root / f"project {index + 1}" if len(scenes) > 1 else root
        model = model_of(scene)
        (write_text if text else write_binary)(place / "sparse" / "0", model)
        for name, pixels in zip(model.poses, scene.frames, strict=True):
            write_png(place / "images" / name, pixels)
        found[(place / "sparse" / "0").relative_to(root).as_posix()] = scene
    return Written(root, found)


def model_of(scene: Scene) -> Model:
    names = [f"frame_{index}.png" for index in range(scene.num_frames)]
    still = np.flatnonzero(np.ptp(scene.points, axis=0).max(-1) == 0)
    points = {int(key) + 1: (scene.points[0, key].tolist(), (9, 99, 200)) for key in still}
    seen = {
        name: [
            (*scene.pixels[index, key].tolist(), int(key) + 1) for key in still if scene.visible[index, key]
        ]
        for index, name in enumerate(names)
    }
    poses = dict(zip(names, scene.world_to_camera, strict=True))
    return Model(scene.height, scene.width, scene.intrinsics, poses, points, seen)


def write_binary(folder: Path, model: Model, lens: Lens = STRAIGHT) -> None:
    """OPENCV lens; images in an order that is not that of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = struct.pack("<iiQQ8d", 5, 4, model.width, model.height, *_pinhole(model), *lens)
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 1) + camera)
    images = struct.pack("<Q", len(model.poses))
    for key, name in enumerate(reversed(model.poses), start=1):
        images += struct.pack("<i7di", key, *_pose(model.poses[name]), 5)
        images += name.encode() + b"\0" + struct.pack("<Q", len(model.seen[name]))
        images += b"".join(struct.pack("<2dq", *each) for each in model.seen[name])
    (folder / "images.bin").write_bytes(images)
    points = struct.pack("<Q", len(model.points))
    for key, (place, color) in model.points.items():
        seen = [(image, row) for image, row in ((1, 0), (2, 1))]
        points += struct.pack("<Q3d3BdQ", key, *place, *color, 0.25, len(seen))
        points += b"".join(struct.pack("<ii", *pair) for pair in seen)
    (folder / "points3D.bin").write_bytes(points)


def write_text(folder: Path, model: Model, lens: Lens = STRAIGHT) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = " ".join(repr(float(number)) for number in (*_pinhole(model), *lens))
    camera = f"5 OPENCV {model.width} {model.height} {numbers}"
    (folder / "cameras.txt").write_text(f"# one line per camera\n{camera}\n")
    lines = ["# two lines per image"]
    for key, name in enumerate(reversed(model.poses), start=1):
        pose = " ".join(f"{number:.17g}" for number in _pose(model.poses[name]))
        lines.append(f"{key} {pose} 5 {name}")
        lines.append(" ".join(f"{x:.17g} {y:.17g} {point}" for x, y, point in model.seen[name]))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    points = ["# one line per point"]
    for key, (place, color) in model.points.items():
        points.append(" ".join(map(str, (key, *place, *color, 0.25, 1, 0, 2, 1))))
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")


def _pinhole(model: Model) -> list[float]:
    return [model.intrinsics[row, column] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2))]


def _pose(matrix: np.ndarray) -> list[float]:
    """Quaternion w x y z and translation."""
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return [w, x, y, z, *matrix[:3, 3]]
