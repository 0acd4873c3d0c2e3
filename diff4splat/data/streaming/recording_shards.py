"""Reading shards: any clip by its number, out of the tars that stay where they are."""

import hashlib
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from diff4splat.data.recording_source import RecordingEntry
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.data.streaming.sample import decode_sample
from diff4splat.data.streaming.shard_index import read_index
from diff4splat.data.streaming.tar_file import TarMember, tar_members

__all__ = ["RecordingShards"]


class RecordingShards:
    """Clips of a folder of shards, a `RecordingSource`.

    Clips are in the order in which they lie in the shards. It can be pickled and be used in forked processes
    and by several threads; each process opens the files for itself.

    Args:
        folder: Where the shards and their index are.
        max_open: Shards kept open; the one that was not used for longest is closed first.

    Raises:
        FileNotFoundError: If there is no index; `index_shards` makes it.
        ValueError: If it is damaged, or `max_open` is below 1.
        ImportError: If pyarrow is missing.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_open: int = 16) -> None:
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}.")
        self.folder = Path(folder)
        self._table = read_index(self.folder)
        self._shards: list[str] = self._table["shard"].to_pylist()
        self._offsets: list[int] = self._table["offset"].to_pylist()
        self._sizes: list[int] = self._table["size"].to_pylist()
        self._files = _OpenFiles(max_open)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def entries(self) -> Sequence[RecordingEntry]:
        """What there is, in the order of the shards."""
        return _Entries(self._table)

    @property
    def shard_sizes(self) -> list[int]:
        """Number of clips of each shard, in order."""
        sizes: list[int] = []
        for place, shard in enumerate(self._shards):
            if place and shard == self._shards[place - 1]:
                sizes[-1] += 1
            else:
                sizes.append(1)
        return sizes

    @property
    def column_names(self) -> list[str]:
        """Names of the columns of the index, those of metrics among them."""
        return list(self._table.column_names)

    def column(self, name: str) -> list[Any]:
        """A column of the index.

        Args:
            name: One of `column_names`.

        Returns:
            A value per clip.

        Raises:
            ValueError: If there is no such column.
        """
        if name not in self._table.column_names:
            raise ValueError(f"name must be one of {', '.join(self.column_names)}, got {name!r}.")
        return list(self._table[name].to_pylist())

    def read(self, index: int, frames: Sequence[int] | None = None, /) -> Recording:
        """Frames of a clip, see `decode_sample`.

        Args:
            index: Number of the clip, from 0.
            frames: Which, counted from 0 and ascending; all when omitted.

        Returns:
            The recording.

        Raises:
            IndexError: If there is no such clip.
            FileNotFoundError: If the shard is missing; names it.
            ValueError: If the clip is damaged, or there is no such frame; names shard and clip.
        """
        try:
            return decode_sample(_Parts(self, index), frames)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.name_of(index)} cannot be read: {error}") from error

    def read_parts(self, index: int) -> dict[str, bytes]:
        """Files of a clip as they lie in the shard, not decoded.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Bytes by end of the file's name.

        Raises:
            IndexError: If there is no such clip.
            FileNotFoundError: If the shard is missing; names it.
            ValueError: If the stretch of the shard is damaged; names shard and clip.
        """
        try:
            found = self._files.contents(*self._stretch(index))
            self._check(index, [member for member, _ in found])
        except ValueError as error:
            raise ValueError(f"{self.name_of(index)} cannot be read: {error}") from error
        return {member.end: content for member, content in found}

    def damaged(self) -> Iterator[str]:
        """Clips whose bytes are not those that were written; all shards are read.

        Yields:
            A sentence for each that names shard and clip.
        """
        for index, expected in enumerate(self.column("sha256")):
            try:
                if hashlib.sha256(self._bytes(index)).hexdigest() != expected:
                    yield f"{self.name_of(index)} is not what was written."
            except (OSError, ValueError) as error:
                yield f"{self.name_of(index)} cannot be read: {error}"

    def name_of(self, index: int) -> str:
        """Where a clip lies, for messages.

        Args:
            index: Number of the clip, from 0.

        Returns:
            Path of the shard and uid.

        Raises:
            IndexError: If there is no such clip.
        """
        return f"{self._shard(index)}[{self._table['uid'][index].as_py()}]"

    def _shard(self, index: int) -> Path:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}), got {index}.")
        return self.folder / self._shards[index]

    def _bytes(self, index: int) -> bytes:
        return self._files.read(self._shard(index), self._offsets[index], self._sizes[index])

    def _members(self, index: int) -> dict[str, TarMember]:
        members = self._files.members(*self._stretch(index))
        self._check(index, members)
        return {member.end: member for member in members}

    def _stretch(self, index: int) -> tuple[Path, int, int]:
        """Shard of a clip, and where in it the clip starts and ends."""
        shard = self._shard(index)
        return shard, self._offsets[index], self._offsets[index] + self._sizes[index]

    def _check(self, index: int, members: Sequence[TarMember]) -> None:
        found, uid = {member.uid for member in members}, self._table["uid"][index].as_py()
        if found != {uid}:
            place, others = self._offsets[index], ", ".join(sorted(found)) or "nothing"
            raise ValueError(f"at byte {place} must be {uid}, got {others}: index_shards renews the index.")


class _Parts(Mapping[str, bytes]):
    """Parts of a clip, each read when it is asked for."""

    def __init__(self, shards: RecordingShards, index: int) -> None:
        self._files, self._path = shards._files, shards._shard(index)
        self._members = shards._members(index)

    def __getitem__(self, key: str) -> bytes:
        member = self._members[key]
        return self._files.read(self._path, member.start, member.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


class _Entries(Sequence[RecordingEntry]):
    """Rows of the index as entries, made when they are asked for: an index may have millions."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> RecordingEntry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordingEntry]: ...

    def __getitem__(self, index: int | slice) -> RecordingEntry | Sequence[RecordingEntry]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}), got {index}.")
        row = self._table.slice(index % len(self), 1).to_pylist()[0]
        info = RecordingInfo(
            name=row["name"],
            num_frames=row["frames"],
            height=row["height"],
            width=row["width"],
            fps=row["fps"],
            holds=frozenset(row["holds"]),
            unit=row["unit"],
        )
        words = {name: row[name] for name in ("uid", "dataset", "licence", "scene", "static", "caption")}
        return RecordingEntry(**words, info=info)


class _OpenFiles:
    """Some files that stay open, in each process its own."""

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._fresh()

    def _fresh(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._files: dict[Path, io.BufferedIOBase] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"max_open": self._max_open}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["max_open"])  # type: ignore[misc]

    def read(self, path: Path, start: int, size: int) -> bytes:
        """Bytes of a file, all of them or an error."""
        with self._guard():
            file = self._file(path)
            file.seek(start)
            content = file.read(size)
        if len(content) != size:
            raise ValueError(f"{path} is cut off: {size} bytes expected at {start}, got {len(content)}.")
        return content

    def members(self, path: Path, start: int, end: int) -> list[TarMember]:
        """Files of a stretch of a tar."""
        with self._guard():
            return list(tar_members(self._file(path), start, end))

    def contents(self, path: Path, start: int, end: int) -> list[tuple[TarMember, bytes]]:
        """Files of a stretch of a tar with what is in them, read from front to back, as disks like it."""
        found = []
        with self._guard():
            file = self._file(path)
            for member in tar_members(file, start, end):
                file.seek(member.start)
                found.append((member, file.read(member.size)))
        return found

    def _guard(self) -> threading.Lock:
        if self._process != os.getpid():  # a fork shares places in files, and maybe a lock that nobody opens
            self._fresh()
        return self._lock

    def _file(self, path: Path) -> io.BufferedIOBase:
        file = self._files.pop(path, None)
        if file is None and not path.is_file():
            raise FileNotFoundError(f"no such shard: {path}")
        file = file or open(path, "rb")
        self._files[path] = file  # last: a dictionary keeps the order of insertion
        if len(self._files) > self._max_open:
            self._files.pop(next(iter(self._files))).close()
        return file
