"""What is in a file of weights, read from its header: names, types and shapes, and no values.

The layout of the file: eight bytes with the length of the header, the header as JSON, the tensors.
Source: https://huggingface.co/docs/safetensors
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diff4splat.files import pickles_in

__all__ = ["TensorInfo", "WeightsHeader", "read_safetensors_header"]

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_LARGEST_HEADER = 100_000_000  # bytes, of the format


@dataclass(frozen=True)
class TensorInfo:
    """Type and shape of a stored tensor.

    Args:
        dtype: Name of the type in the file, such as "BF16".
        shape: Sizes.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return self.num_elements * _BITS[self.dtype] // 8


@dataclass(frozen=True)
class WeightsHeader:
    """What the headers of one file, or of the shards of one model, say.

    Args:
        path: What was asked for: a file, an index of shards or a folder.
        files: The safetensors files, in order.
        tensors: Types and shapes by name.
        metadata: Words of the files about themselves.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def num_parameters(self) -> int:
        """Number of values in all tensors."""
        return sum(info.num_elements for info in self.tensors.values())

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.num_bytes for info in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of values of each type, the most frequent first."""
        counts: dict[str, int] = {}
        for info in self.tensors.values():
            counts[info.dtype] = counts.get(info.dtype, 0) + info.num_elements
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def read_safetensors_header(path: str | os.PathLike[str]) -> WeightsHeader:
    """Names, types and shapes of the tensors in a file of weights; reads no values and runs no code.

    Args:
        path: A safetensors file, the index of a model in shards (`*.index.json`), or a folder that holds one
            model.

    Returns:
        The header; of shards, all their tensors together.

    Raises:
        FileNotFoundError: If there is no such file, no safetensors file in the folder, or a shard is missing.
        ValueError: If the file is something else (a pickle, a Git LFS pointer, a web page), is truncated or
            damaged, or the shards do not fit together.
    """
    path = Path(path)
    if path.is_dir():
        files = _files_of_folder(path)
        if files[0].name.endswith(".index.json"):
            return _read_shards(path, files[0])
        return _merge(path, files)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file.")
    if path.name.endswith(".index.json"):
        return _read_shards(path, path)
    return _read_file(path)


def _files_of_folder(folder: Path) -> list[Path]:
    """The index of the shards in a folder, or else its safetensors files."""
    indices = sorted(folder.glob("[!.]*.safetensors.index.json"))
    if len(indices) > 1:
        names = ", ".join(index.name for index in indices)
        raise ValueError(f"{folder} holds several models, {names}: give one of these files.")
    files = indices or sorted(folder.glob("[!.]*.safetensors"))
    if not files:
        pickles = pickles_in(folder)
        hint = f", only the pickle {pickles[0]}, which is not read as it can run code" if pickles else ""
        raise FileNotFoundError(f"{folder} holds no safetensors file{hint}.")
    return files


def _read_shards(path: Path, index: Path) -> WeightsHeader:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{index} is not valid JSON; download it again: {error}.") from error
    homes = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(homes, dict) or not all(isinstance(home, str) for home in homes.values()) or not homes:
        raise ValueError(f"{index} is no index of shards: it has no weight_map from tensors to files.")
    names = sorted(set(homes.values()))
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise ValueError(f"{index} must name files of its own folder, got {outside[0]!r}.")
    files = [index.parent / name for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index.parent} lacks {len(missing)} of {len(files)} shards, such as {missing[0]}: "
            "the download was interrupted; start it again."
        )
    header = _merge(path, files)
    absent = [name for name in homes if name not in header.tensors]
    if absent:
        raise ValueError(
            f"{index.name} names {len(absent)} tensors that its shards do not hold, such as {absent[0]}: "
            "the files belong to different versions; download the folder again."
        )
    return header


def _merge(path: Path, files: list[Path]) -> WeightsHeader:
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    for file in files:
        part = _read_file(file)
        twice = tensors.keys() & part.tensors.keys()
        if twice:
            raise ValueError(
                f"{path} holds several models, {min(twice)} is in more than one file: give one of the files."
            )
        tensors.update(part.tensors)
        metadata.update(part.metadata)
    return WeightsHeader(path, tuple(files), tensors, metadata)


def _read_file(path: Path) -> WeightsHeader:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(256)
        _refuse_others(path, start, size)
        length = int.from_bytes(start[:8], "little")
        file.seek(8)
        text = file.read(length)
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError(f"an object was expected, got {type(content).__name__}")
        metadata = content.pop("__metadata__", {})
        tensors = {name: _tensor(name, entry) for name, entry in content.items()}
        if not isinstance(metadata, dict):
            raise ValueError("__metadata__ is not an object")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged, download it again: its header cannot be read, {error}."
        ) from None
    end = max((entry["data_offsets"][1] for entry in content.values()), default=0)
    if 8 + length + end > size:
        raise ValueError(
            f"{path} is truncated: {size} of {8 + length + end} bytes are there; the download was "
            "interrupted, start it again."
        )
    return WeightsHeader(path, (path,), tensors, {str(key): str(value) for key, value in metadata.items()})


def _tensor(name: str, entry: Any) -> TensorInfo:
    """Checked type and shape of one entry of a header."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if dtype not in _BITS or not _are_sizes(shape) or not _are_sizes(place) or len(place) != 2:
        raise ValueError(f"the entry of {name} has no known type, shape and place")
    info = TensorInfo(dtype, tuple(shape))
    if place[1] - place[0] != info.num_bytes:
        raise ValueError(f"{name} of {dtype} and shape {shape} does not fill its place {place}")
    return info


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _refuse_others(path: Path, start: bytes, size: int) -> None:
    """Say what a file is that is no safetensors file."""
    length = int.from_bytes(start[:8], "little")
    opening = start.lstrip().lower()
    if size == 0:
        problem = "is empty; download it again"
    elif start.startswith(b"version https://git-lfs"):
        problem = "is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
    elif opening.startswith((b"<!doctype", b"<html", b"<?xml")):
        problem = "is a web page that was saved in place of the file; download it again, logged in if need be"
    elif start.startswith(b"GGUF"):
        problem = "is a GGUF file of quantised weights; safetensors files are read"
    elif start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[8:9] != b"{"):
        problem = (
            "is a pickle (torch.save), which can run code when it is loaded; take the safetensors file, or "
            "turn it into one with torch.load(file, weights_only=True) and safetensors.torch.save_file"
        )
    elif size >= 9 and start[8:9] == b"{" and length > size - 8:
        problem = (
            f"is truncated: its header of {length} bytes is longer than the file; the download was "
            "interrupted, start it again"
        )
    elif start[8:9] == b"{" and length > _LARGEST_HEADER:
        problem = f"has a header of {length} bytes, more than the {_LARGEST_HEADER} that the format allows"
    elif start[8:9] != b"{":
        problem = f"is no safetensors file: it begins with {start[:16]!r}"
    else:
        return
    raise ValueError(f"{path} {problem}.")
