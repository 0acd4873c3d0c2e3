"""Where results go: whole or not at all, and known to be writable before any work begins."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from diff4splat.cli.errors import naming

__all__ = ["check_output_file", "check_output_folder", "made_folder", "staged_folder", "writing"]


def writing(path: Path, option: str = "--output") -> AbstractContextManager[None]:
    """Block in which errors of the system say that it is `--output` that cannot be written, and which file.

    Args:
        path: What the block writes, as the user knows it.
        option: What the user calls it.

    Returns:
        The context manager.
    """
    return naming(f"{option} cannot be written", path)


@contextmanager
def made_folder(output: Path) -> Iterator[None]:
    """The folder `output`, made if needed, and shown to be writable; removed again if the block raises.

    Only folders that were made here are removed, and only while they are empty.

    Args:
        output: Folder for the results.

    Raises:
        ValueError: If `output` is a file, or a link to nothing.
        OSError: If `output` cannot be made or written to.
    """
    made: list[Path] = []
    try:
        with writing(output):
            if os.path.lexists(output) and not output.is_dir():
                kind = "a file" if output.exists() else "a link to nothing"
                raise ValueError(f"--output must be a folder, got {kind}: {output}")
            for folder in reversed([path for path in (output, *output.parents) if not path.exists()]):
                folder.mkdir(exist_ok=True)
                made.append(folder)
            os.rmdir(tempfile.mkdtemp(prefix=".unfinished-", dir=output))
        yield
    except BaseException:
        for folder in reversed(made):
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


@contextmanager
def staged_folder(output: Path, names: Sequence[str]) -> Iterator[Path]:
    """Temporary folder whose files move to `output` together, once the block ends without an error.

    The temporary folder lies inside `output`, so that the move is a rename, and is made first, which shows
    that `output` can be written to. If the block raises, the temporary folder is removed, and so is `output`
    if it was made here; files that were in `output` before stay as they are. A link stays a link: what it
    points to is replaced.

    Args:
        output: Folder for the results; made if needed.
        names: Files that the block writes; those of the same names in `output` are replaced.

    Yields:
        The temporary folder.

    Raises:
        ValueError: If `output` is a file, or something other than a file is in the place of one of the names.
        OSError: If `output` cannot be made or written to.
    """
    with made_folder(output):
        for target in (output / name for name in names):
            if target.is_dir():
                raise ValueError(f"--output must have no folder where a file is to be written, got {target}")
            if target.is_symlink() and not Path(os.path.realpath(target)).parent.is_dir():
                raise ValueError(f"--output must have no link into a missing folder, got {target}")
        staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=output))
        try:
            yield staging
            for name in sorted(names, key=lambda name: not (output / name).is_symlink()):
                with writing(output / name):
                    _move(staging / name, output / name)
        except OSError as error:
            if Path(str(error.filename)).parent != staging:
                raise  # not about a file of ours
            with writing(output / Path(error.filename).name):
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def check_output_file(path: Path, suffixes: Sequence[str] = (), option: str = "--output") -> None:
    """Refuse a file that cannot be written, before the work that fills it.

    Args:
        path: File to write.
        suffixes: What its name may end in; anything when empty.
        option: What the user calls it.

    Raises:
        ValueError: If `path` ends in something else, is a folder, or lies in a folder that does not exist.
        OSError: If the folder or the file is read-only, or the name is too long.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} must end in {' or '.join(suffixes)}, got {path}")
    with writing(path, option):
        if path.is_dir():
            raise ValueError(f"{option} must be a file, got a folder: {path}")
        if not Path(os.path.realpath(path)).parent.is_dir():
            raise ValueError(f"{option} must lie in an existing folder, got {path}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_output_folder(path: Path, option: str = "--output") -> None:
    """Refuse a folder that cannot be made or written to, before the work that fills it.

    Args:
        path: Folder to write; it need not exist yet.
        option: What the user calls it.

    Raises:
        ValueError: If `path` is a file, or lies in a folder that does not exist.
        OSError: If the folder, or the one that it lies in, is read-only, or the name is too long.
    """
    with writing(path, option):
        if os.path.lexists(path) and not path.is_dir():
            raise ValueError(f"{option} must be a folder, got a file: {path}")
        parent = Path(os.path.realpath(path)).parent
        if not parent.is_dir():
            raise ValueError(f"{option} must lie in an existing folder, got {path}")
        if not os.access(path if path.exists() else parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _move(source: Path, target: Path) -> None:
    if not target.is_symlink():
        os.replace(source, target)
        return
    from diff4splat.files import atomic_path

    with atomic_path(target) as temporary:  # what the link points to may be on another disk
        shutil.copyfile(source, temporary)
