"""How the CPU kernels are compiled and how threads share their work; imported with the first frame."""

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["NUM_BLOCKS", "TILE", "finish_job", "inlined", "kernel", "new_counters", "next_job"]

TILE = 16
"""Side of a tile, pixels."""
NUM_BLOCKS = 64
"""Blocks into which per-Gaussian work is cut: a constant, so that no sum depends on the number of threads."""

_OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # no "nnan", "ninf": comparisons must stay exact
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that threads run side by side, kept on disk where some folder can be written.

    Its first argument are counters, from which the threads take jobs with `next_job`.
    """
    plain = inspect.unwrap(function)  # runtime type checkers wrap functions; numba needs the bare one
    # numba looks at the file of the kernel alone to see whether what it keeps is up to date; most of the code
    # is in other files
    plain.__qualname__ = f"{plain.__name__}_{_fingerprint()}"
    try:
        return numba.njit(cache=True, nogil=True, **_OPTIONS)(plain)
    except RuntimeError:  # neither the package folder nor a home folder is writable
        return numba.njit(cache=False, nogil=True, **_OPTIONS)(plain)


@lru_cache
def _fingerprint() -> str:
    """Of all files that kernels are made of; "" where they cannot be read."""
    try:
        files = sorted(Path(__file__).parent.glob("*.py"))
        return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    except OSError:
        return ""


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that becomes part of the kernels which call it."""
    return numba.njit(no_cpython_wrapper=True, **_OPTIONS)(inspect.unwrap(function))


_LINE = 8  # int64 numbers of a cache line: counters share none


def new_counters(num_phases: int) -> np.ndarray:
    """What threads count the jobs of some phases with: those taken, and those done."""
    return np.zeros((num_phases, 2, _LINE), np.int64)


@inlined
def next_job(counters, phase, num_jobs):
    """A job of a phase that no other thread gets; -1 when all are done, also those of other threads.

    Each job must end with `finish_job`. Waiting for the others is active: they are at work on their last
    jobs.
    """
    job = _increased(counters, np.int64(2 * _LINE) * phase)
    if job < num_jobs:
        return job
    turns = 0
    while _current(counters, np.int64(2 * _LINE) * phase + _LINE) < num_jobs:
        turns += 1
        if turns > _PATIENCE:
            _yield_core()
    return -1


@inlined
def finish_job(counters, phase):
    """Count a job as done: what it wrote can be read by all threads that leave the phase."""
    _increased(counters, np.int64(2 * _LINE) * phase + _LINE)


_PATIENCE = 2000


def _entry(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def _increased(typingctx, counters, index):
    """The number at a flat index before it is increased by one, as one step that no thread can interrupt."""

    def code(context, builder, signature, args):
        place = _entry(context, builder, signature.args[0], *args)
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(counters, types.int64), code


@intrinsic
def _current(typingctx, counters, index):
    """The number at a flat index, with all that was written before it got there."""

    def code(context, builder, signature, args):
        return builder.load_atomic(_entry(context, builder, signature.args[0], *args), "acquire", 8)

    return types.int64(counters, types.int64), code


@intrinsic
def _yield_core(typingctx):
    """Let another thread have this core."""

    def code(context, builder, signature, args):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), ()), name)
        builder.call(function, ())
        return context.get_dummy_value()

    return types.void(), code
