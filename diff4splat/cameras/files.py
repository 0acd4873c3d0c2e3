"""Camera paths from and to the files that people have.

- `json`: ours, described in `save_cameras`; camera-to-world, OpenCV axes, intrinsics in pixels.
- `transforms`: the `transforms.json` of NeRF and nerfstudio; camera-to-world, OpenGL camera axes (y up, z
  back), `fl_x`, `fl_y`, `cx`, `cy` in pixels or `camera_angle_x`.
- `realestate10k`: text, 19 numbers a line (microseconds, four intrinsics divided by the image size, two
  zeros, 3x4 world-to-camera in OpenCV axes), after a line with the address of the video.
- `npz`: numpy arrays `c2w` or `w2c` (3x4 or 4x4, OpenCV axes) and `K` (one for all frames or one each, in
  pixels).

World coordinates are never changed: only camera axes are converted.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from diff4splat.cameras.cameras import Cameras
from diff4splat.files import atomic_path
from diff4splat.geometry import rigid_inverse

__all__ = ["load_cameras", "save_cameras"]

CameraFormat = Literal["json", "transforms", "realestate10k", "npz"]

_JSON_NAME, _JSON_VERSION = "diff4splat-cameras", 1
_MAX_SIDE = 65_536
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def load_cameras(path: str | Path, *, height: int | None = None, width: int | None = None) -> Cameras:
    """Read a camera path; the format is recognised from the suffix and the content.

    Args:
        path: File ending in `.json` (ours or `transforms.json`), `.txt` (RealEstate10K) or `.npz`.
        height: Image rows wanted; required where the file does not state a size, else the cameras are resized
            to it.
        width: Image columns wanted, likewise.

    Returns:
        Validated cameras without batch axes, float32, on the CPU, in the order of the file.

    Raises:
        ValueError: If the file is not of a known format, is damaged, or holds values that are no cameras; the
            message starts with the path.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    readers = {".json": _read_json, ".txt": _read_realestate10k, ".npz": _read_npz}
    try:
        if path.suffix.lower() not in readers:
            raise ValueError(f"suffix must be one of {', '.join(readers)}, got {path.suffix!r}.")
        camera_to_world, intrinsics, stored_height, stored_width = readers[path.suffix.lower()](
            path, height, width
        )
        if len(camera_to_world) == 0:
            raise ValueError("file must hold at least one camera, got none.")
        cameras = Cameras(
            torch.tensor(camera_to_world, dtype=torch.float64),
            torch.tensor(intrinsics, dtype=torch.float64),
            stored_height,
            stored_width,
        )
        cameras.validate()
        wanted_height = stored_height if height is None else height
        wanted_width = stored_width if width is None else width
        single = cameras.resize(wanted_height, wanted_width).to(dtype=torch.float32)
        single.validate()  # numbers beyond the range of float32 have become infinite
        return single
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def save_cameras(cameras: Cameras, path: str | Path, *, format: CameraFormat | None = None) -> None:
    """Write a camera path; an existing file is replaced in one step.

    The `json` format is `{"format": "diff4splat-cameras", "version": 1, "axes": "opencv", "height": rows,
    "width": columns, "camera_to_world": [frame][4][4], "intrinsics": [frame][3][3]}`, matrices in row order.

    Args:
        cameras: Cameras without batch axes.
        path: File to write; its folder must exist.
        format: File format. When omitted: `.npz` and `.txt` (RealEstate10K) from the suffix, `transforms` for
            a name that starts so and ends in `.json`, else `json` for `.json`.

    Raises:
        ValueError: If the cameras have batch axes or are invalid, the format cannot hold them (skew), or the
            format is unknown.
    """
    path = Path(path)
    if cameras.batch_shape:
        raise ValueError(f"cameras must have no batch axes, got batch shape {list(cameras.batch_shape)}.")
    cameras.validate()
    chosen = _format_of(path) if format is None else format
    if chosen == "json":
        content = _write_json(cameras)
    elif chosen == "transforms":
        content = _write_transforms(cameras)
    elif chosen == "realestate10k":
        content = _write_realestate10k(cameras)
    elif chosen == "npz":
        content = _write_npz(cameras)
    else:
        raise ValueError(f"format must be json, transforms, realestate10k or npz, got {chosen!r}.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


_Read = tuple[np.ndarray, np.ndarray, int, int]


def _read_json(path: Path, height: int | None, width: int | None) -> _Read:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # JSONDecodeError is a ValueError
    except RecursionError:
        raise ValueError("file must hold a JSON object, got one nested too deeply.") from None
    if not isinstance(content, dict):
        raise ValueError(f"file must hold a JSON object, got {type(content).__name__}.")
    if "frames" in content:
        return _read_transforms(content, height, width)
    if content.get("format") != _JSON_NAME:
        raise ValueError(f"JSON must be {_JSON_NAME} or a transforms.json with frames, got neither.")
    if content.get("version") != _JSON_VERSION or content.get("axes") != "opencv":
        raise ValueError(
            f"version must be {_JSON_VERSION} and axes opencv, "
            f"got {content.get('version')!r} and {content.get('axes')!r}."
        )
    camera_to_world = _numbers("camera_to_world", content.get("camera_to_world"), (4, 4))
    intrinsics = _numbers("intrinsics", content.get("intrinsics"), (3, 3))
    return camera_to_world, intrinsics, _size("height", content), _size("width", content)


def _read_transforms(content: dict[str, Any], height: int | None, width: int | None) -> _Read:
    frames = content["frames"]
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise ValueError("frames must be a list of objects, got something else.")
    camera_to_world = _numbers(
        "transform_matrix", [frame.get("transform_matrix") for frame in frames], (4, 4)
    )
    rows = [{**content, **frame} for frame in frames]
    sizes = {(_size("h", row, height), _size("w", row, width)) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"frames must share one image size, got {sorted(sizes)}.")
    stored_height, stored_width = next(iter(sizes), (1, 1))
    intrinsics = np.stack(
        [_transforms_intrinsics(row, stored_height, stored_width) for row in rows] or [np.eye(3)]
    )
    return camera_to_world @ _OPENGL_TO_OPENCV, intrinsics, stored_height, stored_width


def _transforms_intrinsics(row: dict[str, Any], height: int, width: int) -> np.ndarray:
    for name in _DISTORTION:
        if row.get(name):
            raise ValueError(f"{name} must be zero (undistort the images first), got {row[name]}.")
    focal_x = _number("fl_x", row)
    if focal_x is None:
        angle = _number("camera_angle_x", row)
        if angle is None or not 0 < angle < math.pi:
            raise ValueError(f"frames must have fl_x or a camera_angle_x between 0 and pi, got {angle}.")
        focal_x = width / (2 * math.tan(angle / 2))
    focal_y = _number("fl_y", row)
    centre_x, centre_y = _number("cx", row), _number("cy", row)
    return np.array(
        [
            [focal_x, 0.0, width / 2 if centre_x is None else centre_x],
            [0.0, focal_x if focal_y is None else focal_y, height / 2 if centre_y is None else centre_y],
            [0.0, 0.0, 1.0],
        ]
    )


def _read_realestate10k(path: Path, height: int | None, width: int | None) -> _Read:
    if height is None or width is None:
        raise ValueError(
            "height and width must be given, for RealEstate10K files state no image size, "
            f"got {height} and {width}."
        )
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or (number == 1 and len(words) == 1):  # the first line is the address of the video
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"line {number} must hold numbers, got {line[:40]!r}.") from None
        if len(row) != 19:
            raise ValueError(f"line {number} must hold 19 numbers, got {len(row)}.")
        if not np.isfinite(row).all():
            raise ValueError(f"line {number} must hold finite numbers, got {line[:40]!r}.")
        if row[5] or row[6]:
            raise ValueError(f"line {number} must have zero distortion, got {row[5]} and {row[6]}.")
        rows.append(row)
    values = np.array(rows, dtype=np.float64).reshape(-1, 19)
    intrinsics = np.tile(np.eye(3), (len(values), 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = values[:, 1] * width, values[:, 2] * height
    intrinsics[:, 0, 2], intrinsics[:, 1, 2] = values[:, 3] * width, values[:, 4] * height
    return _rigid_inverse(_square(values[:, 7:].reshape(-1, 3, 4))), intrinsics, height, width


def _read_npz(path: Path, height: int | None, width: int | None) -> _Read:
    content = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(content):
        raise ValueError("file must be an npz archive, got something else.")
    try:
        with np.load(content, allow_pickle=False) as archive:
            wanted = {"c2w", "w2c", "K", "height", "width"}
            arrays: dict[str, np.ndarray] = {name: archive[name] for name in archive.files if name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"file must be an npz archive, got a damaged one ({error}).") from error
    if ("c2w" in arrays) == ("w2c" in arrays) or "K" not in arrays:
        raise ValueError(f"npz must hold K and either c2w or w2c, got {sorted(arrays)}.")
    name = "c2w" if "c2w" in arrays else "w2c"
    matrices = np.asarray(arrays[name])
    matrices = _numbers(name, matrices, (3, 4) if matrices.shape[-2:] == (3, 4) else (4, 4))
    matrices = _square(matrices) if matrices.shape[-2] == 3 else matrices
    intrinsics = np.asarray(arrays["K"])
    if intrinsics.ndim == 2:
        intrinsics = np.broadcast_to(intrinsics, (len(matrices), *intrinsics.shape))
    stored: dict[str, Any] = {key: array.item() for key, array in arrays.items() if array.size == 1}
    return (
        matrices if name == "c2w" else _rigid_inverse(matrices),
        _numbers("K", intrinsics, (3, 3)),
        _size("height", stored, height),
        _size("width", stored, width),
    )


def _write_json(cameras: Cameras) -> bytes:
    camera_to_world, intrinsics = _arrays(cameras)
    content = {
        "format": _JSON_NAME,
        "version": _JSON_VERSION,
        "axes": "opencv",
        "height": cameras.height,
        "width": cameras.width,
        "camera_to_world": camera_to_world.tolist(),
        "intrinsics": intrinsics.tolist(),
    }
    return (json.dumps(content) + "\n").encode()


def _write_transforms(cameras: Cameras) -> bytes:
    camera_to_world, intrinsics = _arrays(cameras)
    _refuse_skew(intrinsics)
    frames = [
        {
            "file_path": f"images/frame_{index:05d}.png",
            "fl_x": matrix[0, 0],
            "fl_y": matrix[1, 1],
            "cx": matrix[0, 2],
            "cy": matrix[1, 2],
            "transform_matrix": (pose @ _OPENGL_TO_OPENCV).tolist(),
        }
        for index, (pose, matrix) in enumerate(zip(camera_to_world, intrinsics, strict=True))
    ]
    content = {"camera_model": "OPENCV", "w": cameras.width, "h": cameras.height, "frames": frames}
    return (json.dumps(content, indent=1) + "\n").encode()


def _write_realestate10k(cameras: Cameras) -> bytes:
    camera_to_world, intrinsics = _arrays(cameras)
    _refuse_skew(intrinsics)
    lines = ["diff4splat"]
    for index, (inverse, matrix) in enumerate(zip(_rigid_inverse(camera_to_world), intrinsics, strict=True)):
        lens = (
            matrix[0, 0] / cameras.width,
            matrix[1, 1] / cameras.height,
            matrix[0, 2] / cameras.width,
            matrix[1, 2] / cameras.height,
        )
        microseconds = round(index * 1e6 / 30)
        numbers = (*lens, 0.0, 0.0, *inverse[:3].ravel())
        lines.append(" ".join([str(microseconds), *(f"{number:.9f}" for number in numbers)]))
    return ("\n".join(lines) + "\n").encode()


def _write_npz(cameras: Cameras) -> bytes:
    camera_to_world, intrinsics = _arrays(cameras)
    buffer = io.BytesIO()
    np.savez(buffer, c2w=camera_to_world, K=intrinsics, height=cameras.height, width=cameras.width)
    return buffer.getvalue()


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return "transforms" if path.name.startswith("transforms") else "json"
    formats = {".txt": "realestate10k", ".npz": "npz"}
    if suffix not in formats:
        raise ValueError(f"path must end in .json, .txt or .npz when format is omitted, got {path.name!r}.")
    return formats[suffix]


def _arrays(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    camera_to_world = cameras.camera_to_world.detach().cpu().double().numpy()
    return camera_to_world, cameras.intrinsics.detach().cpu().double().numpy()


def _numbers(name: str, values: Any, shape: tuple[int, int]) -> np.ndarray:
    try:
        if np.iscomplexobj(values):
            raise TypeError
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name} must hold matrices of {shape[0]} x {shape[1]} numbers, got other values."
        ) from None
    if array.size == 0:
        return np.zeros((0, *shape))
    if array.shape[1:] != shape:
        raise ValueError(f"{name} must have shape [frame, {shape[0]}, {shape[1]}], got {list(array.shape)}.")
    return array


def _number(name: str, row: dict[str, Any]) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    return float(value)


def _size(name: str, content: Mapping[str, Any], default: int | None = None) -> int:
    value = content.get(name, default)
    if value is None:
        raise ValueError(f"{name} must be given: the file states no image size.")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= _MAX_SIDE or value % 1:
        raise ValueError(f"{name} must be a whole number of pixels from 1 to {_MAX_SIDE}, got {value!r}.")
    return int(value)


def _square(matrices: np.ndarray) -> np.ndarray:
    last_row = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (len(matrices), 1, 4))
    return np.concatenate((matrices, last_row), axis=1)


def _rigid_inverse(matrices: np.ndarray) -> np.ndarray:
    return rigid_inverse(torch.from_numpy(matrices)).numpy()


def _refuse_skew(intrinsics: np.ndarray) -> None:
    if np.abs(intrinsics[:, 0, 1]).max() > 0:
        raise ValueError("intrinsics must have no skew in this format, got a skewed camera; use json or npz.")
