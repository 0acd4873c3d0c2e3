"""A run in another program, which a test stops in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from data.stages import counted

ROOT = Path(__file__).parents[3]


def program(*words: str) -> subprocess.Popen[str]:
    """A Python program with the paths of this one, in a group of its own."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
        # what a shell starts in the background, the tests with it, ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def start(results: Path, called: Path, *, workers: int, engine: str = "local") -> subprocess.Popen[str]:
    """Eleven clips through slow stages."""
    called.mkdir(exist_ok=True)
    return program(counted.__file__, str(results), str(called), str(workers), engine)


def wait_for(run: subprocess.Popen[str], done: int) -> list[int]:
    """Wait until so many clips are done; the processes that it has then."""
    assert run.stdout is not None and run.stderr is not None
    for line in run.stdout:
        count, total, *processes = map(int, line.split())
        assert total == 11
        if count == done:
            return processes
    raise AssertionError(f"the run ended early: {run.stderr.read()}")


def all_gone(processes: list[int], seconds: float = 10.0) -> bool:
    """Whether these processes end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{number}/cmdline").is_file() and _runs(number) for number in processes):
            return True
        time.sleep(0.05)
    return False


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
