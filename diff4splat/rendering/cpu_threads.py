"""Threads that run a kernel side by side.

Plain Python threads, because kernels let go of the interpreter lock: unlike OpenMP's they sleep when idle,
take jobs as they become free, leave torch's own threads alone and can be started anew in a forked process.
"""

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

__all__ = ["KernelError", "run"]

_lock = threading.Lock()
_tasks: "SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], list[Exception]] | None]" = SimpleQueue()
_threads: list[threading.Thread] = []


class KernelError(RuntimeError):
    """A kernel cannot run here."""


def run(kernel: Callable[..., Any], counters: np.ndarray, max_jobs: int, *args: Any) -> None:
    """Call a kernel on as many threads as torch uses, this one among them.

    Returns when this thread is through with the kernel, which must mean that all jobs are done: a thread that
    comes late finds none and does no harm.

    Args:
        kernel: Compiled function that lets go of the interpreter lock.
        counters: Its first argument, which the threads share.
        max_jobs: No more threads than this have something to do.
        *args: The rest of its arguments.

    Raises:
        KernelError: If the kernel cannot be compiled or loaded, in any of the threads.
        MemoryError: If there is no memory for it.
    """
    failures: list[Exception] = []
    for _ in range(_have_threads(min(torch.get_num_threads(), max_jobs) - 1)):
        _tasks.put((kernel, (counters, *args), failures))
    _call(kernel, (counters, *args), failures)
    for error in failures:
        if isinstance(error, MemoryError):
            raise error
        raise KernelError(f"{type(error).__name__}: {error}") from error


def _have_threads(number: int) -> int:
    """Start threads until there are as many, or the system allows no more; return how many can help."""
    with _lock:
        while len(_threads) < number:
            thread = threading.Thread(target=_work, name="diff4splat-render", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # can't start new thread
                break
            _threads.append(thread)
        return max(min(number, len(_threads)), 0)


def _work() -> None:
    tasks = _tasks
    while (task := tasks.get()) is not None:
        _call(*task)
        del task  # or its arrays would live until the next one


def _call(kernel: Callable[..., Any], args: tuple[Any, ...], failures: list[Exception]) -> None:
    """Run a kernel; if it fails, no thread may wait for jobs that will never be done."""
    try:
        kernel(*args)
    except Exception as error:
        failures.append(error)
        args[0][..., 0] = 2**62  # all jobs of all phases taken, and done
    except BaseException:  # an interrupt from the keyboard
        args[0][..., 0] = 2**62
        raise


def _stop_threads() -> None:
    """Python must not end while a thread is in compiled code: that aborts the process."""
    for _ in _threads:
        _tasks.put(None)
    for thread in _threads:
        thread.join(timeout=60)
    _threads.clear()


def _forget_threads() -> None:
    """A forked process has none of its parent's threads, and locks that they may have held."""
    global _lock, _tasks
    _lock, _tasks = threading.Lock(), SimpleQueue()
    _threads.clear()


atexit.register(_stop_threads)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
