"""Virtual KITTI 2: a car drives through five towns in ten kinds of weather and view, in stereo.

`extrinsic.txt` takes the world to the camera (OpenCV axes), a row for each frame and camera. Depth is along
the view axis, in centimetres. Principal points are for centres of pixels at whole numbers.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.readers.layout import companions, folders_where, numbered_frames
from diff4splat.data.readers.maps import read_depths, read_map
from diff4splat.data.readers.matrices import cameras_from_world_to_camera, read_table
from diff4splat.data.readers.pictures import picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["VirtualKITTI2"]

_FPS = 10.0
_SKY = 65500  # centimetres; the sky is stored as 65535
_RELEASE = "vkitti_2.0.3_"
_VEHICLES = ((255, 127, 80), (160, 60, 60), (0, 139, 139))  # colours of Car, Truck, Van
_FIRST = {  # first columns of the tables, whose rows are sorted out by frame and camera
    "intrinsic.txt": 6,
    "extrinsic.txt": 18,
    "bbox.txt": 11,
}


class VirtualKITTI2(DatasetReader):
    """Virtual KITTI 2 (2.0.3): `Scene01/<variation>` with `frames/<kind>/Camera_<0|1>` and tables.

    Either camera is a recording, `Scene01/clone/Camera_0` the left one. Archives may be unpacked into one
    folder, or each into its own beside the others (`vkitti_2.0.3_rgb`, `vkitti_2.0.3_depth`,
    `vkitti_2.0.3_textgt` ...). Depth comes in steps of 1 cm; the sky, at 655 m or more, has none. Rows of the
    two cameras take turns in the tables. Half a pixel is added to principal points, which are those of
    centres at whole numbers.

    What moves by itself is told in one of two ways, and `facts["dynamic_mask"]` says which: "moving
    vehicles", from `instanceSegmentation` and the flags of `bbox.txt`; or, where only `classSegmentation` is
    there, "all vehicles", the parked ones too, which are candidates. Without the tables there are no cameras.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "vkitti2"
    title = "Virtual KITTI 2"
    licence = "CC-BY-NC-SA-3.0"
    cameras_share_folder = True

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with `frames/rgb/Camera_0` or `Camera_1`."""
        found = []
        for place in folders_where(folder, _holds_frames):
            for camera in ("Camera_0", "Camera_1"):
                if (place / "frames" / "rgb" / camera).is_dir():
                    found.append((place.relative_to(folder) / camera).as_posix())
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: depth and masks where every frame has them, cameras where the tables are there."""
        images = self._images(name)
        holds = (
            {"cameras"}
            if self._table(name, "extrinsic.txt") and self._table(name, "intrinsic.txt")
            else set()
        )
        if self._companions(name, "depth", "depth", images):
            holds.add("depth")
        if self._vehicles(name, images)[0]:
            holds.add("dynamic_mask")
        height, width = picture_size(next(iter(images.values())))
        return RecordingInfo(name, len(images), height, width, _FPS, frozenset(holds), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras, depth and vehicles; the sky has no depth."""
        wanted = self.pick(name, frames)
        images = self._images(name)
        numbers = [list(images)[index] for index in wanted]
        video = read_pictures([images[number] for number in numbers])
        size = (video.shape[-2], video.shape[-1])
        depth = mask = moving = None
        depths = self._companions(name, "depth", "depth", images)
        if depths:
            files = [depths[number] for number in numbers]
            depth, mask = map(torch.from_numpy, read_depths(files, size, step=0.01, far=_SKY))
        facts = {}
        masks, kind = self._vehicles(name, images)
        if masks:
            facts["dynamic_mask"] = kind
            moving = torch.from_numpy(self._moving(name, masks, kind, numbers, size))
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=self._cameras(name, numbers, *size),
            depth=depth,
            depth_mask=mask,
            dynamic_mask=moving,
            numbers=tuple(numbers),
            fps=_FPS,
            unit="metre",
            facts=facts,
        )

    def _sources(self, name: str) -> list[Path]:
        camera = name.rsplit("/", 1)[-1]
        kinds = ("depth", "classSegmentation", "instanceSegmentation")
        folders = [self._place(name, kind) / "frames" / kind / camera for kind in kinds]
        tables = [self._place(name, "textgt") / file for file in _FIRST]
        return [(self.folder / name).parent / "frames" / "rgb" / camera, *folders, *tables]

    def _place(self, name: str, kind: str) -> Path:
        """The folder of a scene in the archive of a kind: the same, or one beside it."""
        place = (self.folder / name).parent
        whole = place.absolute()
        for index, part in enumerate(whole.parts):
            if part == f"{_RELEASE}rgb":
                beside = Path(*whole.parts[:index], f"{_RELEASE}{kind}", *whole.parts[index + 1 :])
                return beside if beside.is_dir() else place
        return place

    def _images(self, name: str) -> dict[int, Path]:
        camera = name.rsplit("/", 1)[-1]
        place = (self.folder / name).parent / "frames" / "rgb" / camera
        return numbered_frames(place, r"rgb_(\d+)\.jpg", "rgb_00000.jpg")

    def _companions(self, name: str, kind: str, prefix: str, images: dict[int, Path]) -> dict[int, Path]:
        place = self._place(name, kind) / "frames" / kind / name.rsplit("/", 1)[-1]
        return companions(place, rf"{prefix}_(\d+)\.png", images)

    def _table(self, name: str, file: str) -> Path | None:
        path = self._place(name, "textgt") / file
        return path if path.is_file() else None

    def _rows(self, file: Path, name: str) -> np.ndarray:
        """Rows of the camera of a recording."""
        rows = read_table(file, _FIRST[file.name], header="frame")
        return rows[rows[:, 1] == int(name[-1])]

    def _cameras(self, name: str, numbers: list[int], height: int, width: int) -> Cameras | None:
        poses, lenses = self._table(name, "extrinsic.txt"), self._table(name, "intrinsic.txt")
        if poses is None or lenses is None:
            return None
        picked = []
        for file in (poses, lenses):
            rows = {int(row[0]): row[2:] for row in self._rows(file, name)}
            missing = [number for number in numbers if number not in rows]
            if missing:
                raise ValueError(
                    f"{file} must have a row for frame {missing[0]} of camera {name[-1]}, got none."
                )
            picked.append(np.stack([rows[number] for number in numbers]))
        matrices, values = picked[0].reshape(-1, 4, 4), picked[1]
        intrinsics = np.tile(np.eye(3), (len(values), 1, 1))
        intrinsics[:, [0, 1], [0, 1]] = values[:, :2]
        intrinsics[:, :2, 2] = values[:, 2:] + 0.5
        return cameras_from_world_to_camera(poses, matrices, intrinsics, height=height, width=width)

    def _vehicles(self, name: str, images: dict[int, Path]) -> tuple[dict[int, Path], str]:
        """Pictures that tell vehicles, and which of them they tell."""
        instances = self._companions(name, "instanceSegmentation", "instancegt", images)
        if instances and self._table(name, "bbox.txt"):
            return instances, "moving vehicles"
        return self._companions(name, "classSegmentation", "classgt", images), "all vehicles"

    def _moving(
        self, name: str, files: dict[int, Path], kind: str, numbers: list[int], size: tuple[int, int]
    ) -> np.ndarray:
        """Pixels of vehicles."""
        table = self._table(name, "bbox.txt")
        if kind == "moving vehicles" and table is not None:
            rows = self._rows(table, name)
            rows = rows[rows[:, 10] != 0]
            masks = np.empty((len(numbers), *size), bool)
            for index, number in enumerate(numbers):
                tracks = rows[rows[:, 0] == number, 2]
                moves = np.isin(np.arange(256), tracks + 1)  # a pixel holds the number of its vehicle + 1
                pixels = read_map(files[number], "grey8", size).tobytes().translate(moves.tobytes())
                masks[index] = np.frombuffer(pixels, bool).reshape(size)
            return masks
        colors = read_pictures([files[number] for number in numbers]).movedim(1, -1).numpy()
        if colors.shape[1:3] != size:
            raise ValueError(
                f"{files[numbers[0]]} must have the size of its frame, {size[1]} x {size[0]}, got "
                f"{colors.shape[2]} x {colors.shape[1]}."
            )
        return np.any([(colors == color).all(-1) for color in _VEHICLES], axis=0)


def _holds_frames(place: Path, names: set[str]) -> bool:
    """Whether a folder is a scene; others may have `frames`, too."""
    return "frames" in names and (place / "frames" / "rgb").is_dir()
