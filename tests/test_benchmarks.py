"""The benchmark of rendering runs, in small, and reports what it says it measures; times are not looked at."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Names of the results that are held to a goal, in the quick run; "start" opens processes that compile.
HELD = {
    "Table": [
        f"scene {scene}, 24 x 24, {what}, speedup"
        for scene in "abc"
        for what in ("forward", "forward+backward")
    ],
    "Video": ["forward, speedup", "forward+backward, speedup"],
    "Growth": [
        f"{what} over {axis}, exponent"
        for axis in ("Gaussians, 24 x 24 pixels", "pixels, 60 Gaussians")
        for what in ("forward", "forward+backward")
    ],
}
MEASURED = {"Table": 12, "Interactive": 2, "Video": 6, "Growth": 12}


@pytest.fixture
def benchmark(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of the script, which finds the files beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "rendering.py"))


@pytest.mark.parametrize("part", sorted(MEASURED))
def test_part_measures(
    benchmark: dict[str, Any], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = benchmark["main"](benchmark[part](), quick=True, json=tmp_path / "results.json")
    assert len(results) == MEASURED[part]
    assert {result.part for result in results} == {part.lower()}
    assert all(result.value > 0 for result in results if result.unit in ("ms", "x"))
    held = [result.name for result in results if result.goal is not None and result.unit != "ms"]
    assert held == HELD.get(part, [])
    printed = capsys.readouterr().out
    assert "threads: " in printed and "torch " in printed and "commit " in printed
    written = json.loads((tmp_path / "results.json").read_text())
    assert [result["value"] for result in written["results"]] == [result.value for result in results]
    assert written["machine"]["commit"]
