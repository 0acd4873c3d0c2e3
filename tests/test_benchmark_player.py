"""The benchmark of the player runs, in small, and reports what it says it does; times are not looked at."""

import json
import runpy
from pathlib import Path

import pytest
from viewer.browser import find_chromium

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.browser
def test_measures_what_it_promises(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if find_chromium() is None:
        pytest.skip("no chromium, chromium-browser or google-chrome in PATH")
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = runpy.run_path(str(BENCHMARKS / "player.py"))
    benchmark["main"](quick=True, json=tmp_path / "results.json", screenshot=tmp_path / "page.png")
    results = {
        entry["name"]: entry for entry in json.loads((tmp_path / "results.json").read_text())["results"]
    }
    goals = {name: entry["goal"] for name, entry in results.items() if entry["goal"] is not None}
    assert goals == {
        "file": 25.0,
        "export": 2.0,
        "load, to the first picture": 3.0,
        "worst picture against render()": 30.0,
    }
    assert results["worst picture against render()"]["value"] > 40
    assert 0.05 < results["file"]["value"] < 1
    assert (tmp_path / "page.png").stat().st_size > 1000


def test_scenes_are_as_described(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    make = runpy.run_path(str(BENCHMARKS / "player.py"))["independent_motion"]
    smooth, jumps = make(101), make(101, jumps=True, degree=3)
    assert smooth.num_times == jumps.num_times == 25 and jumps.canonical.sh_degree == 3
    for field in (smooth, jumps):
        field.validate()
        assert (field.delta_means.diff(dim=0).norm(dim=-1).mean(0) > 0.01).all()  # all of them move
    bends = [field.delta_means.diff(n=2, dim=0).abs().mean() for field in (smooth, jumps)]
    assert bends[0] < 0.25 * bends[1]
