"""The time of a clip that plays: how it goes on, at which speed, and what comes after its end."""

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["ClipClock", "next_time"]

logger = logging.getLogger(__name__)


def next_time(time: float, elapsed: float, *, loop: bool) -> tuple[float, bool]:
    """Where a clip is some time later.

    Args:
        time: Where it was, in [0, 1].
        elapsed: How far it has gone, in clips, >= 0.
        loop: Begin again at the end.

    Returns:
        Time in [0, 1], and whether it goes on; a clip that does not loop stops at 1.

    Examples:
        >>> next_time(0.75, 0.5, loop=True), next_time(0.75, 0.5, loop=False)
        ((0.25, True), (1.0, False))
    """
    later = time + elapsed
    if later <= 1:
        return later, True
    return (later % 1, True) if loop else (1.0, False)


class ClipClock:
    """Calls a function at a steady pace with the seconds since its last call, in a thread of its own.

    Args:
        tick: The function; what it raises is logged, and the clock goes on.
        pace: Seconds between calls.
    """

    def __init__(self, tick: Callable[[float], object], *, pace: float = 1 / 30) -> None:
        self._tick, self._pace = tick, pace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="diff4splat-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        last = time.perf_counter()
        while not self._ended.wait(self._pace):
            now = time.perf_counter()
            try:
                self._tick(now - last)
            except Exception as error:
                logger.warning("the clip could not go on: %s: %s", type(error).__name__, error)
            last = now
