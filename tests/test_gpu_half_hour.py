"""Half an hour of a GPU in some seconds of a CPU: all that runs without one, the stop, and the way back."""

import importlib
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from diff4splat import Diff4SplatPipeline
from diff4splat.training import Checkpoints

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return importlib.import_module("gpu_half_hour")


def test_everything_that_needs_no_gpu_is_done_once(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(output=tmp_path, minutes=10, workers=0, quick=True)
    printed = capsys.readouterr().out
    for part in ("build", "rendering", "generate", "speed"):
        assert f"{part}: skipped, for there is no CUDA device here" in printed
    assert sorted(path.stem for path in (tmp_path / "results").iterdir()) == ["device", "training"]
    summary = (tmp_path / "summary.md").read_text()
    assert "| 1-dynamic | 4 | 4 |" in summary and "| 2-diffusion | 4 | 4 |" in summary
    assert summary == (tmp_path / "carry" / "summary.md").read_text()
    files = list((tmp_path / "carry").iterdir())
    assert len(files) <= 6 and max(path.stat().st_size for path in files) < 16 * 2**20
    before = (tmp_path / "results" / "training.json").stat().st_mtime_ns
    script.main(output=tmp_path, minutes=10, workers=0, quick=True)
    assert (tmp_path / "results" / "training.json").stat().st_mtime_ns == before


def stop_after(run: Path, step: int) -> threading.Thread:
    """Ask this process to stop as soon as a checkpoint of that step or a later one is there."""

    def watch() -> None:
        while not any(
            int(path.parent.name) >= step for path in run.glob("stages/*/checkpoints/0*/state.json")
        ):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_run_that_is_stopped_goes_on_elsewhere(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small = script.in_small
    monkeypatch.setattr(script, "in_small", lambda stage: replace(in_small(stage), steps=10_000))
    here, there = tmp_path / "here", tmp_path / "there"
    stop_after(here / "run", 2)
    script.main(output=here, minutes=10, workers=0, quick=True)
    assert not (here / "results" / "training.json").exists(), "it goes on in the next call"

    (there / "run.part" / "stages" / "9-half").mkdir(parents=True)  # of a call that was killed
    script.main(output=there, minutes=0, resume=here / "carry", quick=True)
    ours, theirs = (
        Checkpoints(folder / "run" / "stages" / "1-dynamic" / "checkpoints").load()
        for folder in (here, there)
    )
    assert ours is not None and theirs is not None and ours.step == theirs.step
    for kind, precision in (("weights", 1e-3), ("average", 1e-3), ("optimizer", 8e-3)):
        mine, other = getattr(ours, kind), getattr(theirs, kind)
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            torch.testing.assert_close(other[name], value, rtol=precision, atol=1e-7)
    model = Diff4SplatPipeline.from_pretrained(there / "model")
    for name, value in model.ldrm.state_dict().items():
        torch.testing.assert_close(value, ours.average[f"ldrm.{name}"], rtol=1e-3, atol=1e-7)

    stop_after(there / "run", ours.step + 2)
    script.main(output=there, minutes=10, workers=0, quick=True)
    log = (there / "run" / "stages" / "1-dynamic" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] >= ours.step + 2
    assert "Carried: 3 files" in (there / "summary.md").read_text()


def test_time_is_up(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(session) -> None:
        time.sleep(60)

    def slow_to_begin(session) -> dict[str, str]:
        time.sleep(0.2)
        return {}

    def never(session) -> None:
        raise AssertionError

    monkeypatch.setattr(script, "PARTS", {"training": slow, "never": never})
    script.main(output=tmp_path, minutes=0.1 / 60, quick=True)
    assert not (tmp_path / "results").exists()
    assert "## training\n\nNot done." in (tmp_path / "summary.md").read_text()
    assert signal.getsignal(signal.SIGALRM) != script.stop

    # A part that had most of a call is given up; one that began late has another try.
    monkeypatch.setattr(script, "PARTS", {"slow": slow, "never": never})
    script.main(output=tmp_path / "whole", minutes=0.1 / 60, quick=True)
    assert "did not end in time" in (tmp_path / "whole" / "summary.md").read_text()
    monkeypatch.setattr(script, "PARTS", {"first": slow_to_begin, "slow": slow})
    script.main(output=tmp_path / "late", minutes=0.3 / 60, quick=True)
    assert [path.stem for path in (tmp_path / "late" / "results").iterdir()] == ["first"]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_part_that_fails_is_noted_and_the_next_one_goes_on(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def first(session) -> None:
        raise error("no more")

    parts = {"first": first, "second": lambda session: {"outcome": "fine"}}
    monkeypatch.setattr(script, "PARTS", parts)
    script.main(output=tmp_path, minutes=10, quick=True)
    summary = (tmp_path / "summary.md").read_text()
    assert f"{error.__name__}: no more" in summary and "fine." in summary


def test_a_build_that_fails_leaves_its_log(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "BUILD", "raise SystemExit('no compiler')")
    session = script.Session(tmp_path, 100.0, time.monotonic() + 100, None, 1.0, 0, True)
    found = script.build(session)
    assert found["outcome"] == "failed with exit code 1" and "no compiler" in found["log"]
    monkeypatch.setattr(script, "BUILD", "import time; time.sleep(60)")
    found = script.build(replace(session, deadline=time.monotonic()))
    assert found["outcome"] == "did not end in time" and found["seconds"] < 30


def test_comparison_with_gsplat_runs_on_the_reference_renderer(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = script.Gpu(count=64, size=24, repeats=1, golden=tmp_path / "golden", against="reference")
    frame, *results = part.run()
    assert frame.unit == "ms" and len(results) == 6
    assert all(result.met for result in results), [str(result) for result in results]
    names = [path.name for path in sorted((tmp_path / "golden").iterdir())]
    assert names == ["reference_antialiased.safetensors", "reference_classic.safetensors"]
