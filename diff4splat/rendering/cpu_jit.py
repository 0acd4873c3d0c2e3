"""How the CPU kernels are compiled; imported only when the first frame is rendered."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

__all__ = ["NUM_BLOCKS", "TILE", "inlined", "kernel"]

TILE = 16
"""Side of a tile, pixels; also the fixed length of the innermost loops, one 512-bit vector of float32."""
NUM_BLOCKS = 64
"""Blocks into which per-Gaussian work is cut: a constant, so that no sum depends on the number of threads."""

# prange alone: numba would also split plain array statements, which costs compile time and gains nothing here
_PARALLEL = {
    "prange": True,
    "reduction": False,
    "setitem": False,
    "numpy": False,
    "inplace_binop": False,
    "comprehension": False,
    "stencil": False,
    "fusion": False,
}
_FAST_FLAGS = {
    "contract",
    "reassoc",
    "nsz",
    "arcp",
}  # no "nnan", "ninf": comparisons with them must stay exact


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a parallel kernel, kept on disk between processes where some folder can be written."""
    plain = inspect.unwrap(function)  # runtime type checkers wrap functions; numba needs the bare one
    options: dict[str, Any] = {"parallel": _PARALLEL, "fastmath": _FAST_FLAGS, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(plain)
    except RuntimeError:  # neither the package folder nor a home folder is writable
        return numba.njit(cache=False, **options)(plain)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that becomes part of the kernels which call it."""
    return numba.njit(fastmath=_FAST_FLAGS, error_model="numpy")(inspect.unwrap(function))
