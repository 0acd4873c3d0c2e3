"""A dataset as its authors lay it out, as a list of recordings."""

import re
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256

from diff4splat.data.readers import DatasetReader
from diff4splat.data.recording_source import RecordingEntry
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["ReaderSource", "recording_uid"]

_LONGEST, _HASHED = 80, 12  # characters


class ReaderSource:
    """The recordings of a reader, a `RecordingSource`.

    The list is made when it is first asked for: it looks at every recording, at its first picture and its
    tables. One that cannot be looked at is listed with the reason in `info.missing`, and refused when it is
    read.

    Args:
        reader: Reader of a folder, see `open_dataset`.

    Examples:
        >>> recording_uid("spring", "train/0001/left")
        'spring--train--0001--left'
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


def recording_uid(dataset: str, name: str) -> str:
    """A name of a recording that can name a file, and that no other recording of the dataset has.

    Args:
        dataset: Name of the dataset.
        name: Name of the recording in it, a path with "/".

    Returns:
        Both, with "--" for "/"; where that would be ambiguous, too long or hold other characters than
        letters, digits, "-" and "_", these are replaced and a hash of the name follows. Up to 80 characters.
    """
    parts = [dataset, *name.split("/")]
    plain = all(re.fullmatch(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*", part) for part in parts)
    uid = "--".join(parts)
    if plain and len(uid) <= _LONGEST:
        return uid
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", uid)[: _LONGEST - _HASHED - 2]
    return f"{safe}--{sha256(name.encode()).hexdigest()[:_HASHED]}"
