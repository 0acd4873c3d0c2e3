"""COLMAP models, text and binary: `cameras` and `images`; world-to-camera, OpenCV axes, quaternions wxyz.

Pixel centres are at +0.5, as here. Images are sorted by name, numbers in it by value, for their ids tell
nothing about time.
"""

import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diff4splat.cameras.files.matrices import quaternions_to_matrices, rigid_inverses
from diff4splat.cameras.files.request import Read, Request, intrinsics_of, stored_size
from diff4splat.geometry import matrix_to_quaternion

__all__ = ["Bytes", "find_model", "read_colmap", "read_distortions", "read_images", "write_colmap"]

# Names in the order of their numbers, and how their parameters are called.
_MODELS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "FOV": "fx fy cx cy omega",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
}
_PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")


class _Lens(NamedTuple):
    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


class _Image(NamedTuple):
    pose: tuple[float, ...]  # qw qx qy qz tx ty tz
    lens: int
    name: str
    points: bytes | str  # what it sees: x, y and a point's id, as the file has them


def find_model(path: Path) -> Path:
    """Where the images of the model lie that a path means; its cameras lie beside, with the same suffix.

    Args:
        path: The folder, a project's folder with `sparse/0` or `sparse` in it, or one of the model's files.

    Returns:
        `images.bin` or `images.txt` of a model that has `cameras` of the same suffix, the binary one first.

    Raises:
        FileNotFoundError: If there is none.
    """
    below = ("sparse/0", "sparse", "0", ".")
    folders = [path / name for name in below] if path.is_dir() else [path.parent]
    for folder in folders:
        for suffix in (".bin", ".txt") if path.is_dir() else (path.suffix.lower(),):
            if (folder / f"cameras{suffix}").is_file() and (folder / f"images{suffix}").is_file():
                return folder / f"images{suffix}"
    raise FileNotFoundError(f"{path} holds no COLMAP model: cameras and images, both .bin or both .txt.")


def read_colmap(path: Path, request: Request) -> Read:
    """Cameras of a model, one per registered image, sorted by the images' names."""
    request.refuse_stated("COLMAP", "axes", "direction", "field_of_view_deg")
    file = find_model(path)
    lenses, images = _lenses(file), read_images(file)
    if not images:
        raise ValueError("model must hold at least one image, got none.")
    unknown = [image.name for image in images if image.lens not in lenses]
    if unknown:
        raise ValueError(f"images must have a camera of cameras{file.suffix}, got none for {unknown[0]}.")
    used = [lenses[image.lens] for image in images]
    sizes = {(lens.height, lens.width) for lens in used}
    if len(sizes) > 1:
        raise ValueError(f"images must share one size, got height and width {sorted(sizes)}.")
    height, width = (stored_size("size of an image", {"size of an image": side}) for side in sizes.pop())
    poses = np.array([image.pose for image in images], dtype=np.float64)
    matrices = quaternions_to_matrices(poses[:, :4], poses[:, 4:])
    intrinsics = np.stack([_pinhole(lens, request) for lens in used])
    return Read(rigid_inverses(matrices), intrinsics, height, width)


def read_images(file: Path) -> list[_Image]:
    """Registered images in the order of their cameras: sorted by name, numbers in it by value.

    Args:
        file: `images.bin` or `images.txt`.

    Returns:
        Pose, id of the lens, name, and the points that are seen, still in the words of the file.
    """
    images = _images_binary(file) if file.suffix == ".bin" else _images_text(file)
    return sorted(images, key=lambda image: _by_number(image.name))


def read_distortions(file: Path) -> list[dict[str, float]]:
    """What `read_colmap` drops of the lens of each image, in the order of `read_images`.

    Args:
        file: `images.bin` or `images.txt`.

    Returns:
        Coefficients that are not zero, by COLMAP's names.
    """
    lenses = _lenses(file)
    return [_bent(lenses[image.lens]) for image in read_images(file)]


def _lenses(file: Path) -> dict[int, _Lens]:
    """Lenses by id, from beside the images."""
    cameras = file.with_name(f"cameras{file.suffix}")
    return _cameras_binary(cameras) if file.suffix == ".bin" else _cameras_text(cameras)


def _bent(lens: _Lens) -> dict[str, float]:
    values = zip(_MODELS[lens.model].split(), lens.parameters, strict=True)
    return {name: value for name, value in values if name[0] in "kps" and value}


def _by_number(name: str) -> list[tuple[int, str]]:
    """Key by which frame_2 stands before frame_10."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", name) if word]


def _pinhole(lens: _Lens, request: Request) -> np.ndarray:
    if lens.model not in _PINHOLES:
        raise ValueError(
            f"camera model must be one of {', '.join(_PINHOLES)}, got {lens.model}: "
            "undistort the images (colmap image_undistorter)."
        )
    values = dict(zip(_MODELS[lens.model].split(), lens.parameters, strict=True))
    request.take_distortion(_bent(lens))
    focal_x = values.get("fx", values.get("f", 0.0))
    return intrinsics_of(focal_x, values.get("fy", focal_x), values["cx"], values["cy"])


def _cameras_text(path: Path) -> dict[int, _Lens]:
    lenses = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            lens = _Lens(words[1], int(words[2]), int(words[3]), tuple(map(float, words[4:])))
            _check_lens(lens)
            lenses[int(words[0])] = lens
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path.name} line {number} must be an id, a model, width, height and its parameters, "
                f"got {line[:60]!r} ({error})."
            ) from None
    return lenses


def _check_lens(lens: _Lens) -> None:
    if lens.model not in _MODELS:
        raise ValueError(f"unknown model {lens.model!r}")
    expected = len(_MODELS[lens.model].split())
    if len(lens.parameters) != expected:
        raise ValueError(f"{lens.model} has {expected} parameters, not {len(lens.parameters)}")


def _images_text(path: Path) -> list[_Image]:
    images = []
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        words = line.split(maxsplit=9)
        if not words or words[0].startswith("#"):
            continue
        try:
            pose, lens, name = tuple(map(float, words[1:8])), int(words[8]), words[9]
        except (ValueError, IndexError):
            raise ValueError(
                f"{path.name} line {number} must be an id, a quaternion, a translation, a camera id and a "
                f"name, got {line[:60]!r}."
            ) from None
        _, points = next(lines, (0, ""))  # a line that may be empty
        images.append(_Image(pose, lens, name, points))
    return images


def _cameras_binary(path: Path) -> dict[int, _Lens]:
    content, lenses = Bytes(path), {}
    for _ in range(content.take("<Q")[0]):
        key, model, width, height = content.take("<iiQQ")
        if not 0 <= model < len(_MODELS):
            raise ValueError(f"{path.name} must hold camera models 0 to {len(_MODELS) - 1}, got {model}.")
        name = list(_MODELS)[model]
        lenses[key] = _Lens(name, width, height, content.take(f"<{len(_MODELS[name].split())}d"))
    return lenses


def _images_binary(path: Path) -> list[_Image]:
    content, images = Bytes(path), []
    for _ in range(content.take("<Q")[0]):
        _, *pose, lens = content.take("<i7di")
        name = content.take_text()
        points = content.take_bytes(24 * content.take("<Q")[0])
        images.append(_Image(tuple(pose), lens, name, points))
    return images


class Bytes:
    """A binary file read from its start, which says where it is cut off.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._name, self._content, self._at = path.name, path.read_bytes(), 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The next numbers, by their form in the words of `struct`."""
        start = self._at
        self.skip(struct.calcsize(form))
        return struct.unpack_from(form, self._content, start)

    def take_bytes(self, count: int) -> bytes:
        """The next bytes as they are."""
        start = self._at
        self.skip(count)
        return self._content[start : self._at]

    def take_text(self) -> str:
        """The next text, which ends with a zero byte."""
        end = self._content.find(b"\0", self._at)
        start = self._at
        self.skip(end + 1 - start if end >= 0 else len(self._content) + 1)
        return self._content[start:end].decode("utf-8", errors="replace")

    def skip(self, count: int) -> None:
        """Go on by some bytes."""
        if self._at + count > len(self._content):
            raise ValueError(f"{self._name} is cut off after {len(self._content)} bytes.")
        self._at += count


def write_colmap(cameras: Read) -> dict[str, bytes]:
    """The text files of a model without points, by their names; the lenses must have no skew."""
    lens_lines, image_lines = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"], ["# two lines per image:"]
    image_lines.append("# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then POINTS2D[]")
    inverses = rigid_inverses(cameras.camera_to_world)
    quaternions = matrix_to_quaternion(torch.from_numpy(inverses[:, :3, :3])).numpy()
    ids: dict[tuple[float, ...], int] = {}
    for index, matrix in enumerate(cameras.intrinsics):
        lens = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        if lens not in ids:
            ids[lens] = len(ids) + 1
            words = " ".join(f"{number:.12g}" for number in lens)
            lens_lines.append(f"{ids[lens]} PINHOLE {cameras.width} {cameras.height} {words}")
        pose = " ".join(f"{number:.12g}" for number in (*quaternions[index], *inverses[index, :3, 3]))
        image_lines += [f"{index + 1} {pose} {ids[lens]} frame_{index:05d}.png", ""]
    points = "# POINT3D_ID X Y Z R G B ERROR TRACK[]"
    texts = {"cameras.txt": lens_lines, "points3D.txt": [points], "images.txt": image_lines}
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in texts.items()}
