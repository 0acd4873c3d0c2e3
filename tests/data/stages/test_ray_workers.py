"""Runs on Ray: the same files as here, whatever dies, and no Ray left behind that was not there."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import ray.data
from data.stages.counted import Model, all_bytes, calls, stages, tasks
from data.stages.stopped import ROOT, start

from diff4splat.data.stages import Stage, run_stages
from diff4splat.data.stages.ray_workers import _parts


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of two cores that this program runs."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *filter(None, sys.path)])
    environment = {"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_the_files_are_those_of_a_run_here(tmp_path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    names = ["a", "reject1", "b", "fail1", "c"]
    results = {}
    progress: list[tuple[int, int]] = []
    for name, engine in (("here", "local"), ("there", "ray")):
        called = tmp_path / name
        model = Stage("model", Model(str(called)), {})
        results[name] = run_stages(
            tasks(*names),
            [*stages(called), model],
            tmp_path / f"{name} results",
            engine=engine,
            callback=lambda *done: progress.append(done),
        )
    assert all_bytes(tmp_path / "here results") == all_bytes(tmp_path / "there results")
    told = [
        [(o.uid, o.status, o.stage, o.reason, o.metrics, o.key) for o in found] for found in results.values()
    ]
    assert told[0] == told[1] and [o[0] for o in told[1]] == names
    assert [list(o.seconds) for o in results["there"]] == [list(o.seconds) for o in results["here"]]
    assert progress[5:] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    one, two = (
        {name: n for name, n in calls(tmp_path / folder).items() if not name.startswith("setup")}
        for folder in ("here", "there")
    )
    assert one == two
    assert f"setup-{os.getpid()}" not in calls(tmp_path / "there")
    assert ray.is_initialized(), "it was there before"

    again = run_stages(
        tasks(*names), [*stages(tmp_path / "there"), model], tmp_path / "there results", retry_failed=False
    )
    assert all(o.reused for o in again)


@pytest.mark.usefixtures("cluster")
def test_dead_processes_lose_only_their_clip(tmp_path) -> None:
    (tmp_path / "calls").mkdir()
    names = ["a", "exit1", "b", "kill1", "model1", "c"]
    given = [*stages(tmp_path / "calls"), Stage("model", Model(str(tmp_path / "calls")), {})]
    found = run_stages(tasks(*names), given, tmp_path / "results", engine="ray", workers=2)
    assert [(o.uid, o.status, o.stage) for o in found] == [
        ("a", "kept", "model"),
        ("exit1", "failed", "scale"),
        ("b", "kept", "model"),
        ("kill1", "failed", "scale"),
        ("model1", "failed", "model"),
        ("c", "kept", "model"),
    ]
    assert found[1].reason == "the process of Ray that ran it ended, perhaps for want of memory"
    context = ray.data.DataContext.get_current()
    assert context.max_errored_blocks == 0, "settings of the program are as before"
    counted = calls(tmp_path / "calls")
    assert {counted[f"scale-{name}"] for name in names} == {1}, "what killed one process is not tried again"
    assert counted["model-model1"] == 1
    again = run_stages(tasks(*names), given, tmp_path / "results", retry_failed=False)
    assert [(o.status, o.reused) for o in again] == [(o.status, True) for o in found]
    assert not (tmp_path / "results" / ".running").exists()


@pytest.mark.usefixtures("cluster")
def test_what_concerns_all_clips_ends_the_run(tmp_path) -> None:
    model = Stage("model", Model(str(tmp_path), broken=True), {})
    with pytest.raises(RuntimeError, match="stage model could not be set up: FileNotFoundError: no weights"):
        run_stages(tasks("a"), [model], tmp_path / "results", engine="ray")
    (tmp_path / "results" / "read").write_text("a file where a folder must be")
    (tmp_path / "calls").mkdir()
    with pytest.raises(OSError, match="read"):
        run_stages(tasks("a"), stages(tmp_path / "calls"), tmp_path / "results", engine="ray")


def test_a_ray_of_its_own_is_quiet_and_ends_with_the_run(tmp_path) -> None:
    with start(tmp_path / "results", tmp_path / "calls", workers=2, engine="ray") as run:
        told, words = run.communicate(timeout=100)
    assert run.returncode == 0, words
    assert told.split() == [word for done in range(1, 12) for word in (str(done), "11")]
    assert not words.strip()
    found = run_stages(
        tasks(*(f"clip{number}" for number in range(11))), stages(tmp_path), tmp_path / "results"
    )
    assert all(o.reused and o.status == "kept" for o in found)


def test_stages_of_the_same_needs_share_a_task() -> None:
    def same(item):
        return item

    given = [
        Stage("read", same),
        Stage("small", same),
        Stage("wide", same, num_cpus=4.0),
        Stage("model", Model("there"), {}),
        Stage("depth", same, num_gpus=0.5),
        Stage("judge", same),
        Stage("encode", same),
    ]
    found = [(part.stop, part.actor, part.num_cpus, part.num_gpus) for part in _parts(given)]
    assert found == [
        (2, False, 1.0, 0.0),
        (3, False, 4.0, 0.0),
        (4, True, 1.0, 0.0),
        (5, True, 1.0, 0.5),
        (7, False, 1.0, 0.0),
    ]


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    (tmp_path / "calls").mkdir()
    with pytest.raises(ModuleNotFoundError, match=r'need Ray Data: pip install "diff4splat\[ray\]"'):
        run_stages(tasks("a"), stages(tmp_path / "calls"), tmp_path / "results", engine="ray")
