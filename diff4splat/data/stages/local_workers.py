"""Processes on this machine that run stages; one that dies loses only the clip it had."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

import torch

from diff4splat.data.stages.clip_run import Job, SetupError
from diff4splat.data.stages.item import Outcome
from diff4splat.data.stages.stage import Task

__all__ = ["run_in_processes"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SECONDS_TO_END = 5.0


def run_in_processes(
    job: Job, tasks: Sequence[tuple[int, Task]], *, workers: int
) -> Generator[tuple[int, Outcome], None, None]:
    """Run stages on clips in new processes of one thread each, which end with this one.

    Args:
        job: What is done.
        tasks: Clips, each with a number.
        workers: Processes.

    Yields:
        The number of a clip and what became of it, as they are done.

    Raises:
        ValueError: If a stage cannot be sent to another process.
        RuntimeError: If a stage cannot be set up, or a process ends before it begins.
        OSError: If a result cannot be written.
    """
    _check_pickles(job)
    waiting = deque(tasks)
    crew: list[_Worker] = []
    with _ended_by_request():
        try:
            while waiting or any(worker.task for worker in crew):
                while waiting and len(crew) < min(workers, len(tasks)):
                    crew.append(_start(job))
                for worker in crew:
                    if worker.ready and worker.task is None and waiting:
                        worker.take(*waiting.popleft())
                wait([end for worker in crew for end in (worker.connection, worker.process.sentinel)])
                for worker in [*crew]:
                    yield from worker.messages()
                    if worker.ended:
                        crew.remove(worker)
                        if worker.task is not None:
                            index, task = worker.task
                            yield index, job.lost(task, worker.position, worker.how_it_ended())
        finally:
            _end_all(crew)


@dataclass
class _Worker:
    """A process, seen from the one that started it."""

    process: BaseProcess
    connection: Connection
    ready: bool = False
    ended: bool = False
    task: tuple[int, Task] | None = None
    position: int = 0

    def take(self, index: int, task: Task) -> None:
        self.task, self.position = (index, task), 0
        with contextlib.suppress(OSError):  # it has ended, which is seen when its messages are read
            self.connection.send(task)

    def messages(self) -> Iterator[tuple[int, Outcome]]:
        """What it says now."""
        try:
            while self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "ready":
                    self.ready = True
                elif kind == "stage":
                    self.position = content
                elif kind == "done" and self.task is not None:
                    index, self.task = self.task[0], None
                    yield index, content
                elif kind == "error":
                    raise content
        except (EOFError, ConnectionError):
            self.process.join(_SECONDS_TO_END)
            self.ended = True
        if not self.process.is_alive() and not self.ended:
            self.ended = not self._has_more()
        if self.ended and not self.ready:
            raise RuntimeError(
                f"{self.how_it_ended()} before it could run stages; its own words are above. A script must "
                'do its work under if __name__ == "__main__":.'
            )

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
            hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
            return f"the process was ended by {name}{hint}"
        return f"the process ended with exit code {code}"

    def _has_more(self) -> bool:
        try:
            return self.connection.poll()
        except (EOFError, ConnectionError):
            return False


def _start(job: Job) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(job, there))  # its children are its own affair
    with _one_thread(), _deaf_to_ctrl_c():
        process.start()
    there.close()  # so that the end of the process is the end of the pipe
    return _Worker(process, here)


def _end_all(crew: Sequence[_Worker]) -> None:
    for worker in crew:
        worker.process.terminate()
    for worker in crew:
        worker.process.join(_SECONDS_TO_END)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def _work(job: Job, connection: Connection) -> None:
    """Run stages on what is sent, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    connection.send(("ready", None))
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            run = job.begin(task)
            job.advance(run, len(job.stages), lambda position: connection.send(("stage", position)))
        except (SetupError, OSError) as error:
            connection.send(("error", error))
            return
        connection.send(("done", run.outcome))


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that the file that is being written is removed


def _end_with_parent() -> None:
    """A process whose parent is gone must not go on: another run may use the folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _check_pickles(job: Job) -> None:
    for stage in job.stages:
        try:
            pickle.dumps(stage)
        except Exception as error:
            raise ValueError(
                f"stage {stage.name} must be a function or class that can be imported by its name, to be "
                f"sent to another process: {error}"
            ) from error


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """New processes take the number of their threads from the environment."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """New processes pass over Ctrl-C as this one does, and so from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _ended_by_request() -> Iterator[None]:
    """SIGTERM unwinds the program, which ends the workers, where the program has no answer of its own."""
    mine = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    before: Any = signal.signal(signal.SIGTERM, _end) if mine else None
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)
