"""What goes through the stages of curation, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diff4splat.data.recordings import Recording

__all__ = ["Item", "Outcome", "Rejected", "Value"]

Value = float | int | str | bool | None
"""What is noted about a clip; JSON knows it."""


@dataclass(frozen=True, eq=False)
class Item:
    """A clip between two stages.

    Args:
        uid: Its name.
        recording: The clip; None where only files are left of it.
        metrics: What was measured so far, by name.
        files: What will be kept of it, by the end of the file's name, such as "mp4".
        inputs: What it is made from, as its task says it.
    """

    uid: str
    recording: Recording | None = None
    metrics: Mapping[str, Value] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)


class Rejected(Exception):
    """A stage says that a clip is not to be used.

    Args:
        reason: Why, in words that name what was measured and the limit.
        metrics: What was measured on the way.
        files: What should be kept all the same, such as a picture.
    """

    def __init__(
        self,
        reason: str,
        metrics: Mapping[str, Value] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        super().__init__(reason, dict(metrics or {}), dict(files or {}))
        self.reason = reason
        self.metrics = dict(metrics or {})
        self.files = dict(files or {})


@dataclass(frozen=True)
class Outcome:
    """What became of a clip: a row of the report.

    Args:
        uid: Its name.
        status: Whether all stages ran, one of them rejected it, or one of them failed.
        stage: The last stage that ran, or was running when it failed.
        reason: Why it was rejected, or how it failed; empty where it is kept.
        metrics: What was measured, by name.
        seconds: Time of each stage that ran for it in this run, by name.
        key: Hash of what went in: source, stages up to this one and their parameters.
        reused: Whether the result was there already.
    """

    uid: str
    status: Literal["kept", "rejected", "failed"]
    stage: str
    reason: str = ""
    metrics: Mapping[str, Value] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    key: str = ""
    reused: bool = False
