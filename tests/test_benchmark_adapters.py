"""The benchmark of the adapters runs, in small; times are not looked at."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.filterwarnings("ignore:.*has no camera adapter")
@pytest.mark.usefixtures("without_shape_checker")
def test_adapters_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = runpy.run_path(str(BENCHMARKS / "adapters.py"))
    results = benchmark["main"](quick=True, json=tmp_path / "results.json")
    assert [(result.part, result.unit) for result in results] == [
        (part, unit) for part in ("Wan", "CogVideoX") for unit in ("", "s", "%", "", "%")
    ]
    assert [result.value for result in results if "passes" in result.name] == [46, 46]
    assert all(result.met for result in results if result.unit == "")
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == 10
