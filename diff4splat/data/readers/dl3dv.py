"""DL3DV-10K: walks around real places, filmed, with cameras of COLMAP in nerfstudio's `transforms.json`.

Poses take the camera to the world, with OpenGL camera axes; the lens is that of the 4K frames, whatever size
was fetched; scenes have an unknown unit each.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diff4splat.cameras.files import load_cameras
from diff4splat.data.readers.distortion import largest_shift
from diff4splat.data.readers.pictures import IMAGE_FOLDERS, check_shape, picture_files, picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.text import read_json
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["DL3DV"]

_HASH = re.compile(r"[0-9a-f]{64}")


class DL3DV(DatasetReader):
    """DL3DV-10K: `<batch>/<64 hex digits>/transforms.json` beside `images_8` (480P), `images_4` (960P) ...

    ... `images_2` (2K) or `images` (4K). Some archives nest a second folder of that name, or `nerfstudio`;
    the 64 digits must be somewhere in the path. Frames may be listed in any order, and some may be missing:
    they are sorted by the number in their name, which is no number of a video frame, and those without a
    picture are left out. Portraits exist.

    The frames are distorted by their lens, as the cameras state. The cameras given are the pinhole part;
    `facts["distortion"]` keeps the rest, and `facts["distortion_px"]` says how far it moves a pixel at most.
    The frames are not changed: undistort them (colmap image_undistorter) where that is too much.

    `facts["applied_transform"]` is what nerfstudio did to the world of COLMAP; its inverse leads back.

    Args:
        folder: See `DatasetReader`.
        images: Which of the folders of pictures to read; the largest that a scene has when omitted.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset, or `images` is no such name.
    """

    key = "dl3dv"
    title = "DL3DV-10K"
    licence = "CC-BY-NC-4.0, and the terms of use of its page"
    static = True

    def __init__(self, folder: str | Path, images: str | None = None) -> None:
        if images not in (None, *IMAGE_FOLDERS):
            raise ValueError(f"images must be one of {', '.join(IMAGE_FOLDERS)}, got {images!r}.")
        self.images = images
        super().__init__(folder)

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with a `transforms.json`, below one named by 64 hex digits or named so themselves."""
        found = []
        for file in folder.rglob("transforms.json"):
            if any(map(_HASH.fullmatch, file.absolute().parent.parts)):
                found.append(file.parent.relative_to(folder).as_posix())
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: the frames whose pictures are there."""
        scene = self._scene(name)
        if not scene.files:
            wanted = self.images or " or ".join(reversed(IMAGE_FOLDERS))
            missing = (
                f"pictures of {scene.file} in {wanted} beside it, got none of its {scene.stated} frames."
            )
            return RecordingInfo(name, 0, 0, 0, None, frozenset({"cameras"}), "unknown", missing)
        height, width = picture_size(next(iter(scene.files.values())))
        return RecordingInfo(name, len(scene.files), height, width, None, frozenset({"cameras"}), "unknown")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames and cameras, pinholes; depth is not known."""
        wanted = self.pick(name, frames)
        scene = self._scene(name)
        numbers = [list(scene.files)[index] for index in wanted]
        video = read_pictures([scene.files[number] for number in numbers])
        height, width = video.shape[-2:]
        content = scene.content
        if not {"w", "h"} <= content.keys():
            raise ValueError(f"{scene.file} must state w and h of the full size, got keys {sorted(content)}.")
        cameras = load_cameras(scene.file, distortion="drop")
        check_shape(scene.files[numbers[0]].parent, (height, width), (cameras.height, cameras.width))
        cameras = cameras.resize(height, width)
        cameras = cameras.select([scene.rows[number] for number in numbers])
        bent = {key: content[key] for key in ("k1", "k2", "k3", "p1", "p2") if content.get(key)}
        facts = {
            "pictures": scene.files[numbers[0]].parent.name,
            "frames_without_picture": scene.stated - len(scene.files),
            "distortion": bent,
            "distortion_px": largest_shift(bent, cameras.intrinsics[0], height, width),
            "applied_transform": content.get("applied_transform"),
        }
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            numbers=tuple(numbers),
            static=self.static,
            facts=facts,
        )

    def _scene(self, name: str) -> "_Scene":
        file = self.folder / name / "transforms.json"
        content = _read(file)
        rows: dict[int, int] = {}
        names: dict[int, str] = {}
        for row, frame in enumerate(content["frames"]):
            path = frame.get("file_path") if isinstance(frame, Mapping) else None
            picture = path.rsplit("/", 1)[-1] if isinstance(path, str) else ""
            digits = re.findall(r"[0-9]+", picture)
            if not digits:
                raise ValueError(f"{file} frame {row} must have a numbered file_path, got {path!r}.")
            number = int(digits[-1])
            if number in rows:
                raise ValueError(f"{file} must list each frame once, got {path!r} twice.")
            rows[number], names[number] = row, picture
        for folder in (self.images,) if self.images else IMAGE_FOLDERS:
            there = {each.name: each for each in picture_files(file.parent / folder)}
            files = {number: there[names[number]] for number in sorted(names) if names[number] in there}
            if files:
                return _Scene(file, content, files, rows, len(names))
        return _Scene(file, content, {}, rows, len(names))


class _Scene(NamedTuple):
    file: Path
    content: dict[str, Any]
    files: dict[int, Path]  # pictures by number, ascending
    rows: dict[int, int]  # row of each number in the file
    stated: int


def _read(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise ValueError(f"{file} must hold an object with a list of frames, got none.")
    return content
