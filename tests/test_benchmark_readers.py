"""The benchmark of readers runs, in small, and decodes what readers need; times are not looked at."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from data.layouts import LAYOUTS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "readers.py"))


def test_every_dataset_is_measured(benchmark: dict[str, Any], tmp_path: Path) -> None:
    results = benchmark["main"](quick=True, json=tmp_path / "results.json")
    names = [(result.part, result.name) for result in results]
    assert names == [(key, name) for key in LAYOUTS for name in ("read", "bare", "share")]
    for read, bare, share in zip(results[::3], results[1::3], results[2::3], strict=True):
        assert share.value == pytest.approx(read.value / bare.value) and share.goal == 0.8
    with pytest.raises(SystemExit, match="datasets must be among .*, got cifar"):
        benchmark["main"](("cifar",))


@pytest.mark.parametrize("key", LAYOUTS)
def test_bare_decoding_takes_every_frame(benchmark: dict[str, Any], key: str, tmp_path: Path) -> None:
    """A picture of each frame, or one video."""
    scene = benchmark["lifelike"](benchmark["make_scenes"](key, 3, 10, 14)[0], 20)
    assert scene.points.shape[1] == scene.visible.shape[1] == 20
    folder, _ = LAYOUTS[key](tmp_path, scene)
    counts = [len(list(folder.glob(pattern))) for pattern in benchmark["FILES"][key]]
    assert all(counts), "every pattern finds files"
    assert counts[0] in (1, 3)
