import logging
import threading
import time

import pytest

from diff4splat.viewer.live.picture_loop import PictureLoop, next_scale


class Drawn:
    """Remembers what was drawn, and can be held up."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, float]] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def __call__(self, view: str, quality: str, scale: float) -> None:
        self.begun.set()
        assert self.go.wait(60)
        self.calls.append((view, quality, scale))
        if view == "broken":
            raise RuntimeError("no picture")

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.calls) < count:
            assert time.monotonic() < deadline, self.calls
            time.sleep(0.002)


@pytest.fixture
def drawn():
    return Drawn()


@pytest.fixture
def loop(drawn):
    loop = PictureLoop(drawn, seconds=1.0, rest=0.05)
    yield loop
    drawn.go.set()
    loop.stop()
    assert not loop._thread.is_alive()


def test_a_request_is_drawn_small_at_once_then_full_then_exact_and_no_more(loop, drawn) -> None:
    loop.request("a")
    drawn.wait_for(3)
    time.sleep(0.3)
    assert [call[:2] for call in drawn.calls] == [("a", "draft"), ("a", "full"), ("a", "exact")]
    assert drawn.calls[0][2] < 1 and drawn.calls[1][2] == drawn.calls[2][2] == 1


def test_requests_do_not_pile_up_and_the_newest_wins(loop, drawn) -> None:
    drawn.go.clear()
    loop.request("first")
    assert drawn.begun.wait(60)  # it is being drawn, and nothing else until it is done
    for number in range(100):
        loop.request(f"number {number}")
    drawn.go.set()
    drawn.wait_for(4)
    assert [call[0] for call in drawn.calls] == ["first", *["number 99"] * 3]


def test_a_picture_that_fails_is_said_and_the_next_is_drawn(loop, drawn, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="diff4splat"):
        loop.request("broken")
        drawn.wait_for(1)
        loop.request("a")
        drawn.wait_for(4)
    assert "a picture could not be drawn: RuntimeError: no picture" in caplog.messages
    assert drawn.calls[-1][0] == "a"


def test_it_ends_while_a_picture_is_asked_for(drawn) -> None:
    loop = PictureLoop(drawn, rest=60.0)
    loop.request("a")
    start = time.monotonic()
    loop.stop()
    assert time.monotonic() - start < 30 and not loop._thread.is_alive()
    loop.stop()


def test_the_share_follows_from_what_a_picture_took() -> None:
    assert next_scale(0.5, 0.04, 0.01) == 0.25  # four times too slow: half of the width and height
    assert next_scale(0.5, 0.01, 0.04) == 0.625  # a quarter larger at most
    assert next_scale(0.3, 1.0, 0.01) == 0.2 and next_scale(0.9, 1e-9, 0.01) == 1.0
