"""npz archives, read without running code."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

__all__ = ["open_npz"]

_DAMAGED = (
    *(EOFError, NotImplementedError, RuntimeError),  # of zipfile, for methods it does not know, passwords
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def open_npz(path: Path, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Arrays of an archive by their names, of those wanted.

    Args:
        path: The file.
        wanted: Names to read; others are passed over.

    Returns:
        What is there of them.

    Raises:
        ValueError: If the file is no npz archive, is damaged, or holds objects.
    """
    content = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(content):
        raise ValueError("file must be an npz archive, got something else.")
    try:
        with np.load(content, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files if name in wanted}
    except _DAMAGED as error:
        raise ValueError(f"file must be an npz archive, got a damaged one ({error}).") from error
