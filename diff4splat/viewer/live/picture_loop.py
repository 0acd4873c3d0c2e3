"""A thread that draws the newest of what is asked for: quickly while it changes, fully once it rests."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

__all__ = ["PictureLoop", "Quality", "next_scale"]

logger = logging.getLogger(__name__)

View = TypeVar("View")
Quality = Literal["draft", "full", "exact"]
"""Small, as there is no time; of full size, and as good as is quick; every pixel as it was drawn."""

_SMALLEST, _GROWTH = 0.2, 1.25


class PictureLoop(Generic[View]):
    """Draws in a thread of its own. Requests never pile up: each replaces the one that was not begun.

    A request is drawn as "draft" at once, as "full" once no other came for `rest` seconds, and as "exact"
    after four times that.

    Args:
        draw: Called with the request, what to draw it as, and the share of the full width and height, 1 but
            for drafts. What it raises is logged, and the loop goes on.
        seconds: How long a draft may take, seconds; the share follows from it.
        rest: How long none may come before more is drawn, seconds.
    """

    def __init__(
        self,
        draw: Callable[[View, Quality, float], object],
        *,
        seconds: float = 1 / 30,
        rest: float = 0.15,
    ) -> None:
        self._draw, self._seconds, self._rest = draw, seconds, rest
        self._newest: list[View] = []
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="diff4splat-pictures", daemon=True)
        self._thread.start()

    def request(self, view: View) -> None:
        """Ask for a picture; it takes the place of one that was asked for and not begun.

        Args:
            view: What `draw` gets.
        """
        with self._wake:
            self._newest = [view]
            self._wake.notify()

    def stop(self) -> None:
        """End the thread, after the picture that it is at."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _next(self, timeout: float | None) -> list[View]:
        """The newest request; none when the time is over or the loop ends."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or bool(self._newest), timeout)
            newest, self._newest = self._newest, []
            return [] if self._stopped else newest

    def _work(self) -> None:
        scale, last = 0.5, None
        better: list[tuple[Quality, float]] = []  # what `last` is still to be drawn as, and after which rest
        while not self._stopped:
            newest = self._next(better[0][1] if better else None)
            if newest:
                last, better = newest[0], [("full", self._rest), ("exact", 3 * self._rest)]
                scale = next_scale(scale, self._timed(last, "draft", scale), self._seconds)
            elif better and last is not None and not self._stopped:
                self._timed(last, better.pop(0)[0], 1.0)

    def _timed(self, view: View, quality: Quality, scale: float) -> float:
        start = time.perf_counter()
        try:
            self._draw(view, quality, scale)
        except Exception as error:
            logger.warning("a picture could not be drawn: %s: %s", type(error).__name__, error)
        return time.perf_counter() - start


def next_scale(scale: float, seconds: float, wanted: float) -> float:
    """Share of width and height at which the next picture takes as long as is wanted.

    Args:
        scale: Share of the last picture.
        seconds: What it took; grows with the area.
        wanted: What it may take, seconds.

    Returns:
        A share from 0.2 to 1, at most a quarter larger than the last.
    """
    factor = math.sqrt(wanted / max(seconds, 1e-6))
    return min(1.0, max(_SMALLEST, scale * min(factor, _GROWTH)))
