"""PointOdyssey (v1.2): people, animals and robots in simulated scenes, with tracks through whole videos.

`anno.npz` takes the world to the camera (OpenCV axes) and holds tracks, all in float16. Depth is along the
view axis: 65535 is 1000 m.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.cameras.files.archives import DAMAGED
from diff4splat.data.readers.layout import companions, folders_where, numbered_frames
from diff4splat.data.readers.maps import read_depths
from diff4splat.data.readers.matrices import cameras_from_world_to_camera
from diff4splat.data.readers.pictures import picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["PointOdyssey"]

_FPS = 30.0
_ANNOTATION = "anno.npz"
_ROUNDING = 2e-2  # of rotations that were rounded to float16, entries of |R^T R - I|
_LONGEST_WAY = 100.0  # metres, sum over axes and frames
_SHAPES = {
    "intrinsics": (3, 3),
    "extrinsics": (4, 4),
    "trajs_2d": (None, 2),
    "trajs_3d": (None, 3),
    "visibs": (None,),
    "valids": (None,),
}


class PointOdyssey(DatasetReader):
    """PointOdyssey v1.2: `<train|val|test>/<sequence>` with `rgbs`, `depths` and `anno.npz`.

    Numbers have float16's precision, 11 bits: focal lengths and pixels of tracks come in steps of 0.25 px
    below 512 and of 0.5 px above, places of points and cameras in steps of 8 mm below 16 m and of 16 mm
    above; rotations are made exact again. Depth comes in steps of 15 mm, rounded down; 1000 m or more is the
    sky and has none. Only the frames that are asked for are read from `anno.npz`; `info.npz` is not needed.

    A point is visible where `visibs` and `valids` say so, its numbers are finite, it lies in the image, and
    it does not wander more than 100 m in the frames that are read (metres along x, y and z added); points
    that are never visible in them are left out. Some sequences have no `anno.npz`, and so no cameras, or no
    points.

    A principal point in the middle of the image (width / 2), as the renderer of its authors writes it, means
    centres of pixels at +0.5, and nothing is added; at (width - 1) / 2 it means whole numbers, and half a
    pixel is added to it and to the pixels of tracks. Scenes outdoors were modelled at ten times life size by
    its authors' programs: metres there are not to be trusted. Some sequences have wrong depth or cameras
    even in version 1.2: hold one frame against another before training. Version 1.0 had other axes; nothing
    here tells it from 1.2.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "pointodyssey"
    title = "PointOdyssey"
    licence = "CC-BY-NC-SA-4.0"

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with `rgbs`."""
        found = folders_where(folder, lambda _, names: "rgbs" in names)
        return sorted(place.relative_to(folder).as_posix() for place in found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth where every frame has it, tracks where there are points."""
        images, depths, annotation = self._files(name)
        holds = {"depth"} if depths else set()
        if annotation is not None:
            holds.add("cameras")
            if _Annotation(annotation, len(images)).num_points:
                holds.add("tracks")
        height, width = picture_size(next(iter(images.values())))
        return RecordingInfo(name, len(images), height, width, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras, depth and tracks; the sky has no depth."""
        wanted = self.pick(name, frames)
        images, depths, annotation = self._files(name)
        numbers = [list(images)[index] for index in wanted]
        video = read_pictures([images[number] for number in numbers])
        size = (video.shape[-2], video.shape[-1])
        depth = mask = cameras = tracks = visible = pixels = None
        if depths:
            files = [depths[number] for number in numbers]
            depth, mask = map(torch.from_numpy, read_depths(files, size, step=1000 / 65535, far=65535))
        if annotation is not None:
            rows = _Annotation(annotation, len(images))
            cameras, shift = rows.cameras(wanted, *size)
            if rows.num_points:
                tracks, visible, pixels = rows.tracks(wanted, *size, shift)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            depth=depth,
            depth_mask=mask,
            tracks=tracks,
            visible=visible,
            track_pixels=pixels,
            numbers=tuple(numbers),
            fps=_FPS,
            unit="metre",
        )

    def _files(self, name: str) -> tuple[dict[int, Path], dict[int, Path], Path | None]:
        """Images and depths by number, and the file of cameras and tracks."""
        folder = self.folder / name
        images = numbered_frames(folder / "rgbs", r"rgb_(\d+)\.jpg", "rgb_00000.jpg")
        depths = companions(folder / "depths", r"depth_(\d+)\.png", images)
        annotation = folder / _ANNOTATION
        return images, depths, annotation if annotation.is_file() else None


class _Annotation:
    """Arrays of a file that are read a frame at a time."""

    def __init__(self, file: Path, num_frames: int) -> None:
        self.file = file
        shapes = {}
        for (key, ends), array in zip(_SHAPES.items(), self._arrays(None, *_SHAPES), strict=True):
            shape = shapes[key] = array.shape
            whole = shape[1:] if None not in ends else (None, *shape[2:])
            if len(shape) != len(ends) + 1 or whole != ends:
                words = ", ".join("point" if end is None else str(end) for end in ("frame", *ends))
                raise ValueError(f"{file} must hold {key} of shape [{words}], got {list(shape)}.")
            if shape[0] != num_frames:
                raise ValueError(
                    f"{file} must hold {key} for each of {num_frames} frames in rgbs, got {shape[0]}."
                )
        counts = {key: shape[1] for key, shape in shapes.items() if None in _SHAPES[key]}
        if len(set(counts.values())) != 1:
            raise ValueError(f"{file} must hold as many points in each array, got {counts}.")
        self.num_points = next(iter(counts.values()))

    def cameras(self, frames: list[int], height: int, width: int) -> tuple[Cameras, float]:
        """Cameras, and what is added to pixels so that their centres are at +0.5."""
        intrinsics, poses = (
            array.astype(np.float64) for array in self._arrays(frames, "intrinsics", "extrinsics")
        )
        centre = intrinsics[:, :2, 2]
        shift = 0.5 if (np.abs(centre - [width / 2 - 0.5, height / 2 - 0.5]) < 0.25).all() else 0.0
        intrinsics[:, :2, 2] += shift
        cameras = cameras_from_world_to_camera(
            self.file, poses, intrinsics, height=height, width=width, tolerance=_ROUNDING
        )
        return cameras, shift

    def tracks(
        self, frames: list[int], height: int, width: int, shift: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Places, visibility and pixels of the points that are visible in some frame, a row each."""
        seen, valid, stored, flat = self._arrays(frames, "visibs", "valids", "trajs_3d", "trajs_2d")
        visible = (seen == 1) & (valid == 1)
        points, pixels = stored.astype(np.float32), flat.astype(np.float32) + shift
        visible &= np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
        visible &= ((pixels >= 0) & (pixels < [width, height])).all(-1)
        points, pixels = (np.where(np.isfinite(array), array, 0) for array in (points, pixels))
        way = np.abs(np.diff(points, axis=0)).sum((0, 2))
        kept = visible.any(0) & (way <= _LONGEST_WAY)
        tracks, visibility, places = (
            torch.from_numpy(np.ascontiguousarray(array[:, kept].swapaxes(0, 1)))
            for array in (points, visible, pixels)
        )
        return tracks, visibility, places

    def _arrays(self, frames: list[int] | None, *keys: str) -> list[np.ndarray]:
        """Rows of arrays; for None empty ones of their shapes, of which only the headers are read."""
        found, key = [], keys[0]
        try:
            with zipfile.ZipFile(self.file) as archive:
                for key in keys:
                    with archive.open(f"{key}.npy") as member:
                        found.append(_read_rows(member, frames))
            return found
        except KeyError as error:
            raise ValueError(f"{self.file} must hold an array {key}, got none.") from error
        except (OSError, ValueError, *DAMAGED) as error:
            raise ValueError(f"{self.file} is not a readable archive of arrays ({key}): {error}") from error


def _read_rows(member: Any, frames: list[int] | None) -> np.ndarray:
    """Rows of an array in the format of numpy, without what lies between them."""
    version = np.lib.format.read_magic(member)
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if header is None:
        raise ValueError(f"version {version} of the format is unknown")
    shape, is_fortran, dtype = header(member)
    if dtype.kind not in "biuf":
        raise ValueError(f"numbers are wanted, got {dtype}")
    if frames is None:
        return np.broadcast_to(np.zeros((), dtype), shape)
    if is_fortran:
        count = int(np.prod(shape))
        values = np.frombuffer(member.read(count * dtype.itemsize), dtype, count)
        return values.reshape(shape, order="F")[frames]
    size, start = int(np.prod(shape[1:])) * dtype.itemsize, member.tell()
    rows = []
    for frame in frames:
        member.seek(start + frame * size)
        rows.append(np.frombuffer(member.read(size), dtype, size // dtype.itemsize).reshape(shape[1:]))
    return np.stack(rows)
