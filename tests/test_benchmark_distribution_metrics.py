"""The benchmark of distances of sets runs, in small; times are not looked at."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_runs_and_agrees_with_torchmetrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = runpy.run_path(str(BENCHMARKS / "distribution_metrics.py"))
    results = benchmark["main"](quick=True, json=tmp_path / "results.json")
    differences = [r for r in results if r.name == "relative difference to torchmetrics"]
    assert len(differences) == 2 and all(r.met for r in differences)
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == len(results)
