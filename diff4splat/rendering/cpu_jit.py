"""How the CPU kernels are compiled and how threads share their work; imported with the first frame."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

__all__ = ["NUM_BLOCKS", "TILE", "inlined", "kernel", "next_job"]

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

    Its first argument is a counter; the threads take numbers of jobs from it with `next_job`.
    """
    plain = inspect.unwrap(function)  # runtime type checkers wrap functions; numba needs the bare one
    try:
        return numba.njit(cache=True, nogil=True, **_OPTIONS)(plain)
    except RuntimeError:  # neither the package folder nor a home folder is writable
        return numba.njit(cache=False, nogil=True, **_OPTIONS)(plain)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that becomes part of the kernels which call it."""
    return numba.njit(no_cpython_wrapper=True, **_OPTIONS)(inspect.unwrap(function))


@intrinsic
def next_job(typingctx, counter):
    """The number of the next job, which no other thread gets: an atomic increment of an int64 array."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), code
