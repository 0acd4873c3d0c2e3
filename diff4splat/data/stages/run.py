"""Running stages on clips: what is finished stays finished, and no clip ends the run."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch

from diff4splat.data.stages.clip_run import Job
from diff4splat.data.stages.item import Outcome
from diff4splat.data.stages.local_workers import run_in_processes
from diff4splat.data.stages.ray_workers import run_on_ray
from diff4splat.data.stages.results import remove_unfinished
from diff4splat.data.stages.stage import Stage, Task
from diff4splat.files import folder_lock

__all__ = ["run_stages"]

Engine = Literal["local", "ray"]


def run_stages(
    tasks: Sequence[Task],
    stages: Sequence[Stage],
    folder: str | os.PathLike[str],
    *,
    workers: int = 0,
    engine: Engine = "local",
    address: str | None = None,
    retry_failed: bool = True,
    callback: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Run stages on clips and store what comes of each, so that nothing finished is done twice.

    A result is a file whose name is a hash of what it was made from (`result_keys`). A run that was
    interrupted, in whatever way, goes on where it was; after a change of parameters each clip starts from the
    last stage before the change that keeps recordings. A clip that a stage rejects, that raises an error, or
    whose process dies is an outcome like any other, and is stored. Results are the same, bit for bit, for any
    number of workers and either engine, if the stages are pure.

    Every clip is computed with one thread. With workers or Ray, a script needs the usual
    `if __name__ == "__main__":` around what it does.

    Args:
        tasks: The clips.
        stages: In the order in which they run.
        folder: Where results are and will be; made if needed. One run at a time may use it. With a cluster
            it must be the same folder on every machine.
        workers: Processes. 0 is this one for "local", and as many as there are CPU cores for "ray".
        engine: "local" is processes on this machine; "ray" is Ray Data, for stages that need GPUs and for
            clusters, and needs the extra `ray`.
        address: Cluster that Ray connects to, such as "auto"; one is started here for the time of this call
            when omitted. A Ray that this program has started already is used in any case, and left running.
        retry_failed: Whether clips that failed in an earlier run are tried again.
        callback: Called after each clip with the number of those done and of all.

    Returns:
        What became of each, in the order of `tasks`.

    Raises:
        ValueError: If an argument is none of these, two clips or two stages have one name, a stage cannot be
            sent to another process, or another run uses the folder.
        ModuleNotFoundError: If Ray is asked for and not installed.
        RuntimeError: If a stage cannot be set up, or processes cannot be started.
        OSError: If a result cannot be written, or a cluster cannot be reached.
    """
    job = Job(tuple(stages), Path(folder), retry_failed)
    _check(tasks, stages, workers, engine, address)
    job.folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome | None] = [None] * len(tasks)
    done = 0
    with folder_lock(job.folder):
        remove_unfinished(job.folder, stages)
        for index, outcome in _all_outcomes(job, tasks, workers, engine, address):
            outcomes[index] = outcome
            done += 1
            if callback is not None:
                callback(done, len(tasks))
    return [outcome for outcome in outcomes if outcome is not None]


def _all_outcomes(
    job: Job, tasks: Sequence[Task], workers: int, engine: Engine, address: str | None
) -> Iterator[tuple[int, Outcome]]:
    """Those of earlier runs, and then the others as they are made."""
    rest: list[int] = []
    for index, task in enumerate(tasks):
        outcome = job.finished(task)
        if outcome is None:
            rest.append(index)
        else:
            yield index, outcome
    if not rest:
        return
    left = [(index, tasks[index]) for index in rest]
    if engine == "ray":
        made = run_on_ray(job, left, workers=workers, address=address)
    elif workers:
        made = run_in_processes(job, left, workers=workers)
    else:
        made = _run_here(job, left)
    with closing(made):
        yield from made


def _run_here(job: Job, tasks: Sequence[tuple[int, Task]]) -> Generator[tuple[int, Outcome], None, None]:
    """In this process, with one thread, as in all others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for index, task in tasks:
            run = job.begin(task)
            job.advance(run, len(job.stages), lambda position: None)
            assert run.outcome is not None
            yield index, run.outcome
    finally:
        torch.set_num_threads(threads)


def _check(
    tasks: Sequence[Task], stages: Sequence[Stage], workers: int, engine: Engine, address: str | None
) -> None:
    if not stages:
        raise ValueError("stages must be at least one, got none.")
    if workers < 0:
        raise ValueError(f"workers must be at least 0, got {workers}.")
    if engine not in ("local", "ray"):
        raise ValueError(f'engine must be "local" or "ray", got {engine!r}.')
    if address is not None and engine != "ray":
        raise ValueError(f'address must be None for engine "local", got {address!r}.')
    for what, names in (
        ("tasks", [task.uid for task in tasks]),
        ("stages", [stage.name for stage in stages]),
    ):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ValueError(f"{what} must have names of their own, got {name!r} twice.")
            seen.add(name)
