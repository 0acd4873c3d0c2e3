"""Finding files: folders of recordings, frames without gaps, and what lies beside them."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from diff4splat.data.readers.reader import numbered

__all__ = ["companions", "folders_where", "numbered_frames"]


def folders_where(folder: Path, holds: Callable[[Path, set[str]], bool]) -> Iterator[Path]:
    """Folders that are what is looked for, in no order; none is looked for inside of one that is.

    Folders of images are never entered this way, which is what makes large datasets quick to search.

    Args:
        folder: Where to look; may be one itself.
        holds: Whether a folder, with the names of all that it holds, is one.

    Yields:
        The folders.
    """
    waiting, seen = [folder], set()
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)  # links are followed, once
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(place) as entries:
                kinds = {entry.name: _is_folder(entry) for entry in entries}
        except PermissionError:
            continue
        if holds(place, set(kinds)):
            yield place
        else:
            waiting += [place / name for name, is_folder in kinds.items() if is_folder]


def numbered_frames(place: Path, pattern: str, example: str, *, gaps: bool = False) -> dict[int, Path]:
    """Pictures of a folder by their number; strays are left out.

    Args:
        place: The folder.
        pattern: Regular expression of whole names, whose first group is the number.
        example: Name of the first file, for people.
        gaps: Whether numbers may be missing, because all else is found by number, too.

    Returns:
        Files by number, ascending, at least one.

    Raises:
        ValueError: If there is none, or a number is there twice, or missing where it may not.
        FileNotFoundError: If there is no such folder.
    """
    files = numbered(place.iterdir(), pattern)
    if not files:
        raise ValueError(f"{place} must hold frames such as {example}, got none.")
    first, last = min(files), max(files)
    if not gaps and last - first + 1 != len(files):
        missing = [number for number in range(first, last) if number not in files]
        raise ValueError(
            f"{place} must hold every frame from {first} to {last}, lacks {len(missing)}, the first of them "
            f"{missing[0]}."
        )
    return files


def companions(place: Path, pattern: str, numbers: Iterable[int]) -> dict[int, Path]:
    """Files of a folder that belong to frames, one for each of them, or none at all.

    Args:
        place: The folder, which need not be there.
        pattern: Regular expression of whole names, whose first group is the number.
        numbers: Numbers of the frames.

    Returns:
        Files by number; empty if there is none.

    Raises:
        ValueError: If some frames have one and others have not, or one has two.
    """
    files = numbered(place.iterdir(), pattern) if place.is_dir() else {}
    missing = [number for number in numbers if number not in files] if files else []
    if missing:
        raise ValueError(
            f"{place} must hold a file for every frame, lacks {len(missing)}, the first of them that of "
            f"frame {missing[0]}."
        )
    return files


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
