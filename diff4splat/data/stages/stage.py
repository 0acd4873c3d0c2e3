"""A stage of curation and the clip it is run on, with the hash that says what a result was made from."""

import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from diff4splat.data.stages.item import Item

__all__ = ["Stage", "Task", "file_stamp", "result_keys", "seed_of_uid"]

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Stage:
    """A step that every clip goes through: a pure function and what its result depends on.

    The function gives a new item, or raises `Rejected`; any other exception is a failure of that clip. With
    the same item and the same parameters it must give the same result, in any process. What it draws at
    random comes from `seed_of_uid`. An object with a method `setup` has it called once in each process,
    before its first clip: that is where models are loaded.

    Args:
        name: Letters, digits, "-" and "_"; results lie in a folder of this name.
        function: From an item to the next one. It must be importable by its name, or be an object of a class
            that is.
        parameters: What the result depends on, as JSON has it. When omitted: the fields of a function that is
            an object of a dataclass, the arguments of a `functools.partial`, nothing for a plain function.
        version: To be raised when the code of the function changes its results.
        keep: Whether the recording is stored after this stage, so that later stages with other parameters
            start from there.
        num_cpus: CPU cores that a call takes, for the planning of Ray.
        num_gpus: GPUs that a call takes, for the planning of Ray.

    Raises:
        ValueError: If an argument is none of these, or parameters have to be given.
        TypeError: If the function cannot be called, or parameters are not JSON.
    """

    name: str
    function: Callable[[Item], Item]
    parameters: Mapping[str, Any] | None = None
    version: int = 1
    keep: bool = False
    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.name):
            raise ValueError(
                f'name must be 1 to 64 letters, digits, "-" and "_", no sign first, got {self.name!r}.'
            )
        if not callable(self.function):
            raise TypeError(f"function of stage {self.name} must be callable, got {self.function!r}.")
        for name in ("num_cpus", "num_gpus"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} of stage {self.name} must be >= 0, got {getattr(self, name)}.")
        given = self._own_parameters() if self.parameters is None else self.parameters
        object.__setattr__(self, "parameters", _plain(given, f"parameters of stage {self.name}"))

    @property
    def has_setup(self) -> bool:
        """Whether something is loaded once in each process."""
        return callable(getattr(self.function, "setup", None))

    def _own_parameters(self) -> dict[str, Any]:
        function = self.function
        if isinstance(function, functools.partial):
            return {"arguments": list(function.args), **function.keywords}
        if is_dataclass(function) and not isinstance(function, type):
            return {part.name: getattr(function, part.name) for part in fields(function) if part.init}
        if isinstance(function, (FunctionType, BuiltinFunctionType, MethodType)):
            return {}
        raise ValueError(
            f"parameters of stage {self.name} must be given, as its function is an object of "
            f"{type(function).__name__}, which is no dataclass."
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A clip that is to be made.

    Args:
        uid: Its name; no two alike in a run.
        inputs: What it is made from, as JSON has it: dataset, recording, frames, sizes and times of files.
            The first stage finds this in `Item.inputs`. If it changes, the clip is made anew.

    Raises:
        ValueError: If the name is empty, or a number is not finite.
        TypeError: If inputs are not JSON.
    """

    uid: str
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.uid:
            raise ValueError("uid must be a name, got an empty one.")
        object.__setattr__(self, "inputs", _plain(self.inputs, f"inputs of {self.uid}"))


def result_keys(task: Task, stages: Sequence[Stage]) -> list[str]:
    """Name of the result of each stage: a hash of all that it depends on.

    SHA-256 of the clip's name and inputs, and of name, version and parameters of the stages up to this one,
    as JSON with sorted keys. The order of keys in a dictionary plays no part, a tuple is a list, and 1, 1.0
    and true are three values. `keep`, `num_cpus` and `num_gpus` play no part.

    Args:
        task: The clip.
        stages: In the order in which they run.

    Returns:
        64 hexadecimal digits for each stage.
    """
    key = _hash([_FORMAT, task.uid, task.inputs])
    keys = []
    for stage in stages:
        key = _hash([key, stage.name, stage.version, stage.parameters])
        keys.append(key)
    return keys


def seed_of_uid(uid: str, purpose: str = "") -> int:
    """Seed of what is drawn for a clip: the same in every process and for every order of clips.

    Args:
        uid: Its name.
        purpose: What it is for, so that two stages draw different numbers.

    Returns:
        An integer from 0 to 2^63 - 1.

    Examples:
        >>> seed_of_uid("bear-000", "masks") == seed_of_uid("bear-000", "masks")
        True
    """
    return int(_hash([uid, purpose])[:16], 16) >> 1


def file_stamp(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> dict[str, Any]:
    """What tells that a file has changed without reading it, for the inputs of a task.

    Args:
        path: The file.
        root: Folder of the dataset; it can be moved, if times are kept.

    Returns:
        "name" below `root`, "size" in bytes and "modified" in nanoseconds since 1970.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not lie below `root`.
    """
    facts = os.stat(path)
    name = Path(path).relative_to(root).as_posix()
    return {"name": name, "size": facts.st_size, "modified": facts.st_mtime_ns}


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: Any, name: str) -> Any:
    """A copy in dictionaries, lists and plain values, or an error that names what is none of these."""
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"{name} must be JSON, whose keys are text, got the key {wrong[0]!r}.")
        return {str(key): _plain(part, f"{name}[{key!r}]") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{name}[{index}]") for index, part in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):  # numpy's float64 is a float; its plain value is what JSON has
        if isinstance(value, kind):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}.")
            return kind(value)
    raise TypeError(f"{name} must be JSON (text, numbers, lists, dictionaries), got {type(value).__name__}.")
