"""A dataset as its authors lay it out, as a list of recordings."""

from collections.abc import Sequence
from functools import cached_property

from diff4splat.data.readers import DatasetReader
from diff4splat.data.recording_source import RecordingEntry
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.data.uids import recording_uid

__all__ = ["ReaderSource"]


class ReaderSource:
    """The recordings of a reader, a `RecordingSource`.

    The list is made when it is first asked for: it looks at every recording, at its first picture and its
    tables. One that cannot be looked at is listed with the reason in `info.missing`, and refused when it is
    read.

    Args:
        reader: Reader of a folder, see `open_dataset`.
    """

    def __init__(self, reader: DatasetReader) -> None:
        self.reader = reader

    @cached_property
    def entries(self) -> Sequence[RecordingEntry]:
        """What there is.

        Returns:
            Recordings in the order of the reader.
        """
        return tuple(self._entry(name) for name in self.reader.names)

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        """Frames of `entries[index]`.

        Args:
            index: Which recording.
            frames: Which of its frames, ascending; all when omitted.

        Returns:
            The recording.
        """
        return self.reader.read(self.reader.names[index], None if frames is None else list(frames))

    def _entry(self, name: str) -> RecordingEntry:
        reader = self.reader
        try:
            info = reader.info(name)
        except (ValueError, OSError) as error:
            info = RecordingInfo(name, 0, 0, 0, None, frozenset(), "unknown", missing=str(error))
        return RecordingEntry(
            uid=recording_uid(reader.key, name),
            dataset=reader.key,
            licence=reader.licence,
            info=info,
            scene=f"{reader.key}/{reader.scene_of(name)}",
            static=reader.static,
        )
