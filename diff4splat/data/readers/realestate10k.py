"""RealEstate10K: camera paths of house tours on YouTube; the frames have to be fetched by the user.

Poses take the world to the camera, with OpenCV axes; the lens is divided by the sides of the image; scenes
have an unknown unit each. Frames are pictures named by their time, or the whole video, sought by time.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from diff4splat.cameras.files import load_cameras
from diff4splat.data.readers.pictures import PICTURES, picture_files, picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.text import read_text, starts_with
from diff4splat.data.readers.videos import VIDEOS, read_video_at, video_facts
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["RealEstate10K"]

_HEX = frozenset("0123456789abcdef")


class RealEstate10K(DatasetReader):
    """RealEstate10K: `{train,test}/<16 hex digits>.txt`, and frames that its authors do not hand out.

    Frames are looked for beside the file of a recording:

    - pictures `<16 hex digits>/<microseconds>.png` (or jpg), as most loaders lay them out;
    - the whole video, named by its address, `<11 characters>.mp4` (or webm, mkv), in the same folder, in
      `videos` beside it or in a folder above it, up to the one that is opened.

    Without either, `info` says what is missing, and `read` refuses. Times are sorted as numbers, for they are
    not padded; `numbers` of a recording count the cameras of the file in that order, and `facts` holds their
    `timestamps_us`. Cameras without a frame are left out. The focal lengths belong to the shape of the video:
    where frames were cropped to another one, `facts["pixel_aspect"]` is not 1.

    The licence is that of the camera paths; the frames belong to those who uploaded them. Houses stand still,
    but people may walk through them, so nothing is said to be static.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "realestate10k"
    title = "RealEstate10K"
    licence = "CC-BY-4.0"

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Files named by 16 hex digits, the first of each folder of which starts with an address."""
        checked: dict[Path, bool] = {}
        found = []
        for file in sorted(folder.rglob("*.txt")):
            if _is_name(file.stem):
                if file.parent not in checked:
                    checked[file.parent] = _starts_with_address(file)
                if checked[file.parent]:
                    found.append(file.relative_to(folder).with_suffix("").as_posix())
        here = folder.absolute()
        beside = here.with_name(f"{here.name}.txt")
        if not found and _is_name(here.name) and beside.is_file() and _starts_with_address(beside):
            return ["."]
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: as many frames as have a camera and a picture, or a camera and a video."""
        poses = self._poses(name)
        pictures, file = self._pictures(name, poses), self._video(name, poses)
        if pictures:
            count, (height, width) = len(pictures), picture_size(next(iter(pictures.values())))
        elif file is not None:
            facts = video_facts(file, count=False)
            count, height, width = len(poses.times), facts.height, facts.width
        else:
            count = height = width = 0
        missing = "" if count else self._missing(name, poses)
        holds = frozenset({"cameras"})
        return RecordingInfo(name, count, height, width, _rate(poses.times), holds, "unknown", missing)

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames and cameras; depth is not known."""
        wanted = self.pick(name, frames)
        poses = self._poses(name)
        pictures, file = self._pictures(name, poses), self._video(name, poses)
        facts: dict[str, Any] = {"url": poses.url, "timestamps_us": poses.times}
        if pictures or file is None:
            numbers = [list(pictures)[index] for index in wanted]
            video = read_pictures([pictures[number] for number in numbers])
            facts["cameras_without_frame"] = len(poses.times) - len(pictures)
        else:
            numbers = wanted
            video, late = read_video_at(file, [poses.times[number] for number in numbers])
            facts["largest_time_error_us"] = max(map(abs, late))
        height, width = video.shape[-2:]
        cameras = load_cameras(poses.file, height=height, width=width, distortion="drop")
        cameras = cameras.select([poses.rows[number] for number in numbers])
        focal_x, focal_y = cameras.intrinsics[0, 0, 0].item(), cameras.intrinsics[0, 1, 1].item()
        facts["pixel_aspect"] = round(focal_y / focal_x, 4)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            numbers=tuple(numbers),
            fps=_rate(poses.times),
            facts=facts,
        )

    def _sources(self, name: str) -> list[Path]:
        poses = self._poses(name)
        video = self._video(name, poses)
        return [poses.file, self._place(name), *([video] if video else [])]

    def _place(self, name: str) -> Path:
        """The path of a recording, whose last part is its name also where it is the folder itself."""
        return (self.folder / name).absolute()

    def _poses(self, name: str) -> "_Poses":
        place = self._place(name)
        return _read_times(place.with_name(f"{place.name}.txt"))

    def _pictures(self, name: str, poses: "_Poses") -> dict[int, Path]:
        """Pictures by the number of their camera."""
        number_of = {time: number for number, time in enumerate(poses.times)}
        found: dict[int, Path] = {}
        for file in picture_files(self._place(name)):
            number = number_of.get(int(file.stem)) if file.stem.isdecimal() else None
            if number is None:
                continue
            if number in found:
                raise ValueError(f"{file.parent} must hold each frame once, got {file.stem} twice.")
            found[number] = file
        return dict(sorted(found.items()))

    def _video(self, name: str, poses: "_Poses") -> Path | None:
        key = poses.url.rsplit("v=", 1)[-1].rsplit("/", 1)[-1].split("&", 1)[0]
        top = self.folder.absolute()
        if not key or not poses.times:
            return None
        for folder in self._place(name).parents:
            for place in (folder, folder / "videos"):
                for suffix in VIDEOS:
                    if (place / f"{key}{suffix}").is_file():
                        return place / f"{key}{suffix}"
            if folder == top or not folder.is_relative_to(top):
                break
        return None

    def _missing(self, name: str, poses: "_Poses") -> str:
        if not poses.times:
            return f"{poses.file} holds no cameras, only an address."
        folder = self._place(name)
        others = len(picture_files(folder))
        got = f", got {others} pictures of other names" if others else ""
        return (
            f"frames of {len(poses.times)} cameras: fetch {poses.url}, and put the video beside "
            f"{poses.file.name}, or its frames at these times as {folder.name}/{poses.times[0]}{PICTURES[0]}"
            f"{got}."
        )


class _Poses(NamedTuple):
    file: Path
    url: str
    times: list[int]  # ascending
    rows: list[int]  # the row of each time in the file


def _is_name(text: str) -> bool:
    return len(text) == 16 and _HEX.issuperset(text)


def _starts_with_address(file: Path) -> bool:
    """Whether it does; one that cannot be opened counts, to be named later."""
    return starts_with(file, b"http", within=4) is not False


def _rate(times: list[int]) -> float | None:
    """Frames per second between neighbours, by the median step."""
    steps = [after - before for before, after in zip(times, times[1:], strict=False)]
    return 1e6 / median(steps) if steps else None


def _read_times(file: Path) -> _Poses:
    """Address and times of a file; its other columns are read by `load_cameras`."""
    lines = read_text(file).split("\n")
    times: list[int] = []
    for index, line in enumerate(lines[1:], start=2):
        words = line.split()
        if not words:
            continue
        if len(words) != 19 or not words[0].isdecimal():
            raise ValueError(f"{file} line {index} must hold a time and 18 numbers, got {line[:40]!r}.")
        times.append(int(words[0]))
    if len(set(times)) < len(times):
        twice = next(time for time in times if times.count(time) > 1)
        raise ValueError(f"{file} must hold each time once, got {twice} twice.")
    rows = sorted(range(len(times)), key=times.__getitem__)
    return _Poses(file, lines[0].strip(), [times[row] for row in rows], rows)
