"""The benchmark of streams runs, in small, and reports what it says it does; times are not looked at."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_it_measures(
    without_shape_checker: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = runpy.run_path(str(BENCHMARKS / "streaming.py"))
    options = script["Options"](quick=True, repeats=1, folder=tmp_path, json=tmp_path / "results.json")
    results = script["main"](options)
    assert [(result.part, result.name) for result in results] == [
        ("encode", "clips per second"),
        ("encode", "size of a clip"),
        ("encode", "share of the raw size"),
        *(
            (part, name)
            for part in ("disk", "in memory")
            for name in (
                "plain",
                "shuffled",
                "in order, share of the plain rate",
                "shuffled, share of the plain rate",
            )
        ),
        ("decode", "clips per second, all frames, 0 workers"),
        ("decode", "clips per second, all frames, 2 workers"),
        ("decode", "clips per second, 4 frames, 0 workers"),
        ("decode", "clips per second, 4 frames, 2 workers"),
    ]
    assert all(result.value > 0 for result in results)
    assert [result.name for result in results if result.goal] == ["shuffled, share of the plain rate"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert [result["value"] for result in written["results"]] == [result.value for result in results]
    assert "These are tiny sizes" in capsys.readouterr().out
