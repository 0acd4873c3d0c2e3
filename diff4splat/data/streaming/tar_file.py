"""Samples in a tar as WebDataset has them: files side by side that share a name up to its first dot."""

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["TarMember", "sample_to_tar", "tar_members"]

_BLOCK = tarfile.BLOCKSIZE
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_END = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*")


class TarMember(NamedTuple):
    """A file in a tar.

    Args:
        uid: Its name up to the first dot.
        end: Its name from there on.
        header: Where its header starts, bytes.
        start: Where its content starts.
        size: Bytes of its content.
        after: Where the next header starts.
    """

    uid: str
    end: str
    header: int
    start: int
    size: int
    after: int


def sample_to_tar(uid: str, parts: Mapping[str, bytes]) -> bytes:
    """The stretch of a tar that holds a sample: names and contents, no time and no owner.

    Args:
        uid: Name of the sample.
        parts: Contents by end of the name; `json` comes first, then `npz`, then the others by name.

    Returns:
        Headers and contents, padded to whole blocks.

    Raises:
        ValueError: If there are no parts, or an end is not of small letters, digits and dots.
    """
    wrong = [end for end in parts if not _END.fullmatch(end)]
    if wrong or not parts:
        raise ValueError(f"parts of {uid} must end in words such as json or 00000.jpg, got {wrong[:9]}.")
    blocks = []
    for end in sorted(parts, key=lambda end: (end != "json", end != "npz", end)):
        content = parts[end]
        member = tarfile.TarInfo(f"{uid}.{end}")
        member.size, member.mode, member.mtime = len(content), 0o644, 0
        blocks += [member.tobuf(tarfile.USTAR_FORMAT), content, bytes(-len(content) % _BLOCK)]
    return b"".join(blocks)


def tar_members(file: io.BufferedIOBase, start: int = 0, end: int | None = None) -> Iterator[TarMember]:
    """Files of a tar, whose contents are not read; folders, links and comments are passed over.

    Args:
        file: The tar, open.
        start: Where a header starts.
        end: Where to stop; at the end of the archive when omitted.

    Yields:
        Files in the order of the tar.

    Raises:
        ValueError: If a header is damaged, or the tar ends before it says so.
    """
    size = file.seek(0, 2)
    place, stop = start, size if end is None else end
    while place < stop:
        file.seek(place)
        block = file.read(_BLOCK)
        if end is None and block == bytes(_BLOCK):
            return
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ValueError(f"no header of a file at byte {place}: {error}") from error
        first = place + _BLOCK
        after = first + member.size + -member.size % _BLOCK
        if first + member.size > size:
            raise ValueError(f"cut off at byte {size}, in {member.name}")
        if member.type in _FILES:
            folder, slash, name = member.name.removeprefix("./").rpartition("/")  # of "tar -cf a.tar ."
            stem, _, ending = name.partition(".")
            yield TarMember(folder + slash + stem, ending, place, first, member.size, after)
        place = after
    if end is None:
        raise ValueError(f"cut off at byte {size}, without the end of the archive")
