"""Threads that run a kernel side by side.

Plain Python threads, because kernels let go of the interpreter lock: unlike OpenMP's they sleep when idle,
take jobs as they become free, leave torch's own threads alone and can be started anew in a forked process.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

__all__ = ["run"]

_lock = threading.Lock()
_tasks: "SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]]" = SimpleQueue()
_threads: list[threading.Thread] = []


def run(kernel: Callable[..., Any], counters: np.ndarray, max_jobs: int, *args: Any) -> None:
    """Call a kernel on as many threads as torch uses, this one among them.

    Returns when this thread is through with the kernel, which must mean that all jobs are done: a thread that
    comes late finds none and does no harm.

    Args:
        kernel: Compiled function that lets go of the interpreter lock.
        counters: Its first argument, which the threads share.
        max_jobs: No more threads than this have something to do.
        *args: The rest of its arguments.
    """
    helpers = min(torch.get_num_threads(), max_jobs) - 1
    _have_threads(helpers)
    for _ in range(helpers):
        _tasks.put((kernel, (counters, *args)))
    kernel(counters, *args)


def _have_threads(number: int) -> None:
    if len(_threads) < number:
        with _lock:
            while len(_threads) < number:
                thread = threading.Thread(target=_work, name="diff4splat-render", daemon=True)
                thread.start()
                _threads.append(thread)


def _work() -> None:
    tasks = _tasks
    while True:
        kernel, args = tasks.get()
        kernel(*args)
        del kernel, args  # or the arrays would live until the next task


def _forget_threads() -> None:
    """A forked process has none of its parent's threads, and locks that they may have held."""
    global _lock, _tasks
    _lock, _tasks = threading.Lock(), SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
