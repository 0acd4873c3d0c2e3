import threading

import pytest

from diff4splat.viewer.live.clip_clock import ClipClock, next_time


def test_time_goes_on_and_begins_again_or_stops() -> None:
    assert next_time(0.25, 0.5, loop=False) == (0.75, True)
    assert next_time(0.5, 0.5, loop=False) == (1.0, True)
    assert next_time(0.75, 0.5, loop=True) == (0.25, True)
    assert next_time(0.75, 0.5, loop=False) == (1.0, False)
    assert next_time(0.5, 3.25, loop=True) == (0.75, True)


def test_the_clock_tells_the_seconds_since_its_last_call_until_it_is_stopped() -> None:
    calls: list[float] = []
    enough = threading.Event()

    def tick(elapsed: float) -> None:
        calls.append(elapsed)
        if len(calls) == 5:
            enough.set()

    clock = ClipClock(tick, pace=0.01)
    assert enough.wait(60)
    clock.stop()
    count = len(calls)
    assert min(calls) >= 0.009  # as long as the pace, or longer on a busy machine
    assert not enough.wait(0.05) or len(calls) == count
    assert all(thread.name != "diff4splat-clock" for thread in threading.enumerate())


def test_what_a_clip_does_at_its_end_is_in_range() -> None:
    for elapsed in (0.0, 0.3, 1.0, 7.7):
        later, _ = next_time(0.9, elapsed, loop=True)
        assert 0 <= later <= 1
    assert next_time(0.9, 0.1, loop=True)[0] == pytest.approx(1.0)
