"""Arrays whose memory is used again, because to get new memory from the system costs more than to fill it.

Memory comes back by itself when the last array, view or tensor that lies in it is gone. What lies idle is
limited; beyond that it goes back to the system.
"""

import math
import os
import threading
from typing import Any

import numpy as np

__all__ = ["empty", "zeros"]

_LINE = 64  # bytes of a cache line
_SMALL = 2**14  # bytes below which the ordinary allocator is as good
_MOST_IDLE = 2**28  # bytes

_lock = threading.RLock()  # a collection may free memory while this thread holds it
_idle: list[np.ndarray] = []


def empty(shape: tuple[int, ...] | int, dtype: Any) -> np.ndarray:
    """Array of any content that begins with a cache line.

    Args:
        shape: Its shape.
        dtype: Its type.

    Returns:
        Contiguous array.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _SMALL:
        memory = np.empty(size + _LINE, np.uint8)
    else:
        memory = np.asarray(_Loan(_take(size + _LINE)))
    first = -memory.ctypes.data % _LINE
    return memory[first : first + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...] | int, dtype: Any) -> np.ndarray:
    """Array of zeros; see `empty`.

    Args:
        shape: Its shape.
        dtype: Its type.

    Returns:
        Contiguous array.
    """
    array = empty(shape, dtype)
    array.fill(0)
    return array


class _Loan:
    """What arrays keep alive as long as they use some memory."""

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        with _lock:
            _idle.append(self._memory)
            while sum(v.nbytes for v in _idle) > _MOST_IDLE:
                del _idle[0]  # idle for the longest time


def _forget() -> None:
    """A forked process has a lock that a thread of its parent may have held."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _take(size: int) -> np.ndarray:
    """The smallest idle memory that is large enough but not twice as large, or new memory."""
    with _lock:
        fitting = [i for i, v in enumerate(_idle) if size <= v.nbytes <= 2 * size]
        if fitting:
            return _idle.pop(min(fitting, key=lambda i: _idle[i].nbytes))
    return np.empty(size, np.uint8)
