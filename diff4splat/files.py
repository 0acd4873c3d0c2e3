"""Files: written whole or not at all, and tensors read without running code."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

__all__ = [
    "PICKLE_SUFFIXES",
    "atomic_folder",
    "atomic_path",
    "flush",
    "folder_lock",
    "natural_order",
    "pickles_in",
    "read_safetensors",
    "write_safetensors",
]

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
"""How files of weights end that are pickles, which can run code when they are read, and so are not."""

# Names that safetensors has for types, in the order in which it writes tensors, last first.
_DTYPES = {
    **{torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8"},
    **{torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fn: "F8_E4M3"},
    **{torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32", torch.complex64: "C64"},
    **{torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64"},
}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Temporary path beside `path` that takes its name only when the block ends without an error.

    The temporary file lies in the same folder (a rename across file systems is not atomic), ends in the
    same suffix, is flushed to disk before the rename, and is removed if the block raises, so that an
    interrupted save leaves the previous file as it was. A symbolic link at `path` stays a link, and a
    file that is replaced keeps its permissions.

    Args:
        path: Where the finished file shall be; its folder must exist.

    Yields:
        The path to write to; the file exists and is empty.

    Raises:
        FileNotFoundError: If the folder does not exist.
        IsADirectoryError: If `path` is a folder.
        OSError: If the file cannot be written, for instance on a full disk; names `path`.

    Examples:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole or not at all")
        >>> target.read_text()
        'whole or not at all'
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"path must name a file, got the folder {path}.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist.")
    # The start of the name is cut so that the longer temporary name stays within what file systems allow.
    temporary = target.with_name(f".{target.stem[:32]}.{secrets.token_hex(6)}{target.suffix[:16]}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers put a file of their own there, readable by its owner only
        flush(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    flush(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Temporary folder beside `path` that takes its name only when the block ends without an error.

    Nothing that is there is ever replaced: the folder must be new, or empty. If the block raises, the
    temporary folder is removed with what is in it, and an empty folder stays as it was.

    Args:
        path: Where the finished folder shall be; the folder that it lies in must exist.

    Yields:
        The folder to write into; it exists and is empty.

    Raises:
        ValueError: If there is a file at `path`, or a folder with something in it.
        FileNotFoundError: If the folder that it lies in does not exist.
        OSError: If the folder cannot be written, for instance on a full disk.
    """
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not target.is_dir():
        raise ValueError(f"path must name a folder, got the file {path}.")
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"path must name a new or an empty folder, got {path}, which has something in it.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist.")
    temporary = target.with_name(f".{target.name[:32]}.{secrets.token_hex(6)}")
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            flush(file)
        flush(temporary)
        if target.is_dir():
            target.rmdir()  # empty; on some systems a rename does not replace it
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    flush(target.parent)


@contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
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
    from filelock import FileLock, Timeout

    lock = FileLock(Path(folder) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"folder must be used by one run at a time, got {folder}, in which another process is working: "
            "wait for it, or choose another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def natural_order(name: str) -> list[str | int]:
    """Key of sorting by which `frame_2.png` stands before `frame_10.png`.

    Args:
        name: Any text.

    Returns:
        Its texts and numbers by turns.

    Examples:
        >>> sorted(["b10", "b2", "a"], key=natural_order)
        ['a', 'b2', 'b10']
    """
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", name))]


def flush(path: str | os.PathLike[str]) -> None:
    """Push what the system still holds of a file, or of the names in a folder, to the disk.

    Args:
        path: File or folder; folders are passed over where the system cannot open them.

    Raises:
        OSError: If it cannot be opened or written.
    """
    folder = os.path.isdir(path)
    if folder and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    check: Callable[[], None] | None = None,
) -> None:
    """Write tensors to a safetensors file, whole or not at all; equal content gives equal bytes.

    The values go from where they lie to the file, without a copy in between. The bytes are those that
    `safetensors.torch.save_file` writes, but for the words about the tensors, which it writes in random
    order.

    Args:
        path: File to write; its folder must exist.
        tensors: Tensors by name; they may share memory.
        metadata: Words about them.
        check: Called while the disk is busy, in a thread of its own; what it raises is raised, and then
            nothing is written.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If a tensor is of a type that the format does not have, or one is called `__metadata__`.
        OSError: If the file cannot be written, for instance on a full disk.
    """
    unknown = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype not in _DTYPES}
    if unknown or "__metadata__" in tensors:
        raise ValueError(
            f"tensors must have types that safetensors has and names of their own, got {unknown}."
        )
    ranks = {dtype: rank for rank, dtype in enumerate(_DTYPES)}
    names = sorted(tensors, key=lambda name: (-ranks[tensors[name].dtype], name))  # widest types first
    header: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))}
    place = 0
    for name in names:
        tensor = tensors[name]
        end = place + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # so that the values are aligned
    with ThreadPoolExecutor(1) as pool, atomic_path(path) as temporary:
        checked = pool.submit(check or (lambda: None))
        with open(temporary, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                values = tensors[name].detach().cpu().contiguous()
                file.write(values.reshape(-1).view(torch.uint8).numpy().data)
        flush(temporary)
        checked.result()


def pickles_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the files in a folder that are pickles, by their suffix.

    Args:
        folder: The folder; those inside it are not looked into.

    Returns:
        Sorted names.
    """
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix in PICKLE_SUFFIXES)


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of a safetensors file, which unlike a pickle cannot run code.

    Args:
        path: The file.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is a pickle or torch archive, or is truncated or inconsistent.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file.")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        brace = file.read(1)
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and brace != b"{"):
        raise ValueError(
            f"{path} is a pickle or torch archive; only safetensors files are read, as they run no code."
        )
    if size < 8 or length > size - 8:
        raise ValueError(
            f"{path} is truncated or no safetensors file: {size} bytes, header of {length} announced."
        )
    if brace != b"{":
        raise ValueError(f"{path} is no safetensors file: its header is not JSON.")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}.") from error
