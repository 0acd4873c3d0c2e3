"""Runs in processes of their own: what dies, what is interrupted, and what is there afterwards."""

import os
import signal
from pathlib import Path

import pytest
from data.stages.counted import Model, all_bytes, calls, stages, tasks
from data.stages.stopped import all_gone, program, start, wait_for

from diff4splat.data.stages import Stage, result_keys, result_path, run_stages

CLIPS = tuple(f"clip{number}" for number in range(11))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All files of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "calls").mkdir()
    run_stages(tasks(*CLIPS), stages(folder / "calls"), folder / "results")
    return all_bytes(folder / "results")


def test_dead_processes_lose_only_their_clip(tmp_path) -> None:
    names = ["a", "exit1", "b", "reject1", "kill1", "fail1", "c", "d"]
    (tmp_path / "calls").mkdir()
    given = [*stages(tmp_path / "calls"), Stage("model", Model(str(tmp_path / "calls")), {})]
    progress: list[int] = []
    found = run_stages(
        tasks(*names), given, tmp_path / "two", workers=2, callback=lambda done, total: progress.append(done)
    )
    assert [o.uid for o in found] == names and progress == [1, 2, 3, 4, 5, 6, 7, 8]
    told = {o.uid: (o.status, o.stage) for o in found}
    assert told.pop("exit1") == told.pop("kill1") == told.pop("fail1") == ("failed", "scale")
    assert told.pop("reject1") == ("rejected", "scale")
    assert {*told.values()} == {("kept", "model")}
    assert found[1].reason == "the process ended with exit code 7"
    assert found[1].metrics.keys() == {"depth"}, "of the last stage that keeps"
    assert found[4].reason == "the process was ended by SIGKILL, perhaps for want of memory"
    before = calls(tmp_path / "calls")
    assert {name: n for name, n in before.items() if not name.startswith("setup")} == {
        **{f"{stage}-{name}": 1 for stage in ("read", "scale") for name in names},
        **{f"{stage}-{name}": 1 for stage in ("measure", "model") for name in "abcd"},
    }
    setups = [name for name in before if name.startswith("setup")]
    assert 1 <= len(setups) <= 4 and f"setup-{os.getpid()}" not in setups

    again = run_stages(tasks(*names), given, tmp_path / "two", retry_failed=False)
    assert all(o.reused for o in again) and calls(tmp_path / "calls") == before
    assert [(o.status, o.reason, o.metrics) for o in again] == [
        (o.status, o.reason, o.metrics) for o in found
    ]

    here = [clip for clip in tasks(*names) if clip.uid not in ("exit1", "kill1")]
    run_stages(here, given, tmp_path / "one")
    one, two = all_bytes(tmp_path / "one"), all_bytes(tmp_path / "two")
    assert one.items() <= two.items() and len(two) - len(one) == 2 * 3  # what was read, and the failure


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path, whole, workers) -> None:
    results, called = tmp_path / "results", tmp_path / "calls"
    with start(results, called, workers=workers) as run:
        processes = wait_for(run, 3)
        assert len(processes) == workers
        run.kill()
        assert run.wait() == -signal.SIGKILL
        assert all_gone(processes), "workers end with their parent"
    clips, given = tasks(*CLIPS), stages(called)
    before, there = calls(called), all_bytes(results)
    done = [
        clip.uid for clip in clips if result_path(results, "measure", result_keys(clip, given)[-1]).is_file()
    ]
    assert 3 <= len(done) < 11
    found = run_stages(clips, given, results)
    assert [o.uid for o in found if o.reused] == done
    after = calls(called)
    for uid in CLIPS:
        for stage in ("read", "scale", "measure"):
            name = f"{stage}-{uid}"
            assert after[name] == before.get(name, 0) if uid in done else after[name] <= 2
    unfinished = {name for name in there if Path(name).name.startswith(".")}
    assert all_bytes(results) == {**whole, **{name: there[name] for name in unfinished}}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_ends_its_workers(tmp_path, whole, number) -> None:
    results, called = tmp_path / "results", tmp_path / "calls"
    with start(results, called, workers=2) as run:
        processes = wait_for(run, 1)  # the other worker may yet be starting
        if number == signal.SIGINT:
            os.killpg(run.pid, number)  # as a terminal does
        else:
            run.send_signal(number)
        _, words = run.communicate(timeout=20)
        assert run.returncode == (-signal.SIGINT if number == signal.SIGINT else 128 + number)
        assert words.count("Traceback") == (number == signal.SIGINT), words
        assert all_gone(processes)
    there = all_bytes(results)
    assert not [name for name in there if Path(name).name.startswith(".")]
    assert 3 <= len(there) < len(whole) and there.items() <= whole.items()
    found = run_stages(tasks(*CLIPS), stages(called), results)
    assert sum(o.reused for o in found) >= 1 and all_bytes(results) == whole


def test_what_cannot_be_sent_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="stage here must be a function or class that can be imported"):
        run_stages(tasks("a"), [Stage("here", lambda item: item)], tmp_path, workers=1)


def test_a_stage_that_cannot_be_set_up_ends_the_run(tmp_path) -> None:
    model = Stage("model", Model(str(tmp_path), broken=True), {})
    with pytest.raises(RuntimeError, match="stage model could not be set up: FileNotFoundError: no weights"):
        run_stages(tasks("a"), [model], tmp_path / "results", workers=1)


def test_a_disk_that_cannot_be_written_ends_the_run(tmp_path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "read").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="read"):
        run_stages(tasks("a"), stages(tmp_path / "calls"), tmp_path, workers=1)


def test_a_script_without_a_guard_is_told_so(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from data.stages.counted import stages, tasks\n"
        "from diff4splat.data.stages import run_stages\n"
        f"run_stages(tasks('a'), stages({str(tmp_path)!r}), {str(tmp_path / 'results')!r}, workers=1)\n"
    )
    with program(str(script)) as run:
        _, words = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "RuntimeError: the process ended with exit code 1 before it could run stages" in words
    assert 'if __name__ == "__main__":' in words
