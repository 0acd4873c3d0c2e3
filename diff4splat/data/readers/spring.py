"""Spring: stereo pairs of an animated film, in high resolution, with disparity and cameras.

`cam_data/extrinsics.txt` takes the world to the left camera (OpenCV); the right one stands 0.065 m to its
right. Disparity is stored at twice the size of the images, in pixels of the images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.readers.layout import companions, folders_where, numbered_frames
from diff4splat.data.readers.maps import read_mask
from diff4splat.data.readers.matrices import cameras_from_world_to_camera, read_table
from diff4splat.data.readers.pictures import picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["Spring"]

_BASELINE = 0.065  # metres
_FPS = 24.0
_SIDES = ("left", "right")


class Spring(DatasetReader):
    """Spring: `spring/<train|test>/0001` with `frame_left`, `disp1_left`, `cam_data` and `maps`.

    The left and the right camera are a recording each, `train/0001/left` and `train/0001/right`. Files and
    `Recording.numbers` count from 1; row n - 1 of the tables belongs to frame n. The lens may zoom. Depth is
    focal length x 0.065 m / disparity, of every second value of the stored map, which keeps float32's
    precision; where there is no disparity, or a sky map says so, it is unknown. What moves by itself is what
    a rigid map marks: that of the motion to the next frame, or to the one before where there is none. The
    test split has neither depth nor poses: its recordings have no cameras, and `facts["intrinsics"]` holds
    focal lengths and principal points. Hair and grass are thin: every second value of a map is not an
    average.

    Reading depth needs h5py: `pip install "diff4splat[data]"`.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "spring"
    title = "Spring"
    licence = "CC-BY-4.0"
    cameras_share_folder = True

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with `cam_data` and `frame_left` or `frame_right`."""
        found = []
        for place in folders_where(folder, lambda _, names: "cam_data" in names):
            sides = [side for side in _SIDES if (place / f"frame_{side}").is_dir()]
            found += [(place.relative_to(folder) / side).as_posix() for side in sides]
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth and masks where every frame has them, cameras where there are poses."""
        files = self._files(name)
        holds = {key for key in ("depth", "dynamic_mask") if files[key]}
        if files["poses"].is_file():
            holds.add("cameras")
        height, width = picture_size(next(iter(files["images"].values())))
        return RecordingInfo(name, len(files["images"]), height, width, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras, depth and what moves; the sky has no depth."""
        wanted = self.pick(name, frames)
        files = self._files(name)
        numbers = [list(files["images"])[index] for index in wanted]
        rows = [number - 1 for number in numbers]
        video = read_pictures([files["images"][number] for number in numbers])
        height, width = size = (video.shape[-2], video.shape[-1])
        last = max(files["images"])
        lenses = _table(files["lenses"], 4, last)[rows]
        depth = mask = moving = None
        if files["depth"]:
            disparity = np.stack([_disparity(files["depth"][number], size) for number in numbers])
            known = (disparity > 0) & (disparity < np.inf)  # neither holds for nan
            for index, number in enumerate(numbers):
                if files["sky"]:
                    known[index] &= ~_marked(files["sky"][number], size)
            scale = (lenses[:, 0] * _BASELINE).astype(np.float32)[:, None, None]
            distance = np.zeros_like(disparity)
            np.divide(scale, disparity, out=distance, where=known)
            depth = torch.from_numpy(distance)
            mask = torch.from_numpy(known)
        if files["dynamic_mask"]:
            moving = torch.from_numpy(
                np.stack([_marked(files["dynamic_mask"][number], size) for number in numbers])
            )
        cameras, facts = None, {}
        if files["poses"].is_file():
            poses = _table(files["poses"], 16, last)[rows]
            cameras = _cameras(files["poses"], poses, lenses, name.endswith("right"), height, width)
        else:
            facts["intrinsics"] = lenses.tolist()
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            depth=depth,
            depth_mask=mask,
            dynamic_mask=moving,
            numbers=tuple(numbers),
            fps=_FPS,
            unit="metre",
            facts=facts,
        )

    def _sources(self, name: str) -> list[Path]:
        place, side = (self.folder / name).parent, name.rsplit("/", 1)[-1]
        kinds = ("skymap", "rigidmap_BW", "rigidmap_FW")
        maps = [place / "maps" / f"{kind}_{side}" for kind in kinds]
        return [place / "cam_data", place / f"frame_{side}", place / f"disp1_{side}", *maps]

    def _files(self, name: str) -> dict[str, Any]:
        """Images, disparity, sky and rigid maps by number, and the tables."""
        folder, side = (self.folder / name).parent, name.rsplit("/", 1)[-1]
        place, kind = folder / f"frame_{side}", f"frame_{side}"
        images = numbered_frames(place, rf"{kind}_(\d+)\.png", f"{kind}_0001.png")
        if min(images) < 1:
            raise ValueError(f"{place} must count frames from 1, got {min(images)}.")
        maps = folder / "maps"
        moving: dict[int, Path] = {}
        for kind, without in ((f"rigidmap_BW_{side}", min(images)), (f"rigidmap_FW_{side}", max(images))):
            moving |= companions(maps / kind, rf"{kind}_(\d+)\.png", images.keys() - {without})
        return {
            "images": images,
            "depth": companions(folder / f"disp1_{side}", rf"disp1_{side}_(\d+)\.dsp5", images),
            "sky": companions(maps / f"skymap_{side}", rf"skymap_{side}_(\d+)\.png", images),
            "dynamic_mask": moving if images.keys() <= moving.keys() else {},
            "lenses": folder / "cam_data" / "intrinsics.txt",
            "poses": folder / "cam_data" / "extrinsics.txt",
        }


def _table(file: Path, columns: int, count: int) -> np.ndarray:
    """Rows of a file, of which there must be `count` at least."""
    rows = read_table(file, columns)
    if len(rows) < count:
        raise ValueError(f"{file} must hold a row for each of {count} frames, got {len(rows)} rows.")
    return rows


def _cameras(
    file: Path, poses: np.ndarray, lenses: np.ndarray, is_right: bool, height: int, width: int
) -> Cameras:
    matrices = poses.reshape(-1, 4, 4).copy()
    if is_right:
        matrices[:, 0, 3] -= _BASELINE
    intrinsics = np.tile(np.eye(3), (len(lenses), 1, 1))
    intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]] = lenses
    return cameras_from_world_to_camera(file, matrices, intrinsics, height=height, width=width)


def _disparity(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Disparity at the centres of pixels, in pixels of the image."""
    try:
        import h5py
    except ImportError as error:
        raise ModuleNotFoundError(
            'Depth of Spring needs h5py: pip install "diff4splat[data]", or pip install h5py.'
        ) from error
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        with h5py.File(file, "r") as data:
            values = np.asarray(data["disparity"][()], dtype=np.float32)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} is not a readable map of disparity: {error}") from error
    if values.shape == (2 * size[0], 2 * size[1]):
        return values[::2, ::2]
    if values.shape != size:
        raise ValueError(
            f"{file} must hold the size of its frame, {size[0]} x {size[1]}, or twice that, got "
            f"{list(values.shape)}."
        )
    return values


def _marked(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Whether a map of any size is other than 0 at each pixel of a frame."""
    values = read_mask(file)
    if values.shape == (2 * size[0], 2 * size[1]):
        return values[::2, ::2]
    rows, columns = (
        np.arange(wanted) * found // wanted for wanted, found in zip(size, values.shape, strict=True)
    )
    return values[rows[:, None], columns]
