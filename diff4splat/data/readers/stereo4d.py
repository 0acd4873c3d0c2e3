"""Stereo4D: stereo videos of YouTube with cameras and points that are followed, in metres.

Poses take the left camera to the world, with OpenCV axes; the lens shows 60 degrees from left to right.
Tracks are ragged: each owns the next so many rows, which say the frame and the place in the world.
"""

import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.cameras.files.archives import DAMAGED
from diff4splat.cameras.files.matrices import check_rigid, square
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.videos import read_video, video_facts
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["Stereo4D"]

_NAME = re.compile(r".{11}_[0-9]+")
_FIELD_OF_VIEW_DEG = 60.0


class Stereo4D(DatasetReader):
    """Stereo4D: `npz/<clip>.npz` and `processed/<clip>/<clip>-left_rectified.mp4`.

    A clip is called `<video>_<time>`, the video as on YouTube, the time in microseconds; names may begin with
    a dash. The authors hand out the npz alone. The video has to be fetched and rectified with their
    `rectify.py`, which writes it; it is looked for beside the npz, in a folder of the clip's name there, and
    in `processed/<clip>` beside that folder or one above it, up to the one that is opened. Without it, `info`
    says what is missing, and `read` refuses.

    The video may have a few frames more or fewer than the npz has cameras: those that both have are read.
    Points are known only while they are seen; those that none of the frames sees are left out. The unit rests
    on eyes that are taken to stand 0.063 m apart. The licence is that of the annotations; the frames belong
    to those who uploaded them.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key = "stereo4d"
    title = "Stereo4D"
    licence = "CC-BY-4.0"

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Files named by 11 characters and a time, the first of each folder of which holds tracks."""
        checked: dict[Path, bool] = {}
        found = []
        for file in sorted(folder.rglob("*.npz")):
            if _NAME.fullmatch(file.stem):
                if file.parent not in checked:
                    checked[file.parent] = _holds_tracks(file)
                if checked[file.parent]:
                    found.append(file.relative_to(folder).as_posix().removesuffix(".npz"))
        return sorted(found)

    def info(self, name: str) -> RecordingInfo:
        """What there is: the frames that have a camera."""
        times = self._load(name, "timestamps")["timestamps"]
        holds, fps = frozenset({"cameras", "tracks"}), _rate(times)
        video = self._video(name)
        if video is None:
            clip = name.rsplit("/", 1)[-1]
            missing = (
                f"the video of the left eye: fetch https://www.youtube.com/watch?v={clip[:11]}, rectify it "
                f"with the authors' rectify.py, and put {clip}-left_rectified.mp4 beside {clip}.npz or in "
                f"processed/{clip}."
            )
            return RecordingInfo(name, 0, 0, 0, fps, holds, "metre", missing)
        facts = video_facts(video)
        count = min(facts.num_frames, len(times))
        return RecordingInfo(name, count, facts.height, facts.width, fps, holds, "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames, cameras and tracks; depth is known at the tracks only, and not given."""
        wanted = self.pick(name, frames)
        content = self._load(name)
        file = self._file(name)
        video_file = self._video(name)
        times, poses = content["timestamps"], content["camera2world"]
        if poses.shape != (len(times), 3, 4):
            raise ValueError(
                f"{file} must hold camera2world of {[len(times), 3, 4]}, as timestamps, got "
                f"{list(poses.shape)}."
            )
        video = read_video(video_file or file, wanted)
        height, width = video.shape[-2:]
        tracks, visible = _tracks(file, content, wanted)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=_cameras(file, poses[wanted], height, width),
            tracks=tracks,
            visible=visible,
            numbers=tuple(wanted),
            fps=_rate(times),
            unit="metre",
            facts={
                "url": f"https://www.youtube.com/watch?v={file.stem[:11]}",
                "timestamps_us": [int(time) for time in times],
                "frames_of_video": video_facts(video_file or file).num_frames,
                "frames_of_cameras": len(times),
                "baseline_m": 0.063,
            },
        )

    def _sources(self, name: str) -> list[Path]:
        video = self._video(name)
        return [self._file(name), *([video] if video else [])]

    def _file(self, name: str) -> Path:
        place = self.folder / name
        return place.with_name(f"{place.name}.npz")

    def _video(self, name: str) -> Path | None:
        place, top = (self.folder / name).absolute(), self.folder.absolute()
        video = f"{place.name}-left_rectified.mp4"
        for folder in (place.parent, place):
            if (folder / video).is_file():
                return folder / video
        for folder in place.parents:
            for parent in (folder, folder.parent):
                if (parent / "processed" / place.name / video).is_file():
                    return parent / "processed" / place.name / video
            if folder == top:
                break
        return None

    def _load(self, name: str, *wanted: str) -> dict[str, np.ndarray]:
        """Arrays of the npz; all that are read here when none is named."""
        file = self._file(name)
        names = wanted or (
            *("timestamps", "camera2world"),
            *("track_lengths", "track_indices", "track_coordinates"),
        )
        try:
            with np.load(file, allow_pickle=False) as archive:
                lacking = [key for key in names if key not in archive.files]
                found = {key: archive[key] for key in names if not lacking}
        except FileNotFoundError:
            raise
        except (OSError, ValueError, *DAMAGED) as error:
            raise ValueError(f"{file} is not a readable npz: {error}") from error
        if lacking:
            raise ValueError(f"{file} must hold {', '.join(names)}, got no {lacking[0]}.")
        return found


def _holds_tracks(file: Path) -> bool:
    """Whether a zip archive holds the arrays of this dataset; a damaged one counts, to be named later."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {"camera2world.npy", "track_lengths.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return True


def _rate(times: Any) -> float | None:
    """Frames per second, by the median step of times in microseconds."""
    return (
        1e6 / step if len(times) > 1 and (step := float(median(np.diff(times.astype(float))))) > 0 else None
    )


def _cameras(file: Path, poses: np.ndarray, height: int, width: int) -> Cameras:
    matrices = square(poses.astype(np.float64))
    try:
        check_rigid("camera2world", matrices)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    focal = width / 2 / math.tan(math.radians(_FIELD_OF_VIEW_DEG) / 2)
    lens = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(torch.from_numpy(matrices).float(), lens.expand(len(matrices), 3, 3), height, width)


def _tracks(file: Path, content: dict[str, np.ndarray], wanted: list[int]) -> tuple[Tensor, Tensor]:
    """Places and visibility `[track, frame]` in the wanted frames, of tracks that one of them sees."""
    lengths, indices = content["track_lengths"], content["track_indices"]
    places, count = content["track_coordinates"], len(content["timestamps"])
    rows = int(lengths.sum())
    if indices.shape != (rows,) or places.shape != (rows, 3) or (lengths < 0).any():
        raise ValueError(
            f"{file} must hold {rows} rows of tracks, the sum of track_lengths, got {list(indices.shape)} "
            f"track_indices and {list(places.shape)} track_coordinates."
        )
    if rows and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError(
            f"{file} must hold track_indices from 0 to {count - 1}, got {indices.min()} to {indices.max()}."
        )
    order = np.argsort(wanted, kind="stable")
    column_of = np.full(count, -1)
    column_of[np.asarray(wanted)[order]] = order
    columns = column_of[indices]
    kept = (columns >= 0) & np.isfinite(places).all(-1)
    owners, owner_of_row = np.unique(np.repeat(np.arange(len(lengths)), lengths)[kept], return_inverse=True)
    tracks = np.full((len(owners), len(wanted), 3), np.nan, np.float32)
    visible = np.zeros(tracks.shape[:2], bool)
    tracks[owner_of_row, columns[kept]] = places[kept]
    visible[owner_of_row, columns[kept]] = True
    return torch.from_numpy(tracks), torch.from_numpy(visible)
