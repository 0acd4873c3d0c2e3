"""Where results go: whole or not at all, and known to be writable before any work begins."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_output_file", "staged_folder"]


@contextmanager
def staged_folder(output: Path, names: Sequence[str]) -> Iterator[Path]:
    """Temporary folder whose files move to `output` together, once the block ends without an error.

    The temporary folder lies inside `output`, so that the move is a rename, and is made first, which shows
    that `output` can be written to. If the block raises, the temporary folder is removed, and so is `output`
    if it was made here; files that were in `output` before stay as they are.

    Args:
        output: Folder for the results; made if needed.
        names: Files that the block writes; those of the same names in `output` are replaced.

    Yields:
        The temporary folder.

    Raises:
        ValueError: If `output` is a file, or holds a folder by one of the names.
        OSError: If `output` cannot be made or written to.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output must be a folder, got a file: {output}")
    for name in names:
        if (output / name).is_dir():
            raise ValueError(
                f"--output must have no folder where a file is to be written, got {output / name}"
            )
    made = _make_folders(output)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=output))
        try:
            yield staging
            for name in names:
                os.replace(staging / name, output / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except BaseException:
        for folder in reversed(made):
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def check_output_file(path: Path) -> None:
    """Refuse a file that cannot be written, before the work that fills it.

    Args:
        path: File to write.

    Raises:
        ValueError: If `path` is a folder, or lies in a folder that does not exist.
        PermissionError: If the folder or the file is read-only.
    """
    if path.is_dir():
        raise ValueError(f"--output must be a file, got a folder: {path}")
    if not path.parent.is_dir():
        raise ValueError(f"--output must lie in an existing folder, got {path}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"--output must be writable, got {path}")


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; those that were made, outermost first."""
    missing = [candidate for candidate in (folder, *folder.parents) if not candidate.exists()]
    made = []
    for candidate in reversed(missing):
        candidate.mkdir(exist_ok=True)
        made.append(candidate)
    return made
