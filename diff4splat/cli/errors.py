"""What an exception of the library is called on the command line: options instead of arguments."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["in_words", "is_out_of_memory", "missing_memory", "naming"]

_OPTION_OF = {
    "height": "--size",
    "host": "--host",
    "image": "PHOTO",
    "num_gaussians": "--gaussians",
    "num_steps": "--steps",
    "port": "--port",
    "prompt": "--prompt",
    "video": "VIDEO",
}
"""The words with which a user sets an argument of the library."""


def in_words(error: BaseException) -> str:
    """What went wrong, in the words of the command line.

    Args:
        error: Any exception.

    Returns:
        One sentence, which names the option where the library names an argument.

    Examples:
        >>> in_words(ValueError("num_steps must be at least 1, got 0."))
        '--steps must be at least 1, got 0.'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = str(error) or type(error).__name__
    return re.sub(r"^\w+(?= must )", lambda match: _OPTION_OF.get(match[0], match[0]), text)


@contextmanager
def naming(task: str, path: Path | str) -> Iterator[None]:
    """Let errors of the system say what could not be done, and with which file of the user's.

    Args:
        task: Such as "PHOTO cannot be read".
        path: The file, as the user knows it.

    Raises:
        OSError: In place of an OSError of the block that carries a number of the system; others, which have
            words of their own, pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{task}: {error.strerror}", str(path)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of the machine or of its GPU.

    Args:
        error: Any exception.

    Returns:
        True for MemoryError, for the errors of torch's allocators and for those of the system.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def missing_memory(error: BaseException) -> str:
    """How much memory could not be had, and where, as far as the error tells.

    Args:
        error: One of those that `is_out_of_memory` knows.

    Returns:
        Such as "out of memory on the GPU, 2.00 GiB more were wanted".

    Examples:
        >>> missing_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."))
        'out of memory on the GPU, 2.00 GiB more were wanted'
    """
    text = str(error)
    place = " on the GPU" if re.search("CUDA|CUBLAS|CUDNN|HIP|MPS", text) else ""
    wanted = re.search(r"[Tt]ried to allocate ([\d.]+ ?(?:[KMGT]i?B|bytes))", text)
    return f"out of memory{place}" + (f", {wanted[1]} more were wanted" if wanted else "")
