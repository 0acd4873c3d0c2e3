"""TartanAir, the second version: twelve cameras in simulated places, with depth and poses.

Poses and axes are those of the first version (camera to world, forward, right, down). Depth is a float32 a
pixel, in metres along the view axis, whose four bytes are the blue, green, red and alpha of a PNG.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from diff4splat.data.readers.layout import folders_where
from diff4splat.data.readers.maps import read_maps
from diff4splat.data.readers.pictures import picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.tartanair_files import find_camera_files, load_poses
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["TartanAirV2"]

_SKY = 1000.0  # metres; the sky is stored as a very large depth, 65504 or a dome some kilometres away
_FPS = 10.0
_CAMERA = r"[lr]cam_(?:front|back|left|right|top|bottom)"


class TartanAirV2(DatasetReader):
    """TartanAir v2: `<environment>/Data_<easy|hard>/P000` with `image_<camera>`, `depth_<camera>` and poses.

    Each of up to twelve cameras is a recording, such as `P000/lcam_front`: `lcam` and `rcam` are 0.25 m apart
    and look to `front`, `back`, `left`, `right`, `top` and `bottom`. Every lens sees 90 degrees of a square
    picture. Depth keeps its 32 bits; the sky, at 1000 m or more, has none. Nothing moves by itself, but for a
    few things that its authors do not mark. Image n has row n of the poses, so images may be missing;
    `numbers` tells which there are.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "tartanair2"
    title = "TartanAir v2"
    licence = "CC-BY-4.0"
    static = True
    cameras_share_folder = True

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with `pose_lcam_front.txt`, or that of another camera, and its images."""
        found = []
        for place in folders_where(folder, lambda _, names: any(map(_camera_of, names))):
            for camera in filter(None, (_camera_of(file.name) for file in place.glob("pose_*.txt"))):
                if (place / f"image_{camera}").is_dir():
                    found.append((place.relative_to(folder) / camera).as_posix())
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth where every frame has it."""
        images, depths = find_camera_files(self.folder, name).numbered("png")
        height, width = picture_size(next(iter(images.values())))
        holds = {"cameras", "depth"} if depths else {"cameras"}
        return RecordingInfo(name, len(images), height, width, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras and depth; the sky has no depth."""
        wanted = self.pick(name, frames)
        files = find_camera_files(self.folder, name)
        images, depths = files.numbered("png")
        numbers = [list(images)[index] for index in wanted]
        video = read_pictures([images[number] for number in numbers])
        height, width = size = (video.shape[-2], video.shape[-1])
        if height != width:
            raise ValueError(
                f"{images[numbers[0]]} must be square, as the lens of 90 degrees is, got {width} x {height}."
            )
        cameras = load_poses(files.poses, height=height, width=width, last=max(images))
        depth = mask = None
        if depths:
            depth = torch.from_numpy(read_maps([depths[number] for number in numbers], "bgra32", size))
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


def _camera_of(name: str) -> str | None:
    """The camera whose poses a file of this name holds."""
    match = re.fullmatch(rf"pose_({_CAMERA})\.txt", name)
    return match[1] if match else None
