"""The benchmark of the watermark, at tiny sizes."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_measures_what_it_says(
    without_shape_checker: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = runpy.run_path(str(BENCHMARKS / "watermark.py"))
    found = script["main"](quick=True, json=tmp_path / "watermark.json")
    assert list(found) == ["codec", "changes", "sizes", "false positives"]
    rows = [row for part in ("codec", "changes", "sizes") for row in found[part]]
    printed = capsys.readouterr().out
    assert all(f"| {row.change} | {row.found} of {row.clips} |" in printed for row in rows)
    assert "PSNR of marked beside unmarked" in printed and "numbers mean nothing" in printed
    assert found["false positives"]["called marked"] == 0 and found["false positives"]["pairs"] == 18
    assert script["gamma_bound"](0) == pytest.approx(2.9957, abs=1e-3)  # the rule of three
    assert len(json.loads((tmp_path / "watermark.json").read_text())["codec"]) == 1
