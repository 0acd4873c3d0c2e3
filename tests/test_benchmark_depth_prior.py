"""The benchmark of depth priors, at tiny sizes."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_measures_each_kind_of_depth(
    without_shape_checker: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = runpy.run_path(str(BENCHMARKS / "depth_prior.py"))
    found = script["main"](quick=True, json=tmp_path / "depth.json")
    assert list(found) == list(script["CHANGES"])
    assert found["metric"][2].value < found["true scale alone"][2].value < 0  # less error than without
    assert found["true scale alone"][1].value == pytest.approx(0, abs=0.01)  # scale is not seen in an image
    printed = capsys.readouterr().out
    assert all(f"\n| {name} | " in printed for name in found) and "numbers mean nothing" in printed
    assert json.loads((tmp_path / "depth.json").read_text())["scenes"] == 2
