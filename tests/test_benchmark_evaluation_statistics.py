"""The benchmark of the statistics runs, in small; its numbers are not looked at."""

import json
import math
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.usefixtures("without_shape_checker")
def test_statistics_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = runpy.run_path(str(BENCHMARKS / "evaluation_statistics.py"))
    results = benchmark["main"](quick=True, json=tmp_path / "results.json")
    parts = ["FVD", "KVD"] * 4 + ["interval"] * 6 + ["KVD"] * 12 + ["found"] * 6 + ["FVD", "KVD"]
    assert [result.part for result in results] == parts
    assert all(math.isfinite(result.value) for result in results)
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == len(parts)
