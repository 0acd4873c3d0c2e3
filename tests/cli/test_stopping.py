"""Requests to stop: held back while libraries load, obeyed once, and silent afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from diff4splat.cli.console import Console
from diff4splat.cli.stopping import hold_requests, unwind_on_request

REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals of Unix")


@pytest.fixture(autouse=True)
def ordinary_handlers() -> Iterator[None]:
    """The handlers that a program starts with, whatever these tests are run under."""
    before = {number: signal.getsignal(number) for number in REQUESTS}
    for number in REQUESTS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", KeyboardInterrupt), ("SIGTERM", SystemExit), ("SIGHUP", SystemExit)]
)
def test_a_request_waits_for_the_end_of_the_imports(name: str, error: type[BaseException]) -> None:
    before = signal.getsignal(getattr(signal, name))
    reached = []
    with pytest.raises(error) as raised, unwind_on_request(), Console(quiet=True) as console:
        with console.libraries():
            os.kill(os.getpid(), getattr(signal, name))
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("end of the imports")
        reached.append("next line")
    assert reached == ["end of the imports"]
    if isinstance(raised.value, SystemExit):
        assert raised.value.code == 128 + getattr(signal, name)
    assert signal.getsignal(getattr(signal, name)) is before


def test_without_a_request_nothing_happens() -> None:
    with unwind_on_request(), hold_requests():
        pass


def test_a_second_request_does_not_disturb_the_tidying_up() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), unwind_on_request():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(True)
    assert tidied == [True]


def test_a_request_that_was_swallowed_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diff4splat.cli.stopping._GRACE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), unwind_on_request():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


def test_what_is_ignored_from_outside_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with unwind_on_request():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_at_the_end_of_the_process_further_requests_are_ignored() -> None:
    before = {number: signal.getsignal(number) for number in REQUESTS}
    try:
        with unwind_on_request(ends_process=True):
            pass
        assert {number: signal.getsignal(number) for number in before} == before
        with unwind_on_request(ends_process=True):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            except SystemExit:
                pass
        assert {signal.getsignal(number) for number in before} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_other_threads_are_left_alone() -> None:
    done = []

    def work() -> None:
        with unwind_on_request(), hold_requests():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.6, 1.1])
def test_ctrl_c_twice_while_libraries_load(seconds: float, tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "examples" / "photos" / "coffee.jpg"
    words = [sys.executable, "-m", "diff4splat", "generate", str(photo), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    lines = shown.splitlines()  # a fast machine has passed a stage or two
    assert (process.returncode, lines[-1]) == (130, "diff4splat: interrupted; unfinished files were removed")
    assert not any("Traceback" in line for line in lines)
    assert list(tmp_path.iterdir()) == []
