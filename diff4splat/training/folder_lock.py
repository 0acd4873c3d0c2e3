"""One process at a time in the folder of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["folder_lock"]


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder until the block ends.

    The system holds the lock for this process and lets go of it when the process ends, in whatever way: the
    file `.lock` that stays behind keeps nobody out.

    Args:
        folder: The folder, which must exist.

    Yields:
        Nothing.

    Raises:
        ValueError: If another process has it.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"folder must be used by one run at a time, got {folder}, in which another process is training: "
            "wait for it, or choose another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()
