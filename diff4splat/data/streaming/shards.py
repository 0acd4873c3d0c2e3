"""Writing shards: clips in WebDataset tars, in an order that is drawn from their names, with an index."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from diff4splat.data.stages.item import Value
from diff4splat.data.streaming.sample import check_sample
from diff4splat.data.streaming.shard_index import INDEX, index_row, write_index
from diff4splat.data.streaming.tar_file import TarMember, sample_to_tar, tar_members
from diff4splat.data.uids import check_uid
from diff4splat.files import flush

__all__ = ["SampleParts", "index_shards", "write_shards"]

SampleParts = Mapping[str, bytes] | Callable[[], Mapping[str, bytes]]
"""Files of a sample by end of their names, or a function that reads them when they are wanted."""

_SHARD = re.compile(r"[0-9]{6}-[0-9a-f]{8}\.tar")
_UNFINISHED = ".unfinished-"
_END_OF_ARCHIVE = bytes(2 * 512)


def write_shards(
    samples: Iterable[tuple[str, SampleParts]],
    folder: str | os.PathLike[str],
    *,
    max_clips: int = 256,
    max_bytes: int = 2 << 30,
    seed: int = 0,
    existing: Literal["refuse", "replace"] = "refuse",
    metrics: Mapping[str, Mapping[str, Value]] | None = None,
) -> list[str]:
    """Write clips to a folder of shards with an index.

    Clips are sorted by a hash of `seed` and uid and fill one shard after the other, so that every shard is a
    random draw of all clips, and neither the order of `samples` nor who made them matters: samples of equal
    bytes give files of equal bytes. A shard is called after its number and its content,
    `000012-3f9a41c0.tar`. One sample at a time is in memory. The index is written last: until then, what was
    there before is as it was, whatever happens. One process at a time may write to a folder.

    Args:
        samples: Uids, and what `encode_sample` gave for them or functions that read it.
        folder: Where to write; made if needed.
        max_clips: Most clips in a shard.
        max_bytes: Most bytes of samples in a shard, but for a single clip that is larger.
        seed: Another one gives another order.
        existing: What to do where there are shards already: refuse, or take their place. Only files that are
            named as shards are ever removed.
        metrics: What was measured beside what samples say themselves, by uid and name: columns of the index.

    Returns:
        Names of the shards, in order.

    Raises:
        ValueError: If a uid comes twice or is none, a sample is none or of another uid, there is no sample,
            a metric is none, an option out of range, or there are shards that are not to be replaced.
        ImportError: If pyarrow is missing.
        OSError: If a sample cannot be read or a file not be written.
    """
    if max_clips < 1 or max_bytes < 1:
        raise ValueError(f"max_clips and max_bytes must be at least 1, got {max_clips} and {max_bytes}.")
    if existing not in ("refuse", "replace"):
        raise ValueError(f'existing must be "refuse" or "replace", got {existing!r}.')
    by_uid: dict[str, SampleParts] = {}
    for uid, parts in samples:
        if check_uid(uid) in by_uid:
            raise ValueError(f"samples must have uids of their own, got {uid} twice.")
        by_uid[uid] = parts
    if not by_uid:
        raise ValueError("samples must hold at least one clip, got none.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before = _shards_in(folder)
    if existing == "refuse" and (before or (folder / INDEX).exists()):
        raise ValueError(f'{folder} holds shards already: say existing="replace", or choose another folder.')
    for unfinished in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as place:
        writer = _Writer(Path(place), max_clips, max_bytes)
        for uid in sorted(by_uid, key=lambda uid: _draw(seed, uid)):
            writer.add(uid, by_uid[uid], (metrics or {}).get(uid))
        names = writer.finish()
        for name in names:
            os.replace(Path(place, name), folder / name)
    flush(folder)
    write_index(folder, writer.rows)
    for name in before:
        if name not in names:
            (folder / name).unlink()
    return names


def index_shards(folder: str | os.PathLike[str]) -> list[str]:
    """Make the index of a folder anew, from the shards themselves.

    All `*.tar` files of the folder are read once, in the order of their names. Clips before the place where a
    shard is cut off or damaged are kept. Columns that `write_shards` was given beside the samples are lost.

    Args:
        folder: Where the shards are.

    Returns:
        A sentence for everything that could not be indexed; none if all is well.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If not one clip is found.
        ImportError: If pyarrow is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    rows: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("[!.]*.tar")):
        for row in _rows_of(path, problems):
            if row["uid"] in rows:
                other = rows[row["uid"]]["shard"]
                problems.append(f"{path.name}: {row['uid']} is in {other} already and is left out.")
            else:
                rows[row["uid"]] = row
    if not rows:
        raise ValueError(f"{folder} holds no clips in *.tar files. {' '.join(problems[:3])}".rstrip())
    write_index(folder, list(rows.values()))
    return problems


class _Writer:
    """Fills one shard after the other."""

    def __init__(self, place: Path, max_clips: int, max_bytes: int) -> None:
        self._place, self._max_clips, self._max_bytes = place, max_clips, max_bytes
        self.rows: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}  # as they are called in the end, by number
        self._start()

    def _start(self) -> None:
        self._clips, self._bytes, self._hash = 0, 0, hashlib.sha256()
        self._path = self._place / f"{len(self._names):06d}.tar"
        self._file = self._path.open("wb")

    def add(self, uid: str, source: SampleParts, metrics: Mapping[str, Value] | None) -> None:
        parts = source() if callable(source) else source
        words = check_sample(uid, parts)
        block = sample_to_tar(uid, parts)
        full = self._clips >= self._max_clips or self._bytes + len(block) > self._max_bytes
        if self._clips and full:
            self._close()
            self._start()
        shard, digest = self._path.name, hashlib.sha256(block).hexdigest()
        self.rows.append(
            index_row(words, metrics, shard=shard, offset=self._bytes, size=len(block), sha256=digest)
        )
        self._write(block)
        self._clips += 1
        self._bytes += len(block)

    def finish(self) -> list[str]:
        self._close()
        for row in self.rows:
            row["shard"] = self._names[row["shard"]]
        return list(self._names.values())

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)

    def _close(self) -> None:
        self._write(_END_OF_ARCHIVE)
        self._file.close()
        flush(self._path)
        name = f"{self._path.stem}-{self._hash.hexdigest()[:8]}.tar"
        os.replace(self._path, self._path.with_name(name))
        self._names[self._path.name] = name


def _draw(seed: int, uid: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{seed}:{uid}".encode()).digest(), uid


def _shards_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name))


def _rows_of(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Rows of the clips of a shard; what cannot be read is told."""
    rows = []
    with path.open("rb") as file:
        groups: list[list[TarMember]] = []
        try:
            for member in tar_members(file):
                if not groups or groups[-1][0].uid != member.uid:
                    groups.append([])
                groups[-1].append(member)
        except ValueError as error:
            problems.append(f"{path.name}: {error}.")
        for group in groups:
            start, end = group[0].header, group[-1].after
            try:
                row = _row_of(file, path.name, group, start, end)
            except ValueError as error:
                problems.append(f"{path.name}: {group[0].uid} is left out: {error}")
            else:
                rows.append(row)
    return rows


def _row_of(file: Any, shard: str, group: list[TarMember], start: int, end: int) -> dict[str, Any]:
    file.seek(start)
    content = file.read(end - start)
    parts = {member.end: content[member.start - start :][: member.size] for member in group}
    words = check_sample(group[0].uid, parts)
    digest = hashlib.sha256(content).hexdigest()
    return index_row(words, shard=shard, offset=start, size=end - start, sha256=digest)
