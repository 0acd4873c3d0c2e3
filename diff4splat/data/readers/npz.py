"""Recordings in NPZ files, one each: those of this library, and those of the original release."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.recording_file import load_recording, load_recording_info
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["NpzRecordings"]


class NpzRecordings(DatasetReader):
    """NPZ files of one recording each, as `save_recording` writes them; see `recording_file` for their keys.

    Files may lie in folders of any depth; hidden ones are left out. Dataset and licence are those that the
    file names; the licence of a file that names none is "unknown".

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no such file.
    """

    key = "npz"
    title = "recordings in NPZ files"
    licence = "unknown"
    precedence = 1

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Files that hold frames and poses; those that are damaged count where another one is sound."""
        found, damaged = [], []
        for place, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name[0] != "."]
            for file in files:
                if file.endswith(".npz") and file[0] != ".":
                    name = Path(place, file).relative_to(folder).as_posix().removesuffix(".npz")
                    try:
                        found += [name] * _holds_recording(Path(place, file))
                    except (OSError, zipfile.BadZipFile):
                        damaged.append(name)
        return sorted(found + damaged) if found else []

    def info(self, name: str) -> RecordingInfo:
        """What the file holds."""
        return replace(load_recording_info(self._file(name)), name=name)

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Everything of the file."""
        wanted = None if frames is None else self.pick(name, frames)
        return replace(load_recording(self._file(name), wanted), name=name)

    def _sources(self, name: str) -> list[Path]:
        return [self._file(name)]

    def _file(self, name: str) -> Path:
        place = self.folder / name
        return place.with_name(f"{place.name}.npz")


def _holds_recording(file: Path) -> bool:
    """Whether a zip archive holds frames with what this library says of them, or with poses."""
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
    frames = bool(names & {"images.npy", "image.npy"})
    return frames and bool(names & {"recording.npy", "C2W.npy", "pose.npy", "extrinsics.npy"})
