"""Requests to stop (Ctrl-C, SIGTERM, a closed terminal) unwind the program once, and never in an import."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["hold_requests", "unwind_on_request"]

_REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP")
_GRACE_SECONDS = 5.0


@contextmanager
def unwind_on_request() -> Iterator[None]:
    """Let a request to stop raise an exception in the block, so that temporary files go.

    Ctrl-C raises KeyboardInterrupt; SIGTERM and SIGHUP raise SystemExit with 128 plus the signal's number.
    Requests that follow within seconds are passed over, for they would cut the tidying up short.
    """
    last = -_GRACE_SECONDS

    def stop(number: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _GRACE_SECONDS:
            return
        last = now
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with _handled_by(stop):
        yield


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
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle the requests in this way; one that is ignored from outside, as under nohup, stays ignored."""
    previous = {}
    if threading.current_thread() is threading.main_thread():  # others cannot handle signals
        for number in (getattr(signal, name) for name in _REQUESTS if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
