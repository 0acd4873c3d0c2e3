"""Arrays in an NPZ file: equal content gives equal bytes, rows are read alone, and nothing is unpickled."""

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diff4splat.cameras.files.archives import DAMAGED

__all__ = ["Compression", "NpzFile", "write_npz"]

Compression = Literal["none", "deflate"]
"""How arrays lie in the archive: plainly, so that rows can be read alone, or deflated, which is smaller."""

_FLAG_ENCRYPTED = 1
_LOCAL_HEADER = struct.Struct("<26xHH")  # lengths of the name and of the extra field
_DAMAGED = (OSError, ValueError, struct.error, *DAMAGED)


def write_npz(
    file: str | os.PathLike[str] | io.BufferedIOBase,
    arrays: Mapping[str, np.ndarray],
    *,
    compression: Compression = "none",
) -> None:
    """Write arrays as `numpy.savez` does, with nothing in the bytes but the arrays and their names.

    Args:
        file: Path or open file.
        arrays: Arrays by name, written in this order.
        compression: How they lie in the archive.

    Raises:
        ValueError: If an array holds Python objects, which only a pickle can keep, or `compression` is
            another word.
        OSError: If the file cannot be written.
    """
    if compression not in ("none", "deflate"):
        raise ValueError(f'compression must be "none" or "deflate", got {compression!r}.')
    method = zipfile.ZIP_STORED if compression == "none" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise ValueError(f"{name} must hold numbers, got Python objects.")
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980, whenever it is written
            entry.compress_type, entry.create_system, entry.external_attr = method, 3, 0o644 << 16
            with archive.open(entry, "w", force_zip64=array.nbytes > 1 << 30) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


class NpzFile:
    """Arrays of an NPZ file, read when they are asked for.

    Rows of an array that is not compressed are read alone; the checksum of the archive is looked at only
    where an array is read whole.

    Args:
        source: Path of the file, or what is in it.
        name: What messages call it; the path when omitted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no NPZ file, or is cut off; names it.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, *, name: str = "") -> None:
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise FileNotFoundError(f"no such file: {os.fspath(source)}")
        self.name = name or ("the npz" if isinstance(source, bytes) else os.fspath(source))
        self._file: io.BufferedIOBase = (
            io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")
        )
        try:
            self._archive = zipfile.ZipFile(self._file)
            self._members = {
                entry.filename.removesuffix(".npy"): entry
                for entry in self._archive.infolist()
                if entry.filename.endswith(".npy")
            }
        except _DAMAGED as error:
            self._file.close()
            raise self._damaged(error) from error

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._members

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the arrays, in the order of the file."""
        return tuple(self._members)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of an array, whose values are not read.

        Args:
            key: One of `keys`.

        Returns:
            Sizes.

        Raises:
            ValueError: If it is damaged; names the file.
        """
        return self._header(key)[0]

    def dtype(self, key: str) -> np.dtype[Any]:
        """Type of the values of an array, which are not read.

        Args:
            key: One of `keys`.

        Returns:
            The type.

        Raises:
            ValueError: If it is damaged; names the file.
        """
        return self._header(key)[1]

    def read(self, key: str, rows: Sequence[int] | None = None) -> np.ndarray:
        """An array, or some rows of it.

        Args:
            key: One of `keys`.
            rows: Which, on the first axis, from 0; all when omitted.

        Returns:
            Values that can be written to.

        Raises:
            ValueError: If it is damaged, holds anything but real numbers, or has no such row; names the file.
        """
        shape, dtype, in_columns, start = self._header(key)
        entry = self._members[key]
        if dtype.hasobject:
            raise ValueError(f"{self.name} must hold numbers, got Python objects as {key}.")
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise ValueError(f"{self.name} must hold real numbers of up to 64 bits, got {dtype} as {key}.")
        if start + math.prod(shape) * dtype.itemsize != entry.file_size:
            raise ValueError(f"{self.name} is damaged: {key} has not as many bytes as {list(shape)} {dtype}.")
        if rows is not None and not all(0 <= row < (shape[0] if shape else 0) for row in rows):
            raise ValueError(f"{self.name} must hold rows {list(rows)[:9]} of {key}, got {list(shape)}.")
        plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & _FLAG_ENCRYPTED
        try:
            if rows is not None and plain and not in_columns:
                found = self._read_rows(entry, start, shape, dtype, rows)
                return found.astype(dtype.newbyteorder("="), copy=False)
            with self._archive.open(entry) as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
                member.read()  # to the end, where the checksum is compared
        except (*_DAMAGED, RuntimeError) as error:
            raise self._damaged(error) from error
        return (array if rows is None else array[list(rows)]).astype(dtype.newbyteorder("="), copy=False)

    def _header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
        """Shape, type, whether columns come first, and where the values start."""
        if key not in self._members:
            raise ValueError(f"{self.name} must hold {key}, got {', '.join(self._members) or 'nothing'}.")
        try:
            with self._archive.open(self._members[key]) as member:
                version = np.lib.format.read_magic(member)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, in_columns, dtype = read(member)
                return shape, dtype, in_columns, member.tell()
        except (*_DAMAGED, RuntimeError) as error:
            raise self._damaged(error) from error

    def _read_rows(
        self,
        entry: zipfile.ZipInfo,
        start: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        rows: Sequence[int],
    ) -> np.ndarray:
        self._file.seek(entry.header_offset)
        start += entry.header_offset + 30 + sum(_LOCAL_HEADER.unpack(self._file.read(30)))
        found = np.empty((len(rows), *shape[1:]), dtype)
        size = math.prod(shape[1:]) * dtype.itemsize
        for place, row in enumerate(rows):
            self._file.seek(start + row * size)
            values = self._file.read(size)
            if len(values) != size:
                raise EOFError("it is cut off")
            found[place] = np.frombuffer(values, dtype).reshape(shape[1:])
        return found

    def _damaged(self, error: BaseException) -> ValueError:
        return ValueError(f"{self.name} is not a readable npz: {error}")
