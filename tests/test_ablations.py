"""The benchmarks of ablations and of the Gaussian budget: what they make of numbers, with numbers made up."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.training import RECIPES

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCENES = 13


@pytest.fixture
def names(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of the script, and of the file beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    table = runpy.run_path(str(BENCHMARKS / "ablations_table.py"))
    script = runpy.run_path(str(BENCHMARKS / "ablations.py"))
    table["script"] = script
    columns = table["COLUMNS"]
    for name in ("difference", "value"):
        table[name] = partial(by_key, columns, table[name])
    table["Run"] = script["Run"]  # the class that the script knows
    return table


def by_key(columns: dict[str, Any], function: Callable[..., Any], key: str, *rest: Any) -> Any:
    """A function of a column, called with its key."""
    return function(columns[key], *rest)


@pytest.fixture
def budget(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "gaussian_budget.py"))


def numbers(seed: int, **changes: float) -> dict[str, list[float | None]]:
    """Numbers per scene that differ from those without changes by what is asked, on average."""
    draws = np.random.default_rng(seed)
    scale = {"depth_pearson": 0.1, "depth_abs_rel": 0.1, "motion_error": 0.2, "zero_motion_error": 0.5}
    found: dict[str, list[float | None]] = {}
    for name in (
        "novel_psnr", "moving_psnr", "depth_pearson", "depth_abs_rel", "motion_error", "zero_motion_error"
    ):  # fmt: skip
        base = np.random.default_rng(0).uniform(0.5, 1, SCENES) * scale.get(name, 20.0)
        noise = 0 if name == "zero_motion_error" else 0.01 * scale.get(name, 20.0)
        values = base + changes.get(name, 0) + noise * draws.standard_normal(SCENES)
        found[name] = values.tolist()
    for name in ("moving_psnr", "motion_error", "zero_motion_error"):
        found[name][4] = None  # a scene where nothing moves
    return found


def runs_of(names: dict[str, Any], variant: str, seeds: tuple[int, ...] = (0, 1), **changes: float) -> list:
    offset = sum(map(ord, variant))
    return [names["Run"](variant, s, 7.0, numbers(100 * offset + s, **changes)) for s in seeds]


def column(runs: list, name: str) -> np.ndarray:
    rows = [[np.nan if v is None else v for v in run.scenes[name]] for run in runs]
    return np.asarray(rows).mean(0)


def test_differences_are_paired(names: dict[str, Any]) -> None:
    full, other = runs_of(names, "full"), runs_of(names, "motion", novel_psnr=-0.7, motion_error=0.05)
    found = names["difference"]("novel_psnr", other, full)
    assert found.estimate.value == pytest.approx(
        np.mean(column(other, "novel_psnr") - column(full, "novel_psnr"))
    )
    assert found.estimate.low < found.estimate.value < found.estimate.high < 0
    assert found.by_seed == pytest.approx(
        [np.mean(column([a], "novel_psnr") - column([b], "novel_psnr"))
         for a, b in zip(other, full, strict=True)]
    )  # fmt: skip
    found = names["difference"]("motion_ratio", other, full)
    still = np.nansum(column(full, "zero_motion_error"))
    ratios = [np.nansum(column(runs, "motion_error")) / still for runs in (other, full)]
    assert found.estimate.value == pytest.approx(ratios[0] - ratios[1])
    assert found.estimate.count == SCENES - 1
    assert names["value"]("motion_ratio", other) == pytest.approx(ratios[0])


def test_same_offset_in_every_scene_is_certain(names: dict[str, Any]) -> None:
    full = runs_of(names, "full")
    other = [
        replace(one, scenes={**one.scenes, "novel_psnr": [v + 0.25 for v in one.scenes["novel_psnr"]]})
        for one in full
    ]
    found = names["difference"]("novel_psnr", other, full).estimate
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_seeds_must_match(names: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="same seeds"):
        names["difference"]("novel_psnr", runs_of(names, "poses", (0,)), runs_of(names, "full"))


@pytest.mark.parametrize(
    ("key", "value", "worse"),
    [
        ("novel_psnr", -1.0, True), ("novel_psnr", 1.0, False), ("depth_abs_rel", 0.1, True),
        ("depth_abs_rel", -0.1, False), ("depth_pearson", -0.1, True), ("motion_ratio", 0.1, True),
    ],
)  # fmt: skip
def test_worse_and_better(names: dict[str, Any], key: str, value: float, worse: bool) -> None:
    estimate = names["Estimate"](value, value - 0.05, value + 0.05, 5)
    sure = names["Difference"](names["COLUMNS"][key], estimate, (value, value))
    assert (sure.worse, sure.better) == (worse, not worse)
    wide = replace(sure, estimate=names["Estimate"](value, value - 5, value + 5, 5))
    one_seed_against = replace(sure, by_seed=(value, -0.01 * value))
    for unsure in (wide, one_seed_against):
        assert not unsure.worse and not unsure.better


def test_verdict_follows_the_numbers(names: dict[str, Any]) -> None:
    def found(key: str, value: float, width: float) -> Any:
        return names["Difference"](
            names["COLUMNS"][key], names["Estimate"](value, value - width, value + width, 9), (value,)
        )

    differences = {
        "novel_psnr": found("novel_psnr", -0.5, 0.1),
        "moving_psnr": found("moving_psnr", -0.5, 0.7),
        "depth_abs_rel": found("depth_abs_rel", -0.05, 0.01),
    }
    verdict = names["verdict"]
    assert verdict(["novel_psnr"], differences) == "worse as in the paper: novel views"
    assert verdict(["moving_psnr"], differences) == "not clearly worse: moving regions -0.50 [-1.20, +0.20]"
    assert verdict(list(differences), differences) == (
        "worse as in the paper: novel views; not clearly worse: moving regions -0.50 [-1.20, +0.20]; "
        "better instead: depth AbsRel -0.050 [-0.060, -0.040]"
    )


def test_tables(names: dict[str, Any]) -> None:
    runs = runs_of(names, "full") + runs_of(names, "motion", (1,), motion_error=0.3, moving_psnr=-4.0)
    titles = {"full": "full", "motion": "without motion losses", "poses": "12-number poses"}
    claims = {"full": (), "motion": ("motion_ratio", "moving_psnr"), "poses": ("novel_psnr",)}
    text = names["tables"](runs, titles, claims)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows if "variant" not in row and "---" not in row] == [
        "full", "without motion losses", "without motion losses", "without motion losses",
    ]  # fmt: skip
    tables = text.split("\n\n")[1::2]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "worse as in the paper: motion error over none, moving regions" in tables[1]
    # the full recipe's seed 0 is no part of what is compared with a variant that has seed 1 alone
    apart = names["difference"]("novel_psnr", runs[2:], runs[1:2])
    assert str(apart) in tables[1]
    assert f"mean over {SCENES} held-out scenes" in text.lower()


def test_variants_are_what_they_are_called(names: dict[str, Any], tmp_path: Path) -> None:
    script = names["script"]
    plan, variants = script["Plan"](), script["VARIANTS"]
    recipes = {key: script["recipe"](one, 3, plan, tmp_path) for key, one in variants.items()}
    full = recipes["full"]
    assert [stage.name for stage in full.stages] == [s.name for s in RECIPES["paper"].stages]
    moving = full.stages[-1].losses
    assert {"photometric", "pearson", "total_variation", "point_motion"} <= set(moving)
    for recipe in recipes.values():
        assert sum(stage.steps * stage.batch for stage in recipe.stages) == sum(plan.steps) * plan.batch
        assert sum(source.clips for s in recipe.stages for source in s.data) == sum(plan.steps) * plan.batch
        assert recipe.seed == 3 and recipe.stages[-1].size == plan.sizes[1]
    lost = {key: set(moving) - set(recipe.stages[-1].losses) for key, recipe in recipes.items()}
    motion = {"motion", "rotation", "point_motion"}
    geometry = {"depth", "depth_slope", "pearson", "total_variation"}
    assert lost == {
        "full": set(), "motion": motion, "deformation": motion, "stages": set(), "geometry": geometry,
        "poses": set(), "pearson_tv": {"depth", "depth_slope"},
        "pearson": {"depth", "depth_slope", "total_variation"},
    }  # fmt: skip
    frozen = {key: "ldrm.deformation_head" in recipe.stages[-1].freeze for key, recipe in recipes.items()}
    assert [key for key, still in frozen.items() if still] == ["deformation"]
    assert [key for key, recipe in recipes.items() if len(recipe.stages) == 1] == ["stages"]
    assert not recipes["stages"].stages[0].data[0].static
    assert recipes["poses"] == full  # they differ in the model that they start from
    assert variants["poses"].ldrm == {"pose_encoding": "vectors"}
    assert all(set(one.claims) <= set(names["COLUMNS"]) for one in variants.values())
    geometry = script["PAPER_GEOMETRY"]
    assert set(geometry) <= set(variants) and next(iter(geometry)) == "pearson_tv"
    assert all(set(claims) <= set(names["COLUMNS"]) for claims in geometry.values())


def test_start_is_the_bundled_autoencoder_and_a_fresh_small_model(
    names: dict[str, Any], tmp_path: Path
) -> None:
    from diff4splat import Diff4SplatPipeline

    script = names["script"]
    variant = script["VARIANTS"]["poses"]
    pipe, again, other = (
        Diff4SplatPipeline.from_pretrained(script["start"](tmp_path / str(i), variant, seed))
        for i, seed in enumerate((5, 5, 6))
    )
    bundled = Diff4SplatPipeline.from_pretrained("compact").backbone.vae.state_dict()
    vae = pipe.backbone.vae.state_dict()
    assert all(torch.equal(vae[name], value) for name, value in bundled.items())
    assert pipe.ldrm.config["pose_encoding"] == "vectors" and pipe.ldrm.config["dim"] == 128
    weights = [p.ldrm.gaussian_head.output.weight for p in (pipe, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_what_is_done_is_not_done_again(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, asked = names["script"], []

    def pretend(key: str, seed: int, *rest: Any) -> Any:
        if (key, seed) == ("poses", 1):
            raise KeyboardInterrupt
        asked.append((key, seed))
        return runs_of(names, key, (seed,))[0]

    inside = script["main"].__globals__
    monkeypatch.setitem(inside, "run", pretend)
    script["main"](output=tmp_path, seeds=(0,), variants=("full", "motion"))
    assert asked == [("full", 0), ("motion", 0)]
    with pytest.raises(KeyboardInterrupt):
        script["main"](output=tmp_path, variants=("full", "poses"))
    assert asked[2:] == [("poses", 0), ("full", 1)]
    path = tmp_path / "ablations.json"
    kept = [(run["variant"], run["seed"]) for run in json.loads(path.read_text())["runs"]]
    assert kept == asked
    capsys.readouterr()
    shown = script["main"](results=path)
    assert [(run.variant, run.seed) for run in shown] == asked and len(asked) == 4
    assert "12-number poses" in capsys.readouterr().out
    monkeypatch.setitem(inside, "Plan", lambda: replace(script["QUICK"], batch=7))
    with pytest.raises(SystemExit, match="choose another --output"):
        script["main"](output=tmp_path)


def test_page_has_the_tables_of_the_recorded_runs(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    names["script"]["main"](results=BENCHMARKS / "results" / "ablations.json")
    page = (BENCHMARKS.parent / "docs" / "ablations.md").read_text(encoding="utf-8")
    begin, end = (f"<!-- table of the ablations: {word} -->" for word in ("begin", "end"))
    shown = page[page.index(begin) + len(begin) : page.index(end)]
    assert shown.strip() == capsys.readouterr().out.strip()


def test_unknown_variants_are_refused(names: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="got 'nothing'"):
        names["script"]["main"](variants=("full", "nothing"))


@pytest.mark.parametrize("name", ["ablations", "gaussian_budget"])
def test_help(
    name: str,
    without_shape_checker: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert caught.value.code == 0 and "--quick" in capsys.readouterr().out


def points(budget: dict[str, Any]) -> list[Any]:
    """Two scenes; the second scene is 4 dB better throughout, and a larger budget 1 dB and 2 dB."""
    return [
        budget["Point"](
            budget=count, gaussians=count - 7, novel_psnr=20.0 + 4 * scene + gain, first_psnr=25.0 + 2 * gain,
            file_bytes=50 * count, field_bytes=400 * count, peak_bytes=float("nan"),
            reconstruct_seconds=1.0 + count / 10_000, render_seconds=0.001 * count / 1000,
        )
        for scene in (0, 1)
        for count, gain in ((1000, 0.0), (5000, 1.0), (10_000, 2.0))
    ]  # fmt: skip


def test_budget_table(budget: dict[str, Any]) -> None:
    lines = budget["table"](points(budget)).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 5
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[:2] == ["5,000", "4,993"]
    assert cells[2] == "23.00 [21.00, 25.00]"
    assert cells[4:] == ["0.25", "2.0", "nan", "1,500", "5.0"]


def test_budget_steps_are_paired(budget: dict[str, Any]) -> None:
    first, second = budget["steps_between"](points(budget)).splitlines()
    assert first.startswith("- From 1,000 to 5,000: novel views +1.00 dB [+1.00, +1.00]")
    assert "first frame +2.00 dB" in second and "field in memory +100 %" in second
    assert "reconstruct +33 %" in second and "render a frame +100 %" in second


def test_budget_picture(budget: dict[str, Any], tmp_path: Path) -> None:
    some = [replace(point, peak_bytes=3e6) for point in points(budget)]
    budget["draw"](some, tmp_path / "budget.svg", "made up")
    assert "<svg" in (tmp_path / "budget.svg").read_text()


def test_bytes_of_a_field(budget: dict[str, Any]) -> None:
    gaussians = Gaussians(
        torch.zeros(7, 3), torch.ones(7, 4), torch.ones(7, 3), torch.ones(7), torch.zeros(7, 1, 3)
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.linspace(0, 1, 5))
    assert budget["tensor_bytes"](field) == 4 * (7 * (3 + 4 + 3 + 1 + 3) + 5 + 5 * 7 * (3 + 4 + 3))
    assert budget["moment"](field).tolist() == pytest.approx([0.375])


@pytest.mark.slow
def test_budget_measures(tmp_path: Path) -> None:
    command = [
        sys.executable,
        BENCHMARKS / "gaussian_budget.py",
        "--quick",
        "--json",
        tmp_path / "results.json",
    ]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "commit " in shown
    points = json.loads((tmp_path / "results.json").read_text())["points"]
    assert [point["budget"] for point in points] == 2 * [500, 1500, 3000]
    assert all(0 < point["gaussians"] <= point["budget"] for point in points)
    small, _, large = points[:3]
    assert large["first_psnr"] > small["first_psnr"] and large["file_bytes"] > small["file_bytes"]
