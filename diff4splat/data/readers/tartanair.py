"""TartanAir, the first version: stereo pairs in simulated rooms and landscapes, with depth and poses.

Poses take the camera to the world, both with axes forward, right, down (NED); depth is along the view axis,
in metres; the lens is the same throughout: 320 pixels, centred, for centres of pixels at +0.5.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from diff4splat.cameras.files import load_cameras
from diff4splat.data.readers.layout import companions, numbered_frames
from diff4splat.data.readers.reader import DatasetReader, read_pictures
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

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with a `pose_left.txt` or `pose_right.txt` and its images."""
        found = []
        for side in ("left", "right"):
            for file in folder.rglob(f"pose_{side}.txt"):
                if (file.parent / f"image_{side}").is_dir():
                    found.append((file.parent.relative_to(folder) / side).as_posix())
        return sorted(found)

    def scene_of(self, name: str) -> str:
        """The folder, which is the same for both cameras."""
        return name.rpartition("/")[0] or "."

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth where every frame has it."""
        images, depths, _ = self._files(name)
        holds = {"cameras", "depth"} if depths else {"cameras"}
        return RecordingInfo(name, len(images), _HEIGHT, _WIDTH, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras and depth; the sky has no depth."""
        wanted = self.pick(name, frames)
        images, depths, poses = self._files(name)
        numbers = [list(images)[index] for index in wanted]
        video = read_pictures([images[number] for number in numbers])
        if video.shape[-2:] != (_HEIGHT, _WIDTH):
            raise ValueError(
                f"{images[numbers[0]]} must have {_WIDTH} x {_HEIGHT} pixels, whose lens is known, got "
                f"{video.shape[-1]} x {video.shape[-2]}."
            )
        cameras = load_cameras(
            poses,
            height=_HEIGHT,
            width=_WIDTH,
            axes="ned",
            direction="camera_to_world",
            field_of_view_deg=90.0,
        )
        if cameras.num_frames <= numbers[-1]:
            raise ValueError(
                f"{poses} must have a row for image {numbers[-1]}, got {cameras.num_frames} rows."
            )
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
        place, side = (self.folder / name).parent, name.rsplit("/", 1)[-1]
        return [place / f"image_{side}", place / f"depth_{side}", place / f"pose_{side}.txt"]

    def _files(self, name: str) -> tuple[dict[int, Path], dict[int, Path], Path]:
        """Images and depths by number, and the file of poses."""
        folder, side = (self.folder / name).parent, name.rsplit("/", 1)[-1]
        images = numbered_frames(
            folder / f"image_{side}", rf"(\d+)_{side}\.png", f"000000_{side}.png", gaps=True
        )
        depths = companions(folder / f"depth_{side}", rf"(\d+)_{side}_depth\.npy", images)
        return images, depths, folder / f"pose_{side}.txt"


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
