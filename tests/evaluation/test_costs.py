"""Stopwatch, latency and memory: what is counted, with a clock that can be set."""

import math
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from diff4splat.evaluation import Stopwatch, interactive_latency, peak_memory


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """Time passes only when somebody says so."""
    state = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "perf_counter", lambda: state.now)
    return state


def test_parts_add_up_and_what_is_between_them_does_not_count(clock) -> None:
    watch = Stopwatch("cpu")
    with watch.part("denoise"):
        clock.now += 3
    clock.now += 50
    with watch.part("decode"):
        clock.now += 0.5
    with watch.part("denoise"):
        clock.now += 2
    assert watch.seconds == {"denoise": 5.0, "decode": 0.5}
    assert list(watch.seconds) == ["denoise", "decode"]
    assert watch.total == 5.5


def test_work_that_fails_is_not_counted(clock) -> None:
    watch = Stopwatch("cpu")
    with pytest.raises(RuntimeError, match="no"), watch.part("decode"):
        clock.now += 1
        raise RuntimeError("no")
    assert watch.seconds == {}
    assert watch.total == 0


def test_a_gpu_is_waited_for_before_and_after(clock, monkeypatch) -> None:
    """Pitfall: without it, the time is that of starting the work."""
    events = []

    def wait(device: torch.device) -> None:
        events.append("wait")
        clock.now += 7 if "work" in events else 0

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    watch = Stopwatch("cuda")
    with watch.part("render"):
        events.append("work")
        clock.now += 1
    assert events == ["wait", "work", "wait"]
    assert watch.seconds["render"] == 8


def test_latency_is_the_median_over_poses_after_the_warm_up(clock) -> None:
    """Pitfall: first frames compile and fill caches."""
    calls = []

    def render_one(index: int) -> None:
        calls.append(index)
        clock.now += 60 if len(calls) <= 7 else (index + 1) / 1000

    found = interactive_latency(render_one, num_poses=5, warmup=7, device="cpu")
    assert calls == [0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 4]
    assert found.median_ms == pytest.approx(3.0)
    assert found.iqr_ms == pytest.approx(2.0)
    assert (found.count, found.warmup) == (5, 7)
    assert found.device == f"cpu, {torch.get_num_threads()} threads"


def test_latency_errors() -> None:
    with pytest.raises(ValueError, match="num_poses must be at least 1, got 0"):
        interactive_latency(lambda index: None, num_poses=0, device="cpu")
    with pytest.raises(ValueError, match="warmup must be at least 0, got -1"):
        interactive_latency(lambda index: None, warmup=-1, device="cpu")


def test_resident_memory_grows_by_what_is_held() -> None:
    resource = pytest.importorskip("resource")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    now = peak if sys.platform == "darwin" else _resident_bytes()
    held = peak - now + 200 * 2**20  # beyond the peak so far
    with peak_memory("cpu") as memory:
        assert math.isnan(memory.resident_growth_gib)
        assert memory.reason == "the work is not done yet"
        torch.ones(held, dtype=torch.uint8)
    assert 0.15 < memory.resident_growth_gib < 0.3
    assert math.isnan(memory.allocated_gib)
    assert math.isnan(memory.reserved_gib)
    assert memory.reason == "no GPU memory is counted on cpu"
    with peak_memory("cpu") as again:
        pass
    assert again.resident_growth_gib == 0


def _resident_bytes() -> int:
    with open("/proc/self/status") as stream:
        return next(1024 * int(line.split()[1]) for line in stream if line.startswith("VmRSS"))


def test_a_system_that_does_not_say_is_no_zero(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    with peak_memory("cpu") as memory:
        pass
    assert math.isnan(memory.resident_growth_gib)
    assert memory.reason.endswith("this system does not say the peak of resident memory")


def test_gpu_memory_is_counted_from_the_start_of_the_work(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: calls.append("wait"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 5 * 2**30)
    with pytest.raises(RuntimeError, match="out of memory"), peak_memory("cuda") as memory:
        calls.append("work")
        raise RuntimeError("out of memory")
    assert calls == ["reset", "work", "wait"]
    assert (memory.allocated_gib, memory.reserved_gib) == (3.0, 5.0)
    assert memory.reason == ""
