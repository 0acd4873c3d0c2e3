"""One clip through the stages: the same in this process, in a worker and on a cluster."""

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from diff4splat.data.recordings import Recording
from diff4splat.data.stages.item import Item, Outcome, Rejected, Value
from diff4splat.data.stages.results import (
    read_outcome,
    result_path,
    resumable_item,
    write_result,
)
from diff4splat.data.stages.stage import Stage, Task, result_keys

__all__ = ["ClipRun", "Job", "SetupError"]

Status = Literal["kept", "rejected", "failed"]
_LONGEST_WORDS = 2000
_PLAIN = (bool, int, float, str)


class SetupError(RuntimeError):
    """What a stage needs could not be loaded, so that no clip can pass it."""


@dataclass
class ClipRun:
    """A clip on its way.

    Args:
        task: The clip.
        position: Stages that it has passed.
        item: The clip after them; None when it is done.
        seconds: Time of each stage that ran, by name.
        outcome: What became of it; None while it is on its way.
    """

    task: Task
    position: int
    item: Item | None
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None


@dataclass
class Job:
    """What is done with every clip; goes to every worker.

    Args:
        stages: In the order in which they run.
        folder: Where results are.
        retry_failed: Whether clips that failed before are tried again.
    """

    stages: tuple[Stage, ...]
    folder: Path
    retry_failed: bool
    _ready: set[int] = field(default_factory=set)

    def finished(self, task: Task) -> Outcome | None:
        """What became of a clip in an earlier run; None if something is to be done.

        Args:
            task: The clip.

        Returns:
            The outcome that is stored.
        """
        keys = result_keys(task, self.stages)
        for position in reversed(range(len(keys))):
            stage, last = self.stages[position], position == len(keys) - 1
            outcome = read_outcome(self.folder, stage.name, keys[position], whole=last and stage.keep)
            if outcome is None or (outcome.status == "failed" and self.retry_failed):
                continue
            if outcome.status != "kept" or last:
                return outcome
            return None  # to be continued from here
        return None

    def begin(self, task: Task) -> ClipRun:
        """The clip as it is after the last stage that kept it.

        Args:
            task: The clip.

        Returns:
            A clip on its way.
        """
        keys = result_keys(task, self.stages)
        for position in reversed(range(len(keys) - 1)):
            item = resumable_item(self.folder, self.stages[position].name, keys[position])
            if item is not None:
                return ClipRun(task, position + 1, item)
        return ClipRun(task, 0, Item(task.uid, inputs=task.inputs))

    def advance(self, run: ClipRun, stop: int, note: Callable[[int], None]) -> None:
        """Run stages on a clip until it is done, and store what is to be stored.

        Args:
            run: The clip, which is changed.
            stop: Stages after which it rests.
            note: Called with the number of each stage before it runs.

        Raises:
            SetupError: If something could not be loaded.
            OSError: If a result cannot be written.
        """
        while run.outcome is None and run.position < stop:
            stage = self.stages[run.position]
            note(run.position)
            self._set_up(stage)
            before = run.item
            assert before is not None  # until there is an outcome
            start = time.perf_counter()
            status, reason, item = _call(stage, before, run.task)
            run.seconds[stage.name] = time.perf_counter() - start
            if status == "kept":
                try:
                    self._pass(run, item)
                except (TypeError, ValueError) as error:  # facts that are no JSON
                    self.end(run, "failed", _words(error), before)
            else:
                self.end(run, status, reason, item)

    def end(self, run: ClipRun, status: Status, reason: str, item: Item) -> None:
        """Write down what became of a clip.

        Args:
            run: The clip, which is changed.
            status: What became of it at the stage of its position.
            reason: Why.
            item: What is left of it.

        Raises:
            OSError: If the result cannot be written.
        """
        outcome = self._store(
            run, status, reason, item, keep=status == "kept" and self.stages[run.position].keep
        )
        run.outcome, run.item = outcome, None

    def lost(self, task: Task, position: int, reason: str) -> Outcome:
        """Write down that the process in which a clip was has ended.

        Args:
            task: The clip.
            position: The stage that was running.
            reason: How it ended.

        Returns:
            The outcome, a failure.

        Raises:
            OSError: If the result cannot be written.
        """
        run = ClipRun(task, position, None)
        self.end(run, "failed", reason, Item(task.uid, metrics=self._known(task, position)))
        assert run.outcome is not None
        return run.outcome

    def _known(self, task: Task, position: int) -> Mapping[str, Value]:
        """What was measured by the stages before this one, as far as it was stored."""
        keys = result_keys(task, self.stages)
        for before in reversed(range(position)):
            outcome = read_outcome(self.folder, self.stages[before].name, keys[before])
            if outcome is not None and outcome.status == "kept":
                return outcome.metrics
        return {}

    def _pass(self, run: ClipRun, item: Item) -> None:
        """What follows a stage that gave an item: store it if it is the last, or one that keeps."""
        stage = self.stages[run.position]
        if run.position == len(self.stages) - 1:
            self.end(run, "kept", "", item)
            return
        path = result_path(self.folder, stage.name, result_keys(run.task, self.stages)[run.position])
        if stage.keep:
            self._store(run, "kept", "", item, keep=True)
            # what was stored is what goes on, so that it makes no difference whether a run was interrupted
            stored = resumable_item(self.folder, stage.name, path.stem)
            if stored is None:
                raise OSError(f"{path} cannot be read back after it was written.")
            item = stored
        else:
            path.unlink(missing_ok=True)  # a failure of an earlier run
        run.item = item
        run.position += 1

    def _store(self, run: ClipRun, status: Status, reason: str, item: Item, *, keep: bool) -> Outcome:
        passed = self.stages[: run.position + 1]
        key = result_keys(run.task, passed)[-1]
        outcome = Outcome(
            run.task.uid, status, passed[-1].name, reason, dict(item.metrics), dict(run.seconds), key
        )
        write_result(self.folder, run.task, passed, outcome, item, keep=keep)
        return outcome

    def _set_up(self, stage: Stage) -> None:
        if not stage.has_setup or id(stage) in self._ready:
            return
        try:
            stage.function.setup()  # type: ignore[attr-defined]
        except Exception as error:
            raise SetupError(f"stage {stage.name} could not be set up: {_words(error)}") from error
        self._ready.add(id(stage))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": set()}  # what is loaded stays in its process


def _call(stage: Stage, before: Item, task: Task) -> tuple[Status, str, Item]:
    """What a stage says of a clip, why, and what is left of it."""
    try:
        try:
            return "kept", "", _checked(stage.function(before), task)
        except Rejected as rejection:
            metrics = {**before.metrics, **_metrics(rejection.metrics)}
            files = {**before.files, **_files(rejection.files)}
            return "rejected", rejection.reason, replace(before, metrics=metrics, files=files)
    except Exception as error:
        return "failed", _words(error), before


def _checked(item: Any, task: Task) -> Item:
    """The result of a stage with metrics as JSON has them, or an error that says what is wrong with it."""
    if not isinstance(item, Item):
        raise TypeError(f"a stage must give an Item, got {type(item).__name__}.")
    if item.uid != task.uid:
        raise ValueError(f"a stage must leave the uid as it is, {task.uid}, got {item.uid}.")
    if item.recording is not None and not isinstance(item.recording, Recording):
        raise TypeError(f"recording must be a Recording, got {type(item.recording).__name__}.")
    return replace(item, metrics=_metrics(item.metrics), files=_files(item.files), inputs=task.inputs)


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"metrics must have texts as names, got {name!r}.")
        kind = next((kind for kind in _PLAIN if isinstance(value, kind)), None)
        if value is not None and kind is None:
            raise TypeError(f"metrics must be numbers or texts, got {name} of {type(value).__name__}.")
        found[name] = None if kind is None else kind(value)
        if isinstance(value, float) and not math.isfinite(value):
            found[name] = None  # JSON has no such number
    return found


def _files(files: Mapping[str, Any]) -> dict[str, bytes]:
    for name, content in files.items():
        if not isinstance(content, bytes) or not name or "/" in name or "\\" in name:
            raise TypeError(
                f"files must be bytes by the end of a name, got {name!r} of {type(content).__name__}."
            )
    return dict(files)


def _words(error: Exception) -> str:
    """Type and words of an error, and the line that raised it."""
    text = f"{type(error).__name__}: {error}".strip().removesuffix(":")[:_LONGEST_WORDS]
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return text
    last = frames[-1]
    return f"{text} [{Path(last.filename).name}:{last.lineno} in {last.name}]"
