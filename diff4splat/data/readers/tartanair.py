"""TartanAir, the first version: stereo pairs in simulated rooms and landscapes, with depth and poses.

Poses take the camera to the world, both with axes forward, right, down (NED); depth is along the view axis,
in metres; the lens is the same throughout: 320 pixels, centred, for centres of pixels at +0.5.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.tartanair_files import find_camera_files, load_poses
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["TartanAir"]

_HEIGHT, _WIDTH = 480, 640
_SKY = 1000.0  # metres; the sky is stored as a very large depth
_FPS = 10.0


class TartanAir(DatasetReader):
    """TartanAir v1: `<environment>/<Easy|Hard>/P000` with `image_left`, `depth_left` and `pose_left.txt`.

    The left and the right camera are a recording each, `P000/left` and `P000/right`. Nothing in it moves by
    itself, but for a few things that its authors do not mark. Image n has row n of the poses, so images may
    be missing; `numbers` tells which there are.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "tartanair"
    title = "TartanAir (v1)"
    licence = "CC-BY-4.0"
    static = True
    cameras_share_folder = True

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with a `pose_left.txt` or `pose_right.txt` and its images."""
        found = []
        for side in ("left", "right"):
            for file in folder.rglob(f"pose_{side}.txt"):
                if (file.parent / f"image_{side}").is_dir():
                    found.append((file.parent.relative_to(folder) / side).as_posix())
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth where every frame has it."""
        images, depths = find_camera_files(self.folder, name).numbered("npy")
        holds = {"cameras", "depth"} if depths else {"cameras"}
        return RecordingInfo(name, len(images), _HEIGHT, _WIDTH, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras and depth; the sky has no depth."""
        wanted = self.pick(name, frames)
        files = find_camera_files(self.folder, name)
        images, depths = files.numbered("npy")
        numbers = [list(images)[index] for index in wanted]
        video = read_pictures([images[number] for number in numbers])
        if video.shape[-2:] != (_HEIGHT, _WIDTH):
            raise ValueError(
                f"{images[numbers[0]]} must have {_WIDTH} x {_HEIGHT} pixels, whose lens is known, got "
                f"{video.shape[-1]} x {video.shape[-2]}."
            )
        cameras = load_poses(files.poses, height=_HEIGHT, width=_WIDTH, last=numbers[-1])
        depth = mask = None
        if depths:
            maps = np.empty((len(numbers), _HEIGHT, _WIDTH), np.float32)
            for index, number in enumerate(numbers):
                maps[index] = _depth(depths[number])
            depth = torch.from_numpy(maps)
            mask = (depth > 0) & (depth < _SKY)  # neither holds for nan
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras.select(numbers),
            depth=depth,
            depth_mask=mask,
            numbers=tuple(numbers),
            fps=_FPS,
            unit="metre",
            static=self.static,
        )

    def _sources(self, name: str) -> list[Path]:
        return list(find_camera_files(self.folder, name))


def _depth(file: Path) -> np.ndarray:
    """A depth map, metres."""
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{file} is not a readable array: {error}") from error
    if values.shape != (_HEIGHT, _WIDTH) or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"{file} must hold {_HEIGHT} x {_WIDTH} floats, got {values.dtype} {list(values.shape)}."
        )
    return values
