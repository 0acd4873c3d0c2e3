"""Stages on Ray Data: the same functions and the same files, planned by what each stage needs."""

import contextlib
import importlib
import logging
import os
import pickle
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diff4splat.data.stages.clip_run import ClipRun, Job, SetupError
from diff4splat.data.stages.item import Outcome
from diff4splat.data.stages.stage import Stage, Task

__all__ = ["run_on_ray"]

_NOTES = ".running"
_ENDED = "the process of Ray that ran it ended, perhaps for want of memory"
_LOGGERS = ("ray", "ray.data")


def run_on_ray(
    job: Job, tasks: Sequence[tuple[int, Task]], *, workers: int, address: str | None
) -> Generator[tuple[int, Outcome], None, None]:
    """Run stages on clips with Ray Data, whose processes each lose only the clip they had.

    Stages that follow each other and need the same run in one task; a stage with `setup` or a GPU has a pool
    of actors of its own.

    Args:
        job: What is done.
        tasks: Clips, each with a number.
        workers: Tasks or actors of a stage at a time; as many as there is room for if 0.
        address: Cluster to connect to; see `run_stages`.

    Yields:
        The number of a clip and what became of it, as they are done.

    Raises:
        ModuleNotFoundError: If Ray is not installed.
        RuntimeError: If a stage cannot be set up, or Ray can do nothing.
        OSError: If a result cannot be written.
    """
    try:
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ModuleNotFoundError(
            'Stages on Ray need Ray Data: pip install "diff4splat[ray]", or pip install "ray[data]".'
        ) from error
    parts = _parts(job.stages)
    folder = job.folder.resolve()  # processes of Ray work in a folder of their own
    job, notes = Job(job.stages, folder, job.retry_failed), folder / _NOTES
    left = dict(tasks)
    with _connected(parts, workers, address), _settings(), _folder_of_notes(notes):
        while left:
            before = len(left)
            for index, made in _rows(_planned(job, parts, left, notes, workers)):
                if isinstance(made, Exception):
                    raise made
                del left[index]
                yield index, made
            for note in sorted(notes.iterdir()):  # clips whose process ended while it was in a stage
                index, position = int(note.name), _read_note(note)
                note.unlink()
                task = left.pop(index, None)
                if task is not None:
                    yield index, job.lost(task, position or 0, _ENDED)
            # The rest only waited for a process that ended; but Ray must do something.
            if len(left) == before:
                raise RuntimeError(f"Ray ended with {len(left)} clips to do and none done: see its logs.")


@dataclass(frozen=True)
class _Part:
    """Stages that run in one task of Ray, or in one actor."""

    stop: int
    actor: bool
    num_cpus: float
    num_gpus: float


def _parts(stages: Sequence[Stage]) -> list[_Part]:
    parts: list[_Part] = []
    for stop, stage in enumerate(stages, 1):
        actor = stage.has_setup or stage.num_gpus > 0
        part = _Part(stop, actor, stage.num_cpus, stage.num_gpus)
        if parts and not actor and not parts[-1].actor and parts[-1].num_cpus == part.num_cpus:
            parts.pop()
        parts.append(part)
    return parts


def _planned(job: Job, parts: Sequence[_Part], left: dict[int, Task], notes: Path, workers: int) -> Any:
    import ray.data

    rows = [{"index": index, "state": pickle.dumps(task)} for index, task in left.items()]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))  # a block is what is lost at once
    cores = ray.cluster_resources()
    for part in parts:
        needs: dict[str, Any] = {"num_cpus": part.num_cpus}
        if part.num_gpus:
            needs["num_gpus"] = part.num_gpus
        given = {"job": job, "stop": part.stop, "notes": notes}
        if part.actor:
            room = [
                int(cores.get(name, 0) / need)
                for name, need in (("CPU", part.num_cpus), ("GPU", part.num_gpus))
                if need
            ]
            size = max(1, min([*room, len(rows), *([workers] if workers else [])]))
            dataset = dataset.map(
                _Actor,
                fn_constructor_kwargs=given,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=size),
                **needs,
            )
        else:
            limit = ray.data.TaskPoolStrategy(size=workers or None)
            dataset = dataset.map(_advance, fn_kwargs=given, compute=limit, **needs)
    return dataset


def _rows(dataset: Any) -> Iterator[tuple[int, Any]]:
    from ray.exceptions import RayError

    try:
        for row in dataset.iter_rows():
            yield row["index"], pickle.loads(row["state"])
    except RayError as error:
        raise RuntimeError(f"Ray could not run the stages: {error}") from error


class _Actor:
    """A process that keeps what its stages have loaded."""

    def __init__(self, job: Job, stop: int, notes: Path) -> None:
        self._given = (job, stop, notes)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return _advance(row, *self._given)


def _advance(row: dict[str, Any], job: Job, stop: int, notes: Path) -> dict[str, Any]:
    """Run stages on a clip, in a process of Ray, and leave a note while one is running.

    Ray calls this again when its process dies. The note that is left from before tells: what killed one
    process is not tried on the next.
    """
    torch.set_num_threads(1)
    note = notes / str(row["index"])
    try:
        state = pickle.loads(row["state"])
        if isinstance(state, (Task, ClipRun)):
            task = state if isinstance(state, Task) else state.task
            killer = _read_note(note)
            if killer is not None:
                state = job.lost(task, killer, _ENDED)
            else:
                run = job.begin(state) if isinstance(state, Task) else state
                job.advance(run, stop, lambda position: _write_note(note, position))
                state = run.outcome or run
            note.unlink(missing_ok=True)
    except (SetupError, OSError) as error:
        state = error
    return {"index": row["index"], "state": pickle.dumps(state)}


def _write_note(note: Path, position: int) -> None:
    note.write_text(str(position))


def _read_note(note: Path) -> int | None:
    """The stage in which a process was when it ended; None without a note."""
    try:
        return int(note.read_text() or 0)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _connected(parts: Sequence[_Part], workers: int, address: str | None) -> Iterator[None]:
    """A Ray to work with; one that was not there before is gone afterwards."""
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Modules that are not installed, such as those beside a script, are found where this program finds them.
    prefixes = {os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix)}
    paths = [os.path.realpath(path) for path in sys.path]
    own = [p for p in paths if not any(Path(p).is_relative_to(prefix) for prefix in prefixes)]
    options["runtime_env"] = {
        "env_vars": {
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            "PYTHONPATH": os.pathsep.join([*dict.fromkeys(own), "${PYTHONPATH}"]),
        }
    }
    if address is None:
        pools = sum(part.num_cpus for part in parts if part.actor)
        tasks = max((part.num_cpus for part in parts if not part.actor), default=0)
        cores = max(workers or os.cpu_count() or 1, int(-(-(pools + tasks) // 1)))  # else pools wait for ever
        options |= {"num_cpus": cores, "include_dashboard": False}
    silent = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    added = {name: value for name, value in silent.items() if name not in os.environ}
    os.environ.update(added)
    try:
        ray.init(address=address or "local", **options)
        yield
    finally:
        ray.shutdown()
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """What Ray Data does differently here, for the time of a run.

    It says nothing of its plans, goes on when a process has ended, which is seen by what is missing, and
    waits for a clip however long that takes.
    """
    from ray.data import DataContext

    context = DataContext.get_current()
    settings = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "max_errored_blocks": -1,
        "execution_no_progress_timeout_s": -1,
    }
    before = {name: getattr(context, name) for name in settings if hasattr(context, name)}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in before:
            setattr(context, name, settings[name])
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _folder_of_notes(notes: Path) -> Iterator[None]:
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(notes, ignore_errors=True)
