"""Whether files are still the same: a hash of their names, sizes and times, without reading them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["files_fingerprint"]


def files_fingerprint(sources: Iterable[Path], *, top: Path, words: str = "") -> str:
    """Hash of the names, sizes and times of change of files.

    Args:
        sources: Files, and folders for all that is below them; those that are not there count as such.
        top: Folder that names are relative to, so that a dataset may be moved as a whole.
        words: What else shall be told apart.

    Returns:
        32 hex digits.
    """
    rows = set()
    for source in sources:
        for path, status in _below(os.path.abspath(source)):
            size, time = (-1, 0) if status is None else (status.st_size, status.st_mtime_ns)
            rows.add(f"{os.path.relpath(path, top.absolute())}\0{size}\0{time}\n")
    text = words + "\n" + "".join(sorted(rows))
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()[:32]


def _below(path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Files in a folder and its folders, or the one file; None for what is not there or leads nowhere."""
    waiting, seen = [path], set()
    while waiting:
        place = waiting.pop()
        try:
            if os.path.isdir(place):
                real = os.path.realpath(place)  # links are followed, once
                if real not in seen:
                    seen.add(real)
                    with os.scandir(place) as entries:
                        waiting += [entry.path for entry in entries]
            else:
                yield place, os.stat(place)
        except OSError:
            yield place, None
