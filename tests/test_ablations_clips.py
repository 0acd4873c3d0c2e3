"""The benchmarks of joint training and of clips of the ablations: their tables, with numbers made up."""

import json
import math
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diff4splat import Diff4SplatPipeline
from diff4splat.evaluation.extractors import ExtractorSpec
from diff4splat.evaluation.metrics import METRICS
from diff4splat.evaluation.protocol import Evaluation, Score, SetScore
from diff4splat.evaluation.reports import PUBLISHED_TABLES
from diff4splat.pipelines import DecodedReconstructor

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCENES, PATHS = 7, 3
CLIPS = SCENES * PATHS


@pytest.fixture
def clips(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of the script."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in [name for name in sys.modules if name.startswith("ablations")]:
        monkeypatch.delitem(sys.modules, name)
    return runpy.run_path(str(BENCHMARKS / "ablations_clips.py"))


@pytest.fixture
def joint(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in [name for name in sys.modules if name.startswith("ablations")]:
        monkeypatch.delitem(sys.modules, name)
    return runpy.run_path(str(BENCHMARKS / "ablations_joint.py"))


def run_of(clips: dict[str, Any], variant: str, seed: int = 0, **changes: float) -> Any:
    """A run whose numbers have a strong effect of the scene, and differ from others by what is asked."""
    names = [metric.key for metric in METRICS.values() if metric.level == "clip"]
    draws = np.random.default_rng(sum(map(ord, variant)) + seed)
    groups = [index // PATHS for index in range(CLIPS)]
    scenes = {}
    for index, name in enumerate(names):
        effect = 5 + 3 * np.random.default_rng(index).standard_normal(SCENES)[groups]
        noise = 0.01 * draws.standard_normal(CLIPS)
        scenes[name] = (effect + noise + changes.get(name, 0.0)).tolist()
    whole = {"fvd": 100.0 + changes.get("fvd", 0.0), "kvd": 1.0 + changes.get("kvd", 0.0)}
    return clips["Run"](variant, seed, 1.0, scenes, groups=groups, whole=whole)


def table_named(clips: dict[str, Any], word: str) -> Any:
    return next(table for table in clips["TABLES"] if word in table.title)


def test_clips_of_a_scene_count_together(clips: dict[str, Any]) -> None:
    """Pitfall: with clips taken as independent, an interval would be too narrow."""
    columns = clips["clip_columns"](["psnr"])
    table = sys.modules["ablations_table"]
    full, other = run_of(clips, "full"), run_of(clips, "motion", psnr=-0.5)
    found = table.difference(columns["psnr"], [other], [full]).estimate
    apart = np.subtract(other.scenes["psnr"], full.scenes["psnr"]).reshape(SCENES, PATHS).mean(1)
    assert found.count == SCENES and found.value == pytest.approx(apart.mean())
    assert found.low <= found.value <= found.high < 0


def test_clips_without_a_number_leave_the_pair_not_the_scene(clips: dict[str, Any]) -> None:
    table, column = sys.modules["ablations_table"], clips["clip_columns"](["psnr"])["psnr"]
    full, other = run_of(clips, "full"), run_of(clips, "motion", psnr=-0.5)
    full.scenes["psnr"][1] = None
    for index in range(PATHS):  # the second scene is lost as a whole
        other.scenes["psnr"][PATHS + index] = None
    found = table.difference(column, [other], [full]).estimate
    rows = [np.array([math.nan if v is None else v for v in run.scenes["psnr"]]) for run in (other, full)]
    apart = (rows[0] - rows[1]).reshape(SCENES, PATHS)
    expected = np.delete(apart, 1, axis=0)
    assert found.count == SCENES - 1
    assert found.value == pytest.approx(np.nanmean(expected, axis=1).mean())
    quotient = table.ratio(column, [other], [full])
    both = ~np.isnan(rows[0] + rows[1])
    means = [
        np.nanmean(np.delete(np.where(both, row, np.nan).reshape(SCENES, PATHS), 1, axis=0), axis=1)
        for row in rows
    ]
    assert quotient.value == pytest.approx(means[0].mean() / means[1].mean())
    assert quotient.low < quotient.value < quotient.high < 1


def test_runs_of_other_clips_are_refused(clips: dict[str, Any]) -> None:
    table, column = sys.modules["ablations_table"], clips["clip_columns"](["psnr"])["psnr"]
    full, other = run_of(clips, "full"), run_of(clips, "motion")
    with pytest.raises(ValueError, match="same clips"):
        table.difference(column, [replace(other, groups=other.groups[::-1])], [full])
    with pytest.raises(ValueError, match="same clips"):
        table.difference(column, [replace(other, clips="another manifest")], [full])
    with pytest.raises(ValueError, match="measured with the same, got SIFT and a network"):
        table.difference(
            column,
            [replace(other, measured_with={"psnr": "SIFT"})],
            [replace(full, measured_with={"psnr": "a network"})],
        )
    with pytest.raises(ValueError, match="same seeds"):
        table.ratio(column, [run_of(clips, "motion", 1)], [full])


def test_distance_of_sets_has_no_interval(clips: dict[str, Any]) -> None:
    """Pitfall: a bootstrap interval of FVD would not even hold its own estimate."""
    table, column = sys.modules["ablations_table"], clips["clip_columns"](["fvd"])["fvd"]
    full = [run_of(clips, "full", seed) for seed in (0, 1)]
    other = [run_of(clips, "motion", seed, fvd=10.0 * (1 + seed)) for seed in (0, 1)]
    found = table.difference(column, other, full)
    assert found.estimate.value == pytest.approx(15) and math.isnan(found.estimate.low)
    assert found.by_seed == pytest.approx((10, 20))
    assert not found.worse and not found.better and str(found) == "+15.0"
    assert table.value(column, other) == pytest.approx(115)
    assert table.verdict(["fvd"], {"fvd": found}) == "without an interval: FVD +15.0"
    lost = replace(other[0], whole={"fvd": None})
    missing = table.difference(column, [lost], full[:1])
    assert str(missing) == "-" and table.verdict(["fvd"], {"fvd": missing}) == "not measured: FVD"


def test_number_without_a_direction_is_neither_worse_nor_better(clips: dict[str, Any]) -> None:
    table, column = (
        sys.modules["ablations_table"],
        clips["clip_columns"](["dynamic_degree"])["dynamic_degree"],
    )
    for change in (-4.0, 4.0):
        found = table.difference(
            column, [run_of(clips, "motion", dynamic_degree=change)], [run_of(clips, "full")]
        )
        assert found.estimate.low * found.estimate.high > 0  # sure, but of what?
        assert not found.worse and not found.better


def test_table_4_has_the_rows_of_the_paper_beside(clips: dict[str, Any]) -> None:
    table = table_named(clips, "Table 4")
    runs = [run_of(clips, "full"), run_of(clips, "motion", psnr=-2.0, matches_first=-3.0, fvd=50.0)]
    for run in runs:
        del run.scenes["qa_quality"]  # nobody measured it
    text = clips["table_text"](table, runs)
    for printed in ("351.382", "210.153", "4821.56", "5114.22", "82.45", "89.89", "not comparable"):
        assert printed in text
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    heads = [cell.strip() for cell in blocks[0].splitlines()[0].strip("|").split("|")]
    cells = dict(zip(heads, blocks[0].splitlines()[-1].strip("|").split("|"), strict=True))
    assert cells["variant"].strip() == "full" and cells["FVD"].strip() == "100.0"
    assert cells["QA-Quality"].strip() == "-"
    verdict = blocks[1].splitlines()[-1].split("|")[-2]
    assert "worse as in the paper: Avg. matches" in verdict
    assert "not measured: QA-Quality" in verdict and "without an interval: FVD +50.0" in verdict


def test_joint_table_compares_with_joint_training(clips: dict[str, Any]) -> None:
    table = table_named(clips, "Joint")
    assert list(table.rows) == ["two-stage", "full", "separate", "joint"]
    runs = [run_of(clips, "joint"), run_of(clips, "two-stage", subject_consistency=-1.0)]
    text = clips["table_text"](table, runs)
    assert 'Less "joint training"' in text and "worse as in the paper: Subject consistency" in text
    for printed in ("245.3", "231.5", "210.2", "0.82", "0.90", "2.32", "3.10", "3.42"):
        assert f"| {printed} |" in text
    assert clips["table_text"](table, runs[:1]) == ""  # nothing to compare
    assert "has not run" in clips["table_text"](table, runs[1:])


def test_pose_errors_are_told_as_a_ratio(clips: dict[str, Any]) -> None:
    full = run_of(clips, "full")
    doubled = {name: [2 * v for v in values] for name, values in full.scenes.items()}
    text = clips["table_text"](
        table_named(clips, "Pose"), [full, replace(full, variant="poses", scenes=doubled)]
    )
    assert "RPE translation, mean, 12-number poses over Plücker rays: 2.000 [2.000, 2.000]" in text
    assert "1.05 to 1.11" in text


def test_tables_fit_the_models_and_metrics(clips: dict[str, Any]) -> None:
    for table in clips["TABLES"]:
        assert set(table.rows) <= set(clips["MODELS"]) and table.base in table.rows
        assert set(table.columns) <= set(METRICS)
        assert set(table.claims) <= set(table.rows) - {table.base}
        assert {key for claims in table.claims.values() for key in claims} <= set(table.columns)
        assert set(table.ratios) <= set(table.columns)
        assert all(len(cells) == len(table.columns) for cells in table.printed.values())
        assert bool(table.printed) != bool(table.statement)


def test_the_paper_s_rows_are_those_of_the_reports(clips: dict[str, Any]) -> None:
    published = {table.name: table for table in PUBLISHED_TABLES}
    for word, name in (("Motion loss", "Table 4"), ("Joint against", "Supplement, Table 3")):
        table = table_named(clips, word)
        found = [
            {key: cell for key, cell in zip(table.columns, cells, strict=True) if cell}
            for cells in table.printed.values()
        ]
        assert found == [dict(row.values) for row in published[name].rows]
    shown = {key for table in clips["TABLES"] for key in table.rows}
    assert shown == set(clips["MODELS"])


def made_up() -> Evaluation:
    spec = ExtractorSpec("matcher", "", "8 bits", "none", trained=False)
    rows = []
    for scene in ("b", "a"):
        for path in ("forward", "spiral"):
            clip = f"{scene}/{path}"
            rows.append(Score(clip, scene, path, "psnr", {"b": 1.0, "a": 3.0}[scene] + len(path)))
            lost = clip == "a/spiral"
            value, why = (math.nan, "too dark") if lost else (40.0, "")
            rows.append(Score(clip, scene, path, "matches_first", value, spec.key, why))
    sets = (SetScore("fvd", 12.5, 4, 4), SetScore("kvd", math.nan, 4, 4, problem="too few"))
    names = tuple(dict.fromkeys(row.clip for row in rows))
    return Evaluation("made up", "the manifest", names, tuple(rows), sets, {spec.key: spec})


def test_numbers_of_an_evaluation(clips: dict[str, Any]) -> None:
    found = clips["numbers_of"](made_up())
    assert found["groups"] == [0, 0, 1, 1]
    assert found["scenes"] == {"matches_first": [40.0, 40.0, 40.0, None], "psnr": [8.0, 7.0, 10.0, 9.0]}
    assert found["whole"] == {"fvd": 12.5, "kvd": None}
    assert found["clips"] == "the manifest"
    assert found["measured_with"] == {"matches_first": "matcher; 8 bits; weights none"}
    assert found["missing"] == {
        "matches_first": "1 of 4 missing: too dark", "kvd": "1 of 1 missing: too few",
    }  # fmt: skip
    run = clips["Run"]("full", 0, 1.0, **found)
    text = clips["notes_text"]([run])
    assert "- Avg. matches: matcher" in text and "- KVD, full, seed 0: 1 of 1 missing: too few" in text
    assert json.loads(json.dumps(found)) == found


def test_clips_without_rows_are_an_error(clips: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"none for c/spiral"):
        clips["numbers_of"](replace(made_up(), clips=(*made_up().clips, "c/spiral")))


def test_clips_are_scored(clips: dict[str, Any], tmp_path: Path) -> None:
    script = clips["start"].__globals__
    pipe = Diff4SplatPipeline.from_pretrained(script["start"](tmp_path / "m", script["VARIANTS"]["full"], 0))
    pipe.height = pipe.width = 32
    asked = clips["Asked"](2, ("forward", "spiral"), size=48, num_frames=5, num_steps=1)
    pipe.num_frames = asked.num_frames
    scene, again, stages = (
        clips["score_variant"](
            pipe, tmp_path / "clips" / f"{number}-{shown}", asked, shown=shown, method=shown
        )
        for number, shown in enumerate(("scene", "scene", "two-stage"))
    )
    names = ("scene-00000/spiral", "scene-00000/forward", "scene-00001/spiral", "scene-00001/forward")
    assert scene.clips == names and scene.method == "scene"
    assert all((tmp_path / "clips" / "2-two-stage" / name).is_dir() for name in names)
    values = [
        [score.value for score in one.scores if score.metric == "psnr"] for one in (scene, again, stages)
    ]
    assert values[0] == values[1] and len(values[0]) == 4
    assert all(a != b for a, b in zip(values[0], values[2], strict=True))
    assert all(10 < value < 40 for value in values[0])
    seconds = [score.value for score in scene.scores if score.metric == "reconstruction_seconds"]
    assert len(seconds) == 4 and min(seconds) > 0
    found = {score.metric: score.value for score in scene.set_scores}
    assert found["fvd"] > 0 and "kvd" in found
    measured = {score.metric for score in scene.scores}
    assert {"matches_first", "subject_consistency", "background_consistency", "registered"} <= measured


def test_models_that_are_not_there_are_named(clips: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"ablations_joint.py --rows frozen"):
        clips["open_variant"]("full", 0, tmp_path)
    (tmp_path / "frozen-0" / "model").mkdir(parents=True)
    Diff4SplatPipeline.from_pretrained("compact").save_pretrained(tmp_path / "frozen-0" / "model")
    with pytest.raises(SystemExit, match=r"ablations.py --variants motion"):
        clips["open_variant"]("motion", 0, tmp_path)


def test_a_variant_is_put_together_of_two_runs(clips: dict[str, Any], tmp_path: Path) -> None:
    script = clips["start"].__globals__
    for key in ("frozen", "full"):
        script["start"](
            tmp_path / f"{key}-3" / "model", script["VARIANTS"]["full"], {"frozen": 1, "full": 2}[key]
        )
    pipe = clips["open_variant"]("full", 3, tmp_path)
    own = Diff4SplatPipeline.from_pretrained(tmp_path / "full-3" / "model")
    other = Diff4SplatPipeline.from_pretrained(tmp_path / "frozen-3" / "model")
    weights = [p.ldrm.gaussian_head.output.weight for p in (pipe, own, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_rows_of_joint_training_differ_in_what_is_trained(joint: dict[str, Any], tmp_path: Path) -> None:
    pairs, plan = joint["PAIRS"], joint["Plan"]()
    recipes = {
        key: joint["recipe"](pair, 5, joint["JointPlan"](), plan, tmp_path)
        for key, pair in pairs.items()
        if pair.train
    }
    stages = {key: recipe.stages[0] for key, recipe in recipes.items()}
    assert {key: stage.train for key, stage in stages.items()} == {
        "joint": ("dit", "ldrm"), "frozen": ("dit",), "separate": ("dit", "ldrm"),
    }  # fmt: skip
    assert {key: stage.latents for key, stage in stages.items()} == {
        "joint": "denoised", "frozen": "encoded", "separate": "encoded",
    }  # fmt: skip
    assert set(stages["frozen"].losses) == {"flow_matching"}
    assert stages["joint"].losses == stages["separate"].losses
    assert {"photometric", "pearson", "total_variation", "point_motion"} <= set(stages["joint"].losses)
    equal = {(s.steps, s.batch, s.size, s.learning_rate, s.data) for s in stages.values()}
    assert len(equal) == 1 and {recipe.seed for recipe in recipes.values()} == {5}
    # the clips are those of the last stage of the full recipe, which are on the disk
    script = joint["start"].__globals__
    full = script["recipe"](script["VARIANTS"]["full"], 5, plan, tmp_path).stages[-1]
    assert stages["joint"].data == full.data and stages["joint"].size == full.size
    assert pairs["two-stage"].model == "frozen" and pairs["two-stage"].through_pixels


def test_full_recipe_must_be_there(joint: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"ablations.py --variants full"):
        joint["main"](output=tmp_path, seeds=(0,))
    with pytest.raises(SystemExit, match="got 'nothing'"):
        joint["main"](rows=("nothing",))


def test_two_stages_go_through_pixels(joint: dict[str, Any]) -> None:
    """What is decoded and encoded again is not what it was; the photograph stands in for frame 0."""
    pipe = Diff4SplatPipeline.from_pretrained("compact")
    generator = torch.Generator().manual_seed(0)
    seen = []

    class Reads:
        def __call__(self, latents: torch.Tensor, cameras: Any, **options: Any) -> str:
            seen.append((latents, options))
            return "field"

    backbone = pipe.backbone
    image = torch.rand(1, 3, 32, 32, generator=generator)
    with torch.no_grad():
        latents = backbone.encode(torch.rand(1, 5, 3, 32, 32, generator=generator))
        made = DecodedReconstructor(backbone, joint["EncodedAgain"](backbone, Reads()))
        assert made(latents, "cameras", image=image) == "field"
        video = backbone.decode(latents)
        video[:, 0] = image[0]
        torch.testing.assert_close(seen[0][0], backbone.encode(video))
    assert torch.equal(seen[0][1]["image"], image)
    assert not torch.allclose(seen[0][0], latents, atol=0.1)


@pytest.mark.parametrize(("name", "words"), [("joint", "joint training"), ("clips", "clips")])
def test_page_has_the_tables_of_recorded_runs_and_no_others(
    name: str, words: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    script = request.getfixturevalue(name)
    recorded = BENCHMARKS / "results" / f"ablations_{name}.json"
    if recorded.is_file():
        script["main"](results=recorded)
    page = (BENCHMARKS.parent / "docs" / "ablations.md").read_text(encoding="utf-8")
    begin, end = (f"<!-- table of {words}: {word} -->" for word in ("begin", "end"))
    shown = page[page.index(begin) + len(begin) : page.index(end)]
    assert shown.strip() == capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", ["ablations_joint", "ablations_clips"])
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [("ablations_joint", "two stages, through pixels"), ("ablations_clips", "Motion loss (Table 4)")],
)
def test_quick(name: str, words: str) -> None:
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--quick", "--threads", "1"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert words in shown and "the numbers mean nothing" in shown
