"""The benchmark of metrics on images runs, in small, and both sides agree; times are not looked at."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_it_measures(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    results = runpy.run_path(str(BENCHMARKS / "image_metrics.py"))["main"](quick=True)
    assert [result.part for result in results] == ["PSNR"] * 3 + ["SSIM"] * 3 + ["LPIPS"] * 3
    assert all(result.met for result in results if result.name == "largest difference")
    assert all(result.value > 0 for result in results if result.name != "largest difference")
    assert "2 frames of 37 x 41" in capsys.readouterr().out
