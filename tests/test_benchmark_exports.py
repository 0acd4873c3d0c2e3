"""The benchmark of exports runs, in small, and measures each; times are not looked at."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_export_is_measured(
    without_shape_checker: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = runpy.run_path(str(BENCHMARKS / "exports.py"))
    options = benchmark["Options"](quick=True, repeats=1, folder=tmp_path, json=tmp_path / "results.json")
    results = benchmark["main"](options)
    assert {result.part for result in results} == set(benchmark["EXPORTS"])
    for name, export in benchmark["EXPORTS"].items():
        found = {result.name: result for result in results if result.part == name}
        assert set(found) == {"write", "size", "rate of the plain file"} | (
            {"read"} if export.read else set()
        )
        assert all(result.value > 0 for result in found.values()) and found["write"].goal == export.goal
    assert "of 3 goals met" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == len(results)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    with pytest.raises(SystemExit, match="--only must be of asset, ply, .* got gif"):
        benchmark["main"](benchmark["Options"](only=("gif",)))
