"""The benchmark of the tiny video autoencoder runs, in small; times are not looked at."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_it_measures(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    benchmark = runpy.run_path(str(BENCHMARKS / "tiny_vae.py"))
    benchmark["WAN"]["wan2.1"] = ("taew2_1", {"base_dim": 4, "num_res_blocks": 1})
    results = benchmark["main"](quick=True)
    assert [result.part for result in results] == ["decode"] * 6 + ["encode"] * 6
    assert all(result.value > 0 for result in results)
    by_name = {(result.part, result.name): result.value for result in results}
    for part in ("decode", "encode"):
        times, memory = (
            [by_name[part, f"{who}, {what}"] for who in ("full", "tiny")] for what in ("time", "memory")
        )
        assert by_name[part, "time, full over tiny"] == pytest.approx(times[0] / times[1])
        assert by_name[part, "memory, full over tiny"] == pytest.approx(memory[0] / memory[1])
    assert "5 frames of 32 x 32" in capsys.readouterr().out
