"""numpy files, read without running code."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

__all__ = ["DAMAGED", "open_npy", "open_npz"]

DAMAGED = (
    *(EOFError, NotImplementedError, RuntimeError),  # of zipfile, for methods it does not know, passwords
    *(MemoryError, OverflowError),  # of shapes that no file has
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What `zipfile` and numpy raise for a damaged archive, beside OSError and ValueError."""


def open_npy(path: Path) -> np.ndarray:
    """The array of a file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ValueError: If the file is no npy array, is damaged, claims more than it holds, or holds objects.
    """
    try:
        return np.asarray(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))
    except DAMAGED as error:
        raise ValueError(f"file must be an npy array, got a damaged one ({error}).") from error


def open_npz(path: Path, wanted: Collection[str] | None) -> dict[str, np.ndarray]:
    """Arrays of an archive by their names, of those wanted.

    Args:
        path: The file.
        wanted: Names to read; others are passed over. None for all.

    Returns:
        What is there of them.

    Raises:
        ValueError: If the file is no npz archive, is damaged, claims more than it holds, or holds objects.
    """
    content = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(content):
        raise ValueError("file must be an npz archive, got something else.")
    try:
        with np.load(content, allow_pickle=False) as archive:
            names = [name for name in archive.files if wanted is None or name in wanted]
            return {name: np.asarray(archive[name]) for name in names}
    except DAMAGED as error:
        raise ValueError(f"file must be an npz archive, got a damaged one ({error}).") from error
