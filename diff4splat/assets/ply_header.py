"""The vertices of a PLY file as they stand, whatever its properties mean, and the comments of its header."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

__all__ = ["comment_lines", "read_provenance", "read_vertices"]

Elements: TypeAlias = list[tuple[str, int, list[list[str]]]]  # name, count, words of its property lines

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"double": "f8", "float32": "f4", "float64": "f8"},
}
FORMATS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
HEADER_LIMIT = 1 << 20


def comment_lines(provenance: Mapping[str, Any]) -> list[str]:
    """Header lines that keep JSON values; JSON escapes line breaks, so no value can add a line of its own.

    Args:
        provenance: JSON values by name.

    Returns:
        One line of ASCII per entry.

    Raises:
        ValueError: If a value is not JSON.
    """
    lines = []
    for key, value in provenance.items():
        try:
            lines.append("comment " + json.dumps({str(key): value}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"provenance[{key!r}] must be a JSON value, but {error}.") from error
    return lines


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `comment_lines` kept; comments of other programs are passed over.

    Args:
        path: PLY file.

    Returns:
        JSON values by name.

    Raises:
        ValueError: If the file is no PLY.
        FileNotFoundError: If there is no such file.
    """
    with open(path, "rb") as file:
        _, _, comments = _read_header(path, file)
    found: dict[str, Any] = {}
    for comment in comments:
        try:
            entry = json.loads(comment)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            found |= entry
    return found


def read_vertices(path: str | os.PathLike[str]) -> np.ndarray:
    """The element `vertex` of a PLY file as a structured array, in the types of the file.

    Args:
        path: PLY file, binary of either byte order, or text.

    Returns:
        One entry per vertex, with the fields that the header names; float64 for text.

    Raises:
        ValueError: If the file is no PLY, is compressed, is truncated, claims more vertices than it holds, or
            has lists among the properties of its vertices, or before them in a binary file.
        FileNotFoundError: If there is no such file.
    """
    with open(path, "rb") as file:
        byte_order, elements, _ = _read_header(path, file)
        if byte_order == "=":
            return _read_text(path, file, elements)
        start = file.tell()
    if any(name == "chunk" for name, _, _ in elements):
        raise ValueError(
            f"{path} is a compressed PLY; convert it first: splat-transform in.compressed.ply out.ply"
        )
    before, count, properties = _split(path, elements)
    skipped = sum(number * _layout(path, name, byte_order, lines).itemsize for name, number, lines in before)
    dtype = _layout(path, "vertex", byte_order, properties)
    expected, size = start + skipped + count * dtype.itemsize, Path(path).stat().st_size
    if size < expected:
        raise ValueError(f"{path} is truncated: {count} vertices need {expected} bytes, the file has {size}.")
    return np.fromfile(path, dtype=dtype, count=count, offset=start + skipped)


def _read_text(path: str | os.PathLike[str], file: IO[bytes], elements: Elements) -> np.ndarray:
    """Vertices that are written as words, one line each."""
    before, count, properties = _split(path, elements)
    skipped = sum(number for _, number, _ in before)
    dtype = _layout(path, "vertex", "=", properties)
    room = Path(path).stat().st_size - file.tell()
    if room < skipped + 2 * count * len(dtype.names or ()) - 1:  # a digit and a space each
        raise ValueError(f"{path} is truncated: {count} vertices do not fit into its {room} bytes of data.")
    try:
        for _ in range(skipped):
            file.readline()
        lines = (line.decode("ascii", errors="replace") for line in file)
        matrix = np.loadtxt(lines, dtype=np.float64, comments=None, max_rows=count, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    if matrix.shape != (count, len(dtype.names or ())):
        raise ValueError(
            f"{path} is truncated: {count} lines of {len(dtype.names or ())} numbers are announced, "
            f"{matrix.shape[0]} of {matrix.shape[1]} found."
        )
    return matrix.astype(np.float64).view([(name, "f8") for name in dtype.names or ()])[:, 0]


def _read_header(path: str | os.PathLike[str], file: IO[bytes]) -> tuple[str, Elements, list[str]]:
    """Byte order, elements and comments, leaving the file at its first byte of data."""
    if file.readline(16).strip() != b"ply":
        raise ValueError(f"{path} is not a PLY file.")
    byte_order, comments = "", []
    elements: Elements = []
    while True:
        line = file.readline(HEADER_LIMIT)
        if not line.endswith(b"\n") or file.tell() > HEADER_LIMIT:
            raise ValueError(f"{path} is truncated or not a PLY file: its header has no end.")
        words = line.decode("ascii", errors="replace").split()
        if words == ["end_header"]:
            break
        if words[:1] == ["format"] and len(words) == 3:
            if words[1] not in FORMATS:
                raise ValueError(
                    f"{path} must be a PLY of format {', '.join(FORMATS)}, got {words[1][:80]!r}."
                )
            byte_order = FORMATS[words[1]]
        elif words[:1] == ["element"] and len(words) == 3:
            if not words[2].isdecimal() or len(words[2]) > 18:
                raise ValueError(f"{path}: element {words[1]} must have a count, got {words[2][:80]!r}.")
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"] and len(words) >= 3 and elements:
            elements[-1][2].append(words[1:])
        elif words[:1] == ["comment"]:
            comments.append(line.decode("ascii", errors="replace").strip()[len("comment") :].strip())
        elif words and words[0] != "obj_info":
            raise ValueError(f"{path} has a header line that PLY does not have: {' '.join(words)[:80]!r}.")
    if not byte_order:
        raise ValueError(f"{path} is not a PLY file: its header names no format.")
    return byte_order, elements, comments


def _layout(
    path: str | os.PathLike[str], element: str, byte_order: str, properties: list[list[str]]
) -> np.dtype:
    """Layout of one entry of an element."""
    fields: list[tuple[str, str]] = []
    for words in properties:
        if len(words) != 2 or words[0] not in TYPES:
            raise ValueError(f"{path}: element {element} cannot have the property {' '.join(words)[:80]!r}.")
        fields.append((words[1], byte_order + TYPES[words[0]]))
    if len({field for field, _ in fields}) != len(fields):
        raise ValueError(f"{path}: element {element} names a property twice.")
    return np.dtype(fields)


def _split(path: str | os.PathLike[str], elements: Elements) -> tuple[Elements, int, list[list[str]]]:
    """The elements before the vertices, the number of these, and their properties."""
    names = [name for name, _, _ in elements]
    if "vertex" not in names:
        raise ValueError(f"{path} has no element vertex.")
    index = names.index("vertex")
    _, count, properties = elements[index]
    if count == 0 or not properties:
        raise ValueError(f"{path} has no vertices{' with properties' if count else ''}.")
    return elements[:index], count, properties
