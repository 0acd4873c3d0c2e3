"""Finished clips of an evaluation that is under way, so that it goes on where it was ended."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.protocol.scores import Score
from diff4splat.files import flush

__all__ = ["ScoreLog", "ScoredClip"]

_TYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class ScoredClip:
    """What was measured of one clip.

    Args:
        clip: Its name.
        fingerprint: Of its video and of all that it was measured with.
        scores: Its numbers.
        features: Its clip features by key of their spec, one vector each.
        references: The same of the real clip.
    """

    clip: str
    fingerprint: str
    scores: tuple[Score, ...]
    features: Mapping[str, Float[Tensor, "_"]] = field(default_factory=dict)
    references: Mapping[str, Float[Tensor, "_"]] = field(default_factory=dict)


class ScoreLog:
    """A file to which each finished clip is added as a line of JSON, on disk before the next one begins.

    A last line that is only half there, as a killed process leaves it, is dropped; `note` says so. Of a clip
    that is there several times the last line counts. One process at a time may write.

    Args:
        path: File; made by the first clip that is added. Its folder must exist.

    Raises:
        ValueError: If a line but the last is damaged; names the file and the line.
        FileNotFoundError: If the folder does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: the folder {self._path.parent} does not exist.")
        self._clips: dict[str, ScoredClip] = {}
        self._note = ""
        content = self._path.read_bytes() if self._path.exists() else b""
        self._size = content.rfind(b"\n") + 1  # what follows is half a line
        if self._size < len(content):
            self._note = (
                f"the last line of {path} was half written and is dropped: its clip is measured anew."
            )
        for number, line in enumerate(content[: self._size].splitlines(), start=1):
            try:
                found = _from_line(line)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ValueError(f"line {number} of {path} is no finished clip: {error!r:.200}") from error
            self._clips[found.clip] = found

    @property
    def note(self) -> str:
        """What was wrong with the file, in words; empty if nothing."""
        return self._note

    def __len__(self) -> int:
        return len(self._clips)

    def done(self, clip: str, fingerprint: str) -> bool:
        """Whether a clip has been measured, of the same video and with the same extractors.

        Args:
            clip: Its name.
            fingerprint: Of the video and of all that it is measured with.

        Returns:
            Whether `scored` has it.
        """
        return clip in self._clips and self._clips[clip].fingerprint == fingerprint

    def scored(self, clip: str, fingerprint: str) -> ScoredClip:
        """What was measured of a clip.

        Args:
            clip: Its name.
            fingerprint: As for `done`.

        Returns:
            The same numbers as were added, bit for bit.

        Raises:
            KeyError: If the clip is not done.
        """
        if not self.done(clip, fingerprint):
            raise KeyError(f"clip {clip!r} with fingerprint {fingerprint!r} is not in {self._path}.")
        return self._clips[clip]

    def add(self, scored: ScoredClip) -> None:
        """Add a finished clip; it is on disk when this returns.

        Args:
            scored: What was measured.

        Raises:
            ValueError: If a score is of another clip, or features are not float32 or float64.
            OSError: If the file cannot be written, for instance on a full disk; what it held stays.
        """
        others = {score.clip for score in scored.scores} - {scored.clip}
        if others:
            raise ValueError(f"scores must be of clip {scored.clip!r}, got {sorted(others)}.")
        line = _to_line(scored)
        new = not self._path.exists()
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
            file.truncate(self._size)  # of half a line that an earlier attempt has left
            file.seek(self._size)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            flush(self._path.parent)
        self._size += len(line)
        self._clips[scored.clip] = scored


def _to_line(scored: ScoredClip) -> bytes:
    content: dict[str, Any] = {
        "clip": scored.clip,
        "fingerprint": scored.fingerprint,
        "scores": [asdict(score) for score in scored.scores],
    }
    for name in ("features", "references"):
        content[name] = {key: _to_json(name, values) for key, values in getattr(scored, name).items()}
    return (json.dumps(content) + "\n").encode()  # ASCII, so that no other sign ends a line


def _to_json(name: str, values: Tensor) -> dict[str, Any]:
    kind = str(values.dtype).removeprefix("torch.")
    if kind not in _TYPES:
        raise ValueError(f"{name} must be float32 or float64, got {values.dtype}.")
    return {"type": kind, "values": values.detach().cpu().double().tolist()}


def _from_line(line: bytes) -> ScoredClip:
    content = json.loads(line)
    scores = tuple(Score(**score) for score in content["scores"])
    features, references = (_tensors(content[name]) for name in ("features", "references"))
    return ScoredClip(str(content["clip"]), str(content["fingerprint"]), scores, features, references)


def _tensors(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    lists: dict[str, tuple[Sequence[float], torch.dtype]] = {
        key: (entry["values"], _TYPES[entry["type"]]) for key, entry in content.items()
    }
    return {key: torch.tensor(values, dtype=kind) for key, (values, kind) in lists.items()}
