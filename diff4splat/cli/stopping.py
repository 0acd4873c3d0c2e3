"""Requests to stop (Ctrl-C, SIGTERM, a closed terminal) unwind the program once, and never in an import."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["hold_requests", "unwind_on_request"]

_REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP")
_GRACE_SECONDS = 5.0


@contextmanager
def unwind_on_request(*, ends_process: bool = False) -> Iterator[None]:
    """Let a request to stop raise an exception in the block, so that temporary files go.

    Ctrl-C raises KeyboardInterrupt; SIGTERM and SIGHUP raise SystemExit with 128 plus the signal's number.
    Requests that follow within seconds are passed over, for they would cut the tidying up short.

    Args:
        ends_process: Whether the process ends after the block: if there was a request, further ones are then
            ignored, for Python would answer one with a traceback while it ends.
    """
    last = -_GRACE_SECONDS

    def stop(number: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _GRACE_SECONDS:
            return
        last = now
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with _handled_by(stop) as afterwards:
        yield
        if ends_process and last > 0:
            afterwards.update(dict.fromkeys(afterwards, signal.SIG_IGN))


@contextmanager
def hold_requests() -> Iterator[None]:
    """Put requests to stop off to the end of the block.

    Libraries that are being imported swallow the exception of a signal handler, or break in odd ways.
    """
    held: list[int] = []
    with _handled_by(lambda number, frame: held.append(number)):
        yield
    if held:
        signal.raise_signal(held[0])


@contextmanager
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[dict[int, Any]]:
    """Handle the requests in this way; one that is ignored from outside, as under nohup, stays ignored.

    Yields how each will be handled after the block: as before.
    """
    afterwards: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others cannot handle signals
        for number in (getattr(signal, name) for name in _REQUESTS if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                afterwards[number] = signal.signal(number, handler)
    try:
        yield afterwards
    finally:
        for number, before in afterwards.items():
            signal.signal(number, before)
