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
    tables = script["main"](quick=True, json=tmp_path / "watermark.json")
    assert list(tables) == ["x264", "changes", "sizes"]
    printed = capsys.readouterr().out
    assert all(
        f"| {row.change} | {row.found} of {row.clips} " in printed for t in tables.values() for row in t
    )
    assert "PSNR of marked beside unmarked" in printed and "numbers mean nothing" in printed
    written = json.loads((tmp_path / "watermark.json").read_text())
    assert min(written["psnr"]) > 40 and written["false positives"]["called marked"] == 0
