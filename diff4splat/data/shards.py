"""Clips on disk: written once in files of some dozens, shards, and read one by one."""

import contextlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import Dataset

from diff4splat.files import write_safetensors

__all__ = ["ShardClips", "ShardReader", "read_shard", "shard_is_there", "write_shard"]

Origin = Mapping[str, str | int | float | bool | None]


def write_shard(
    path: str | Path, clips: Mapping[str, Tensor], captions: Sequence[str], *, origin: Origin | None = None
) -> None:
    """Write clips to a safetensors file; it appears whole or not at all.

    Args:
        path: File to write; its folder is made if needed.
        clips: Tensors by name, the clips on the first axis.
        captions: One text per clip.
        origin: What the shard was made with, for `shard_is_there`.

    Raises:
        ValueError: If there is no clip, or a tensor has not one row per caption.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    rows = {name: tuple(tensor.shape[:1]) for name, tensor in clips.items()}
    if not captions or not rows or set(rows.values()) != {(len(captions),)}:
        raise ValueError(f"clips must have one row for each of {len(captions)} captions, got {rows}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in clips.items()}
    header = {"captions": json.dumps(list(captions)), "origin": json.dumps(dict(origin or {}))}
    write_safetensors(path, tensors, header)


def read_shard(path: str | Path, names: Sequence[str] | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """Read all clips of a file that `write_shard` wrote.

    Args:
        path: The file.
        names: Tensors to read; all when omitted.

    Returns:
        Tensors by name, and the captions.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or is no shard, or lacks a name.
    """
    file, captions = _open(Path(path))
    wanted = file.keys() if names is None else names
    return {name: _tensor(path, file, name) for name in wanted}, captions


def shard_is_there(path: str | Path, origin: Origin) -> bool:
    """Whether a shard is finished, and made as it would be made now.

    Args:
        path: File of the shard.
        origin: What it would be made with.

    Returns:
        False if there is no such file.

    Raises:
        ValueError: If it was made with something else, which is named, or is damaged or no shard.
    """
    path = Path(path)
    if not path.exists():
        return False
    before = _origin(path)
    for name, value in origin.items():
        if name not in before:
            raise ValueError(f"{path} does not say with which {name} it was made: choose another folder.")
        if before[name] != value:
            raise ValueError(
                f"{path} was made with {name}={before[name]}, these options say {value}: "
                "choose another folder."
            )
    return True


class ShardReader:
    """Single clips out of shards, whose files stay open: a clip is read without the others of its shard.

    It can be pickled; the copy opens the files anew.

    Args:
        max_open: Files kept open; the one that was not used for longest is closed first.

    Raises:
        ValueError: If `max_open` is below 1.
    """

    def __init__(self, max_open: int = 64) -> None:
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}.")
        self._max_open = max_open
        self._files: dict[Path, tuple[Any, list[str]]] = {}

    def read(self, path: Path, row: int, names: Sequence[str] | None = None) -> tuple[dict[str, Tensor], str]:
        """One clip.

        Args:
            path: A shard.
            row: Which of its clips.
            names: Tensors to read where the shard has them; all when omitted.

        Returns:
            Tensors by name, and the caption; they share no memory with the file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged or is no shard, or has no such row.
        """
        file, captions = opened = self._files.pop(path, None) or _open(path)
        self._files[path] = opened  # last: a dictionary keeps the order of insertion
        if len(self._files) > self._max_open:
            self._files.pop(next(iter(self._files)), None)
        if not 0 <= row < len(captions):
            raise ValueError(f"{path} must have more than {row} clips, got {len(captions)}.")
        wanted = [name for name in file.keys() if names is None or name in names]
        try:
            # A row is a view of the whole file's memory: without the clone it would keep that, and pickle it.
            return {name: file.get_slice(name)[row].clone() for name in wanted}, captions[row]
        except (SafetensorError, IndexError) as error:
            raise ValueError(f"{path}[{row}] cannot be read: {error}.") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}


class ShardClips(Dataset[tuple[dict[str, Tensor], str]]):
    """All clips of a folder of shards, in the order of the files' names.

    `clips[i]` reads that clip's rows only, and raises ValueError where the file cannot be read. A file that
    is damaged already when the folder is listed counts as if it had as many clips as the largest shard. Files
    that appear later are not seen.

    Args:
        folder: Where the shards are.
        names: Tensors to read where a shard has them; all when omitted.
        max_open: Files kept open.

    Raises:
        ValueError: If the folder has no shard, or none that can be read, or `max_open` is below 1.
    """

    def __init__(self, folder: str | Path, *, names: Sequence[str] | None = None, max_open: int = 64) -> None:
        self.folder = Path(folder)
        self.names = names
        self._paths = sorted(self.folder.glob("[!.]*.safetensors"))
        if not self._paths:
            raise ValueError(f"folder must hold shards (*.safetensors), got {self.folder} without any.")
        counts = [_num_clips(path) for path in self._paths]
        largest = max(counts)
        if largest == 0:
            raise ValueError(f"folder must hold shards that can be read, got none of them in {self.folder}.")
        self._ends = list(accumulate(count or largest for count in counts))
        self._reader = ShardReader(max_open)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], str]:
        path, row = self._place(index)
        return self._reader.read(path, row, self.names)

    def name_of(self, index: int) -> str:
        """Where a clip lies, for messages.

        Args:
            index: Number of the clip, from 0.

        Returns:
            The shard's file and the row, as in "000012.safetensors[5]".

        Raises:
            IndexError: If there is no such clip.
        """
        path, row = self._place(index)
        return f"{path.name}[{row}]"

    def origin(self) -> dict[str, Any]:
        """What the shards were made with, as far as all that can be read agree.

        Returns:
            Options by name, see `write_shard`.
        """
        origins = []
        for path in self._paths:
            with contextlib.suppress(OSError, ValueError):
                origins.append(_origin(path))
        first = origins[0] if origins else {}
        return {key: value for key, value in first.items() if all(o.get(key) == value for o in origins)}

    def _place(self, index: int) -> tuple[Path, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}), got {index}.")
        shard = bisect_right(self._ends, index)
        return self._paths[shard], index - (self._ends[shard - 1] if shard else 0)


def _open(path: Path) -> tuple[Any, list[str]]:
    """An open file and its captions."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file.")
    try:
        file = safe_open(path, framework="pt")
        return file, list(json.loads(file.metadata()["captions"]))
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no shard: {error}.") from error


def _origin(path: Path) -> dict[str, Any]:
    """What a shard was made with."""
    file, _ = _open(path)
    return dict(json.loads(file.metadata().get("origin", "{}")))


def _tensor(path: str | Path, file: Any, name: str) -> Tensor:
    if name not in file.keys():
        raise ValueError(f"{path} must hold {name}, got {', '.join(sorted(file.keys()))}.")
    return file.get_tensor(name)


def _num_clips(path: Path) -> int:
    """Clips of a shard; 0 if it cannot be read."""
    try:
        return len(_open(path)[1])
    except (OSError, ValueError):
        return 0
