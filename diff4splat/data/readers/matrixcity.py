"""MatrixCity: a city of Unreal Engine from the air and from its streets, with depth.

Poses take the camera to the world, with OpenGL camera axes and z up, in metres, and a rotation that is
multiplied by 0.01 (or places in hundreds of metres, in the files of splits); depth is along the view axis, in
centimetres, and 65504, the largest half float, where it is unknown or further than 655 m.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.cameras.files.matrices import check_rigid, number, numbers
from diff4splat.cameras.files.request import intrinsics_of
from diff4splat.data.readers.pictures import check_shape, picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.text import read_json, starts_with
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.files import natural_order

__all__ = ["MatrixCity"]

_CITIES = ("small_city", "big_city")
_DEPTHS = ("_depth_float32", "_depth")  # what follows the city's name; the wider numbers first
_SPLIT = re.compile(r"transforms_[a-z_]+\.json")
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_HALF_MAX = 65504.0  # centimetres
_FAR_CM = 1e6  # of float32 depth, beyond which lies nothing of the city
_JUMP_DEG = 45.0


class MatrixCity(DatasetReader):
    """MatrixCity: `small_city/{aerial,street}/{train,test,train_dense}/<block>/` and depth in a second tree.

    A block holds `transforms.json` (`rot_mat` by `frame_index`) and its pictures `0000.png`. Its depth is
    looked for as `small_city_depth_float32/.../<block>*/0000.exr` and `small_city_depth/...`, beside the
    folder `small_city`. Where there are no blocks, `pose/<block>/transforms_<split>.json` are read instead,
    whose `file_path` leads to the pictures. `big_city` likewise.

    Depth is smoothed at the edges of things, so that it is of neither side there. Pictures are metres apart,
    with no time between them; in the street they are the faces of cubes in no stated order, so neighbours may
    look 90 degrees apart: `facts["jumps"]` are the numbers of those that turn by more than 45 degrees from
    the one before. Nothing moves. Needs OpenEXR for depth.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "matrixcity"
    title = "MatrixCity"
    licence = "CC-BY-NC-4.0"
    static = True

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with a `transforms.json` that starts with `rot_mat`, or else files of splits."""
        blocks = []
        for file in folder.rglob("transforms.json"):
            is_block = starts_with(file, b"rot_mat", within=4096)
            if is_block is None:  # it cannot be opened, which is said when it is read
                is_block = not {*_CITIES}.isdisjoint(file.absolute().parts)
            if is_block:
                blocks.append(file.parent.relative_to(folder).as_posix())
        if blocks:
            return sorted(blocks, key=natural_order)
        splits = []
        for file in folder.rglob("transforms_*.json"):
            inside = {*file.absolute().parts} & {*_CITIES, "pose"}
            if _SPLIT.fullmatch(file.name) and "pose" in inside and len(inside) > 1:
                splits.append(file.relative_to(folder).with_suffix("").as_posix())
        return sorted(splits, key=natural_order)

    def info(self, name: str) -> RecordingInfo:
        """What there is: the pictures that are there; depth where every one of them has it."""
        block = self._block(name)
        if not block.pictures:
            missing = f"pictures of {block.file}, got none of its {len(block.matrices)} frames."
            return RecordingInfo(name, 0, 0, 0, None, frozenset({"cameras"}), "metre", missing)
        height, width = picture_size(block.pictures[0])
        holds = frozenset({"cameras", "depth"} if self._depths(block) else {"cameras"})
        return RecordingInfo(name, len(block.pictures), height, width, None, holds, "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras and depth; where it is unknown or too far, `depth_mask` does not hold."""
        wanted = self.pick(name, frames)
        block = self._block(name)
        video = read_pictures([block.pictures[index] for index in wanted])
        height, width = video.shape[-2:]
        cameras = _cameras(block, wanted, height, width)
        depths = self._depths(block)
        depth = mask = None
        if depths:
            depth, mask = _read_depths([depths[index] for index in wanted], height, width)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            depth=depth,
            depth_mask=mask,
            numbers=tuple(block.numbers[index] for index in wanted),
            unit="metre",
            static=self.static,
            facts={
                "frames_without_picture": block.without_picture,
                "jumps": [block.numbers[index] for index in _jumps(block.matrices)],
                "depth": depths[0].parent.name if depths else None,
            },
        )

    def _sources(self, name: str) -> list[Path]:
        block = self._block(name)
        return [block.file, *block.pictures, *self._depths(block)]

    def _block(self, name: str) -> "_Block":
        place = self.folder / name
        file = place / "transforms.json"
        if not file.is_file() and place.with_name(f"{place.name}.json").is_file():
            file = place.with_name(f"{place.name}.json")
        return _read_block(file)

    def _depths(self, block: "_Block") -> list[Path]:
        """Depth of every picture; none where there is no such tree."""
        for end in _DEPTHS:
            folders = {folder: _depth_folder(folder, end) for folder in {f.parent for f in block.pictures}}
            found = [folder for folder in folders.values() if folder is not None]
            if not found:
                continue
            files = [(folders[file.parent], file.stem) for file in block.pictures]
            depths = [(folder or found[0]) / f"{stem}.exr" for folder, stem in files]
            missing = [file for file in depths if not file.is_file()]
            if missing:
                raise ValueError(
                    f"{missing[0].parent} must hold depth for every picture, lacks {len(missing)}, the first "
                    f"{missing[0].name}."
                )
            return depths
        return []


class _Block(NamedTuple):
    file: Path
    pictures: list[Path]
    numbers: list[int]
    matrices: np.ndarray  # camera-to-world of each picture, OpenCV axes, metres
    lenses: list[dict[str, Any]]  # what is said about the lens of each picture
    without_picture: int


def _read_block(file: Path) -> _Block:
    content = read_json(file)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(row, Mapping) for row in frames):
        raise ValueError(f"{file} must hold an object with a list of frames, got none.")
    is_block = "rot_mat" in frames[0]
    key = "rot_mat" if is_block else "transform_matrix"
    try:
        matrices = _rigid(key, numbers(key, [row.get(key) for row in frames], (4, 4)), not is_block)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    pictures = [_picture(file, index, row, is_block) for index, row in enumerate(frames)]
    if len(set(pictures)) < len(pictures):
        twice = next(picture for picture in pictures if pictures.count(picture) > 1)
        raise ValueError(f"{file} must list each frame once, got {twice.name} twice.")
    listed = {folder: _names(folder) for folder in {picture.parent for picture in pictures}}
    order = sorted(range(len(frames)), key=lambda index: natural_order(str(pictures[index])))
    there = [index for index in order if pictures[index].name in listed[pictures[index].parent]]
    lens = {name: value for name, value in content.items() if name != "frames"}
    kept = there or order
    return _Block(
        file,
        [pictures[index] for index in there],
        [int(frames[index]["frame_index"]) if is_block else place for place, index in enumerate(kept)],
        matrices[kept],
        [{**lens, **frames[index]} for index in kept],
        len(frames) - len(there),
    )


def _picture(file: Path, index: int, row: Mapping[str, Any], is_block: bool) -> Path:
    if is_block:
        frame = row.get("frame_index")
        if isinstance(frame, bool) or not isinstance(frame, int) or frame < 0:
            raise ValueError(f"{file} frame {index} must have a frame_index from 0, got {frame!r}.")
        return file.parent / f"{frame:04d}.png"
    path = row.get("file_path")
    if not isinstance(path, str) or not path:
        raise ValueError(f"{file} frame {index} must have a file_path, got {path!r}.")
    return (file.parent / path).resolve()


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()


def _rigid(name: str, matrices: np.ndarray, is_split: bool) -> np.ndarray:
    """Camera-to-world matrices in metres, with OpenCV axes, from those of a file."""
    rigid = matrices.copy()
    rigid[:, 3] = [0.0, 0.0, 0.0, 1.0]  # splits of several blocks write 0.01 in the corner
    scales = np.linalg.norm(matrices[:, :3, :3], axis=(1, 2)) / math.sqrt(3)
    if np.abs(scales - 0.01).max() < 1e-4:
        rigid[:, :3, :3] *= 100
    if is_split:
        rigid[:, :3, 3] *= 100
    check_rigid(name, rigid)
    return rigid @ _OPENGL_TO_OPENCV


def _cameras(block: _Block, wanted: list[int], height: int, width: int) -> Cameras:
    """Cameras of pictures of this size, whose lens may be said for another one."""
    lenses = np.tile(np.eye(3), (len(wanted), 1, 1))
    for place, index in enumerate(wanted):
        try:
            lens, full_height, full_width = _lens(block.lenses[index], height, width)
        except ValueError as error:
            raise ValueError(f"{block.file}: {error}") from error
        check_shape(block.pictures[index], (height, width), (round(full_height), round(full_width)))
        lenses[place] = np.diag([width / full_width, height / full_height, 1.0]) @ lens
    poses = torch.from_numpy(block.matrices[wanted]).float()
    return Cameras(poses, torch.from_numpy(lenses).float(), height, width)


def _lens(row: dict[str, Any], height: int, width: int) -> tuple[np.ndarray, float, float]:
    """Intrinsics, and height and width of the image that they are said for."""
    value = {name: number(name, row) for name in ("w", "h", "camera_angle_x", "fl_x", "fl_y", "cx", "cy")}
    full_width, full_height = value["w"] or float(width), value["h"] or float(height)
    focal_x, angle = value["fl_x"], value["camera_angle_x"]
    if focal_x is None:
        if angle is None or not 0 < angle < math.pi:
            raise ValueError(f"frames must have fl_x or a camera_angle_x between 0 and pi, got {angle}.")
        focal_x = full_width / 2 / math.tan(angle / 2)
    centre_x = full_width / 2 if value["cx"] is None else value["cx"]
    centre_y = full_height / 2 if value["cy"] is None else value["cy"]
    return intrinsics_of(focal_x, value["fl_y"] or focal_x, centre_x, centre_y), full_height, full_width


def _jumps(matrices: np.ndarray) -> list[int]:
    """Places of cameras that look elsewhere than the one before."""
    relative = matrices[:-1, :3, :3].swapaxes(1, 2) @ matrices[1:, :3, :3]
    cosines = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    return [index + 1 for index in np.flatnonzero(cosines < math.cos(math.radians(_JUMP_DEG))).tolist()]


def _depth_folder(pictures: Path, end: str) -> Path | None:
    """The folder of depth of a folder of pictures, in the tree whose name ends so."""
    parts = pictures.absolute().parts
    for city in _CITIES:
        if city in parts:
            at = len(parts) - 1 - parts[::-1].index(city)
            parent = Path(*parts[:at], f"{city}{end}", *parts[at + 1 : -1])
            if not parent.is_dir():
                return None
            # block_1 and block_1_depth, but not block_10
            pattern = re.compile(re.escape(parts[-1]) + r"(?![0-9]).*")
            return next((each for each in sorted(parent.iterdir()) if pattern.fullmatch(each.name)), None)
    return None


def _read_depths(files: list[Path], height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth maps, metres, and where they are known."""
    metres, known = (np.empty((len(files), height, width), dtype) for dtype in (np.float32, bool))
    for index, file in enumerate(files):
        values = _read_exr(file)
        if values.shape != (height, width):
            raise ValueError(f"{file} must hold {height} x {width} depths, got {list(values.shape)}.")
        limit = _HALF_MAX if values.dtype == np.float16 else _FAR_CM
        centimetres = values.astype(np.float32)
        np.logical_and(centimetres > 0, centimetres < limit, out=known[index])  # neither holds for nan
        np.divide(centimetres, 100, out=metres[index])
    return torch.from_numpy(metres), torch.from_numpy(known)


def _read_exr(file: Path) -> np.ndarray:
    """The first channel of an EXR picture, B of B, G and R, as other readers take it; all hold the same."""
    try:
        import OpenEXR
    except ImportError as error:
        raise ImportError('depth of MatrixCity needs OpenEXR: pip install "diff4splat[data]"') from error
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        with OpenEXR.File(str(file.absolute()), separate_channels=True) as content:
            channels = content.channels()
            return np.array(channels[min(channels)].pixels)
    except (RuntimeError, ValueError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is not a readable EXR picture: {error}") from error
