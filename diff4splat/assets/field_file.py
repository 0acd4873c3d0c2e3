"""Tensors of a native 4D asset, looked at before any of them is read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["check_tensor", "length_of", "opened", "read_tensors"]

FLOATS = ("F64", "F32", "F16", "BF16")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The file as a safetensors handle; says what is wrong with a file that is none.

    Args:
        path: The file.

    Yields:
        Handle; what it cannot read within the block is said as an error of the file, too.

    Raises:
        ValueError: If the file is no safetensors file, or is truncated or inconsistent.
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except (SafetensorError, OSError) as error:
        with open(path, "rb") as raw:
            start = raw.read(4)
        others = {b"PK": "a pickle; those are never loaded", b"\x80\x02": "a pickle; those are never loaded"}
        others |= {b"pl": "a PLY; `load_ply` reads it"}
        looks = f" (it looks like {others[start[:2]]})" if start[:2] in others else ""
        raise ValueError(f"{path} is not a safetensors file, or is truncated{looks}: {error}") from error


def length_of(path: str | os.PathLike[str], file: Any, name: str) -> int:
    """First axis of a tensor that must be there.

    Args:
        path: The file, for messages.
        file: Handle.
        name: Of the tensor.

    Returns:
        Length, at least 1.

    Raises:
        ValueError: If there is no such tensor, or it is empty.
    """
    if name not in file.keys():
        raise ValueError(f"{path} lacks the tensor {name}.")
    shape = file.get_slice(name).get_shape()
    if not shape or shape[0] == 0:
        raise ValueError(f"{path}: {name} must have at least one entry, got shape {tuple(shape)}.")
    return int(shape[0])


def check_tensor(
    path: str | os.PathLike[str],
    file: Any,
    name: str,
    shape: tuple[int | None, ...],
    types: tuple[str, ...] = FLOATS,
) -> None:
    """Refuse a tensor that is missing, of another shape, or of another type.

    Args:
        path: The file, for messages.
        file: Handle.
        name: Of the tensor.
        shape: Sizes; None for any.
        types: Names that safetensors has for the allowed ones.

    Raises:
        ValueError: If so.
    """
    if name not in file.keys():
        raise ValueError(f"{path} lacks the tensor {name}.")
    part = file.get_slice(name)
    actual = tuple(part.get_shape())
    if len(actual) != len(shape) or any(
        size not in (None, length) for size, length in zip(shape, actual, strict=True)
    ):
        expected = f"({', '.join('any' if size is None else str(size) for size in shape)}"
        expected += ",)" if len(shape) == 1 else ")"
        raise ValueError(f"{path}: {name} must have shape {expected}, got {actual}.")
    if part.get_dtype() not in types:
        raise ValueError(f"{path}: {name} must be one of {', '.join(types)}, got {part.get_dtype()}.")


def read_tensors(file: Any, names: list[str]) -> dict[str, Tensor]:
    """Tensors that do not stay mapped to the file, which may be replaced while they live.

    Args:
        file: Handle.
        names: Those that have been checked.

    Returns:
        Tensors by name.
    """
    return {name: file.get_tensor(name).clone() for name in names}
