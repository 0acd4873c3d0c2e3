"""The benchmark of training runs, in small, and reports what it says it does; times are not looked at."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of the script, which finds the files beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "training.py"))


def test_waiting_for_clips(
    benchmark: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = benchmark["Clips"](cache=tmp_path)
    results = benchmark["main"](part, quick=True, json=tmp_path / "results.json")
    assert [result.name for result in results] == [
        "from shards, over memory",
        "in the first pass, over memory",
        "over the whole stage",
    ]
    assert all(result.value > 0 and result.goal == 1.1 for result in results)
    printed = capsys.readouterr().out
    assert "clips are made while one is used" in printed and "commit " in printed
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == 3
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir() if path.is_dir()} == {"training"}


def test_shares_of_a_step(benchmark: dict[str, Any]) -> None:
    results = benchmark["main"](benchmark["Shares"](), quick=True)
    for name in ("dynamic", "photometric, 1 clips"):
        shares = {result.name: result.value for result in results if result.part == name}
        kernels = shares.pop("LDRM and renderer")
        assert sum(shares.values()) == pytest.approx(1)
        assert kernels == pytest.approx(shares["LDRM"] + shares.get("renderer", 0))
        assert ("renderer" in shares) == (name != "dynamic")
        assert {"losses", "optimiser: Muon", "clipping", "running average"} < set(shares)
    assert [result.goal for result in results if result.goal is not None] == [0.6, 0.6]


def test_rate_needs_a_gpu_and_runs_without(
    benchmark: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert benchmark["main"](benchmark["Rate"](), quick=True) == []
    assert "nothing is measured" in capsys.readouterr().out
    results = benchmark["main"](benchmark["Rate"](anywhere=True), quick=True)
    assert [result.unit for result in results] == ["ms", "", ""]
    assert results[2].goal == 0.4 and 0 < results[2].value < 1


def event(name: str, start: float, end: float, number: int = -1) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, time_range=SimpleNamespace(start=start, end=end), sequence_nr=number, thread=1
    )


def test_backward_passes_count_where_they_were_made(benchmark: dict[str, Any]) -> None:
    seconds_of_parts = benchmark["Shares"].run.__globals__["seconds_of_parts"]
    rest = "everything else"
    backward = "autograd::engine::evaluate_function: "
    events = [
        event("aten::mul", 0, 5, 0),  # of a step that is not measured
        event(rest, 10, 110),
        event("losses", 10, 60),
        event("LDRM", 20, 40),
        event("aten::linear", 21, 30, 3),
        event("aten::addmm", 22, 30, 4),
        event("aten::abs", 45, 50, 4),  # under no_grad: the number was not used up
        event("aten::sum", 50, 55, 4),
        event(f"{backward}SumBackward0", 60, 64, 4),
        event(f"{backward}TBackward0", 64, 72, 3),
        event("aten::mm", 65, 70),
        event(f"{backward}torch::autograd::AccumulateGrad", 72, 73),
        event("Optimizer.step#Muon.step", 80, 90),
        event("aten::lerp_", 81, 82),
        event("aten::lerp_", 95, 97),
    ]
    found = {part: round(1e6 * seconds) for part, seconds in seconds_of_parts(events[::-1]).items()}
    expected = {"LDRM": 20 + 8 + 1, "losses": 30 + 4, "optimiser: Muon": 10, "running average": 2}
    assert found == {**expected, rest: 100 - sum(expected.values())}
