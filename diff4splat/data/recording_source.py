"""Where recordings come from: anything that lists them and reads frames of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["RecordingEntry", "RecordingSource"]


@dataclass(frozen=True)
class RecordingEntry:
    """A recording in a list, known without decoding it.

    Args:
        uid: Its name everywhere: letters, digits, "-" and "_", no two alike in a list.
        dataset: Name of the dataset, as in `DATASETS`.
        licence: Tag of its licence.
        info: What it holds.
        scene: What it shows; the same for cameras that film one thing at the same time, frame by frame.
        static: Whether nothing moves by itself throughout.
        caption: What is seen; empty where nobody says.
    """

    uid: str
    dataset: str
    licence: str
    info: RecordingInfo
    scene: str
    static: bool = False
    caption: str = ""


@runtime_checkable
class RecordingSource(Protocol):
    """A list of recordings, and frames of each: a folder of shards, or a dataset as its authors lay it out.

    `read` raises ValueError or OSError, naming the file, where that recording cannot be read.
    """

    @property
    def entries(self) -> Sequence[RecordingEntry]:
        """What there is, in a fixed order."""
        ...

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        """Frames of a recording.

        Args:
            index: Which of `entries`.
            frames: Which of its frames, counted from 0 and ascending; all when omitted.

        Returns:
            The recording.
        """
        ...
