"""The benchmark of rendering runs, in small, and reports what it says it does; times are not looked at."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Names of the results that are held to a goal, in the quick run.
HELD = {
    "Table": [
        f"scene {scene}, 24 x 24, {what}, speedup"
        for scene in "abc"
        for what in ("forward", "forward+backward")
    ],
    "Video": ["forward, speedup", "forward+backward, speedup"],
    "Growth": [
        f"{what} over {axis}, exponent"
        for axis in ("Gaussians", "pixels")
        for what in ("forward", "forward+backward")
    ],
}
MEASURED = {"Table": 12, "Interactive": 2, "Video": 6, "Growth": 16}


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


@pytest.mark.slow
def test_first_render_of_a_new_process(benchmark: dict[str, Any]) -> None:
    results = benchmark["main"](benchmark["Start"](), quick=True)
    assert [(result.name, result.unit) for result in results] == [
        ("forward, cold", "s"),
        ("forward, warm", "s"),
    ]
    cold, warm = (result.value for result in results)
    assert cold > warm


def test_picture_of_growth(benchmark: dict[str, Any], tmp_path: Path) -> None:
    benchmark["main"](benchmark["Growth"](), quick=True, plot=tmp_path / "growth.svg")
    assert "<svg" in (tmp_path / "growth.svg").read_text()
    with pytest.raises(SystemExit, match="--plot"):
        benchmark["main"](benchmark["Table"](), quick=True, plot=tmp_path / "growth.svg")


def test_exponent_of_a_known_cost(benchmark: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    growth = benchmark["Growth"](counts=(49, 100, 400))
    names = type(growth).curves.__globals__
    monkeypatch.setitem(names, "fastest", lambda calls, repeats: [7 * 49**1.5, 7 * 100**1.5, 7 * 400**1.5])
    results = growth.curves("over Gaussians", [(count, 8) for count in growth.counts])
    slopes = [result for result in results if result.size is None]
    assert [slope.value for slope in slopes] == pytest.approx(4 * [1.5])
    assert [slope.met for slope in slopes] == [False, None, False, None]


def test_goals(benchmark: dict[str, Any]) -> None:
    result = benchmark["Result"]
    assert result("part", "name", 5.0, "ms", 6.0).met
    assert not result("part", "name", 6.5, "ms", 6.0).met
    assert not result("part", "name", 14.0, "x", 15.0, at_least=True).met
    assert result("part", "name", 14.0, "x").met is None


def test_refinement_measures(
    benchmark: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refinement = runpy.run_path(str(BENCHMARKS / "refinement.py"))
    results = refinement["main"](quick=True, json=tmp_path / "results.json")
    assert [(result.part, result.name) for result in results] == [
        (view, name)
        for names in (
            ["scratch over feed-forward"],
            ["steps to what scratch ends with", "steps to feed-forward + 2 dB"],
        )
        for view in ("novel", "path")
        for name in names
    ]
    assert "commit " in capsys.readouterr().out
    assert len(json.loads((tmp_path / "results.json").read_text())["results"]) == len(results)


def test_refinement_finds_the_least_steps(benchmark: dict[str, Any]) -> None:
    names = runpy.run_path(str(BENCHMARKS / "refinement.py"))
    fed = names["Curve"]([0.1, 1.0, 3.0], novel=[20.0, 21.0, 23.0], path=[25.0, 26.0, 27.0])
    scratch = names["Curve"]([0.1, 2.0, 6.0], novel=[12.0, 20.0, 20.5], path=[10.0, 20.0, 24.0])
    assert fed.first("novel", 20.5) == 1 and scratch.first("path", 25.0) is None
    novel, path = names["speedups"]([0.5], [fed], [scratch])
    assert novel.value == pytest.approx(2.0 / 0.5)  # the second entry is the first with 20 dB
    assert path.value == pytest.approx(6.0 / 0.5)  # never: the most steps count
    results = names["shares_of_steps"]([fed], [scratch], (0, 10, 30))
    assert [result.value for result in results] == pytest.approx([10 / 30, 30 / 30, 0 / 30, 30 / 30])


def test_assets_are_measured(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    main = runpy.run_path(str(BENCHMARKS / "assets.py"))["main"]
    results = main(quick=True, folder=tmp_path, json=tmp_path / "results.json")
    found = {(result.part, result.name): result for result in results}
    assert {part for part, _ in found} == {
        *("speed", "photograph, 5 times", "photograph, 9 times", "procedural, 9 times")
    }
    assert len(found) == 8 + 3 * 5 and all(result.value > 0 for result in results)
    for (part, name), result in found.items():
        if part != "speed" and name != "exact" and name != "compact":
            assert result.met, (part, name)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_edits_are_measured(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = runpy.run_path(str(BENCHMARKS / "editing.py"))
    results = names["main"](quick=True, json=tmp_path / "results.json")
    assert [result.part for result in results] == 10 * ["seconds"] + 2 * ["debris"] + 4 * ["novel"]
    found = {(result.part, result.name): result.value for result in results}
    assert all(value > 0 for (part, _), value in found.items() if part == "seconds")
    assert all(0 <= value <= 100 for (part, _), value in found.items() if part == "debris")
    # 300 Gaussians before the lens spoil a picture of 32 x 32, and removing some of them mends it.
    spoilt, mended = (found["novel", f"change by debris{end}"] for end in ("", ", floaters removed"))
    assert spoilt < mended < 0 < found["novel", "the model's own"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert [result["value"] for result in written["results"]] == [result.value for result in results]


def test_debris_lies_before_the_surface_in_the_size_of_the_scene(
    without_shape_checker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = runpy.run_path(str(BENCHMARKS / "editing.py"))
    field = names["random_field"](499, 3)
    dirty = names["with_debris"](field, 0)
    assert dirty.num_gaussians == 499 + 100 + 40 * 5
    assert dirty.canonical.means[:499].equal(field.canonical.means)
    means, scales = dirty.canonical.means[499:], dirty.canonical.scales[499:]
    assert scales.unique().tolist() == [field.canonical.scales.median().item()]
    assert means[:, 2].min() > 0 and means[:, 2].max() < field.canonical.means[:, 2].max()
    assert not dirty.delta_means[:, 499:].any()
    groups = means[100:].reshape(40, 5, 3)
    assert (groups.amax(dim=1) - groups.amin(dim=1)).max() <= 4 * scales[0, 0] * 1.001


@pytest.mark.slow
def test_speed_switches(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    main = runpy.run_path(str(BENCHMARKS / "speed_switches.py"))["main"]
    results = main(quick=True, device="cpu", rounds=1, json=tmp_path / "results.json")
    found = {(result.part, result.name): result.value for result in results}
    assert found["plain", "passes"] < found["plain", "passes of a constant scale"] == 12
    for name in ("mag", "taylor"):
        assert found[name, "blocks computed, share"] < 1 and found[name, "error"] > 0
    for name in ("offload by block", "offload by layer"):
        assert found[name, "error"] == 0
    assert found["float8", "memory over plain"] < 0.6
