"""Threads that run a kernel side by side.

Plain Python threads, because kernels let go of the interpreter lock: unlike OpenMP's they sleep when idle,
take jobs as they become free, and can be started anew in a forked process.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

__all__ = ["run"]

_state: dict[str, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.clear)  # a forked process has none of its parent's threads


def run(kernel: Callable[..., Any], counters: np.ndarray, max_jobs: int, *args: Any) -> None:
    """Call a kernel on as many threads as torch uses, this one among them.

    Args:
        kernel: Compiled function that lets go of the interpreter lock.
        counters: Its first argument, which the threads share.
        max_jobs: No more threads than this have something to do.
        *args: The rest of its arguments.
    """
    helpers = min(torch.get_num_threads(), max_jobs) - 1
    tasks = [_pool().submit(kernel, counters, *args) for _ in range(helpers)]
    try:
        kernel(counters, *args)
    finally:
        for task in tasks:
            if not task.cancel():  # one that has not begun by now has nothing left to do
                task.result()


def _pool() -> ThreadPoolExecutor:
    """The threads of this process, started as they are needed."""
    return _state.get("pool") or _state.setdefault(
        "pool", ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="diff4splat-render")
    )
