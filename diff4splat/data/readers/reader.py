"""What a reader of a dataset is: where recordings are in a folder, and how one is read."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.data.readers.fingerprint import files_fingerprint
from diff4splat.data.readers.pictures import opened_picture
from diff4splat.data.readers.sparse_points import SparsePoints
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["DatasetReader", "numbered", "read_pictures"]


class DatasetReader(ABC):
    """Recordings of one dataset, in a folder as its authors lay it out.

    A subclass reads one dataset, in a file of its own: that is where its conventions are converted. The
    folder may be the dataset's own root or any folder above or below, down to that of one recording. Names of
    recordings are paths relative to the folder, with "/" on every system.

    Args:
        folder: Where the dataset is.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset.
    """

    key: ClassVar[str]
    """Name on the command line and in `DATASETS`."""
    title: ClassVar[str]
    """Name for people."""
    licence: ClassVar[str]
    """Tag of the licence of the data."""
    static: ClassVar[bool] = False
    """Whether nothing moves by itself in any recording."""
    cameras_share_folder: ClassVar[bool] = False
    """Whether recordings of one folder are cameras that film one thing at the same time, frame by frame."""
    precedence: ClassVar[int] = 0
    """A folder belongs to the readers of the lowest number that know it: datasets 0, formats more."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no such folder: {self.folder}")
        self.names = tuple(self.find(self.folder))
        if not self.names:
            raise ValueError(f"folder must hold {self.title}, got {self.folder} without any of it.")
        self._fingerprints: dict[str, str] = {}

    @classmethod
    @abstractmethod
    def find(cls, folder: Path) -> list[str]:
        """Names of the recordings in a folder, sorted; empty if it is not of this dataset.

        Names of files decide, and at most the first lines of a small one: no image is opened.

        Args:
            folder: An existing folder.

        Returns:
            The names.
        """

    @abstractmethod
    def info(self, name: str) -> RecordingInfo:
        """What a recording holds, without decoding its frames.

        Args:
            name: One of `names`.

        Returns:
            Numbers and kinds.

        Raises:
            ValueError: If a file is damaged, or files do not belong together; names them.
            FileNotFoundError: If a file is missing.
        """

    @abstractmethod
    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames of a recording with all that is known about them.

        Args:
            name: One of `names`.
            frames: Which, counted from 0 to `info(name).num_frames` - 1, ascending; all when omitted.

        Returns:
            The recording, in the conventions of this library.

        Raises:
            ValueError: If a file is damaged, files do not belong together, or there is no such frame.
            FileNotFoundError: If a file is missing.
        """

    def scene_of(self, name: str) -> str:
        """What a recording shows; the same for cameras that film one thing at the same time, frame by frame.

        Args:
            name: One of `names`.

        Returns:
            The folder, where cameras share one; the name itself, where each recording stands alone.
        """
        return name.rpartition("/")[0] or "." if self.cameras_share_folder else name

    def sparse_points(self, name: str) -> SparsePoints | None:
        """Points that were triangulated with the cameras, in their world and unit.

        Args:
            name: One of `names`.

        Returns:
            Points whose `frames` count as `Recording.numbers` do; None where there are none.

        Raises:
            ValueError: If a file is damaged.
        """
        return None

    def pick(self, name: str, frames: Sequence[int] | None) -> list[int]:
        """Checked numbers of frames, for `read`.

        Args:
            name: One of `names`.
            frames: As for `read`.

        Returns:
            The numbers.

        Raises:
            ValueError: If there is no such recording, no frame, none of that number, or they do not ascend.
            FileNotFoundError: If its frames have to be fetched first.
        """
        if name not in self.names:
            raise ValueError(f"name must be a recording of {self.folder}, got {name!r}.")
        info = self.info(name)
        if info.missing:
            raise FileNotFoundError(f"{self.folder / name} cannot be read: {info.missing}")
        count = info.num_frames
        wanted = list(range(count)) if frames is None else list(frames)
        if not wanted or min(wanted) < 0 or max(wanted) >= count:
            raise ValueError(f"frames must be from 0 to {count - 1} and at least one, got {wanted[:9]}.")
        if wanted != sorted(wanted):
            raise ValueError(f"frames must ascend, got {wanted[:9]}.")
        return wanted

    def fingerprint(self, name: str) -> str:
        """Hash of the files that a recording is read from, by which what was made of it is known to be stale.

        Names relative to the folder, sizes and times of change count, and the arguments of this reader; no
        file is decoded. It is found out once per reader: a new one looks again.

        Args:
            name: One of `names`.

        Returns:
            32 hex digits.

        Raises:
            ValueError: If there is no such recording, or a table that names its files is damaged.
            FileNotFoundError: If such a table is missing.
        """
        if name not in self.names:
            raise ValueError(f"name must be a recording of {self.folder}, got {name!r}.")
        if name not in self._fingerprints:
            given = {key: value for key, value in vars(self).items() if key[0] != "_"}
            options = sorted((key, value) for key, value in given.items() if key not in ("folder", "names"))
            words = f"{self.key}\0{name}\0{options}"
            sources = self._sources(name)
            self._fingerprints[name] = files_fingerprint(sources, top=self.folder, words=words)
        return self._fingerprints[name]

    def _sources(self, name: str) -> list[Path]:
        """Files and folders that a recording is read from: all of its folder, or of the nearest there is."""
        place = self.folder / name
        while not place.exists() and place != self.folder:
            place = place.parent
        return [place]


def numbered(files: Iterable[Path], pattern: str) -> dict[int, Path]:
    """Files by the number in their names.

    Args:
        files: Any files.
        pattern: Regular expression of whole names, whose first group is the number; others are left out.

    Returns:
        Files by number, ascending.

    Raises:
        ValueError: If two have one number.
    """
    found: dict[int, Path] = {}
    for file in files:
        match = re.fullmatch(pattern, file.name)
        if match is None:
            continue
        if int(match[1]) in found:
            raise ValueError(f"{file.parent} must number each frame once, got {match[1]} twice.")
        found[int(match[1])] = file
    return dict(sorted(found.items()))


def read_pictures(files: Sequence[Path]) -> UInt8[Tensor, "frame rgb=3 height width"]:
    """Pictures of one size, stacked.

    Args:
        files: Pictures that Pillow reads.

    Returns:
        sRGB frames.

    Raises:
        ValueError: If one cannot be read, or has another size than the first; names it.
        FileNotFoundError: If one is missing.
    """
    frames = np.empty((0, 0, 0, 3), np.uint8)
    for index, file in enumerate(files):
        with opened_picture(file) as picture:
            if index == 0:
                frames = np.empty((len(files), picture.height, picture.width, 3), np.uint8)
            if (picture.height, picture.width) != frames.shape[1:3]:
                raise ValueError(
                    f"{file} must have the size of the first frame, {frames.shape[2]} x {frames.shape[1]}, "
                    f"got {picture.width} x {picture.height}."
                )
            picture.load()
            frames[index] = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return torch.from_numpy(frames).permute(0, 3, 1, 2)  # colours last in memory, as decoded
