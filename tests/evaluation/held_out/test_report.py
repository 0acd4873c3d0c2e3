"""Tables and files of a report, and when a goal is met."""

import csv
import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from diff4splat.evaluation.held_out.report import REPORT_FILES, Measure, Report, make_report

VALUES = {
    "quality": torch.tensor([26.0, 28.0, 30.0]),
    "error": torch.tensor([0.1, torch.nan, 0.3]),
    "still": torch.tensor([0.2, torch.nan, 0.2]),
    "obeys": torch.tensor([1.0, 0.0, 1.0]),
    "copied": torch.tensor([25.0, 25.0, 25.0]),
    "warped": torch.tensor([20.0, 27.0, 31.0]),
}
MEASURES = (
    Measure("quality", "image", "quality", "First part", "dB", goal=27.0),
    Measure("ratio", "error over still", "error", "First part", over="still", goal=0.9, better="lower"),
    Measure("improved", "better than still", "error", "Second part", over="still", below_one=True),
    Measure("obeys", "prompt obeyed", "obeys", "Second part", share=True, goal=0.5, chance=True),
    Measure(
        "gain",
        "over the best",
        "quality",
        "Second part",
        "dB",
        baselines=(("copied", "a copy"), ("warped", "a warp")),
        goal=2.0,
    ),
    Measure("absent", "not measured", "nothing", "Second part"),
    Measure("rivals", "not all measured", "quality", "Second part", baselines=(("nothing", "nothing"),)),
)


@pytest.fixture
def report() -> Report:
    picture = torch.arange(3 * 5 * 7).reshape(3, 5, 7) / 255
    return make_report(MEASURES, VALUES, seeds=[11, 13, 17], settings={"num_scenes": 3}, picture=picture)


def test_estimates_are_found_by_name(report) -> None:
    assert report["quality"].value == pytest.approx(28.0)
    assert report["ratio"].value == pytest.approx(1.0) and report["ratio"].count == 2
    assert report["improved"].value == 0.5
    assert report["obeys"].value == pytest.approx(2 / 3)
    with pytest.raises(KeyError, match="'absent' was not measured; there are quality, ratio"):
        report["absent"]


def test_goals(report) -> None:
    met = {row.measure.key: row.met for row in report.rows}
    # two of three is no better than guessing; 28 is exactly 2 over 26
    assert met == {"quality": True, "ratio": False, "improved": None, "obeys": False, "gain": True}
    assert not report.goals_met
    sure = make_report(MEASURES[3:4], {"obeys": torch.ones(11)}, seeds=range(11))
    assert sure.rows[0].met and sure.goals_met
    still = torch.tensor([0.5, 0.25, 1.0])
    equal = make_report([replace(MEASURES[1], goal=1.0)], {"error": still, "still": still}, seeds=[2, 3, 5])
    assert equal.rows[0].met, "a goal is reached by its own value, from above as from below"
    unknown = make_report(MEASURES[:1], {"quality": torch.tensor([torch.nan])}, seeds=[11])
    assert unknown.rows[0].met is None


def test_the_best_baseline_is_the_best_on_average_and_is_named(report) -> None:
    row = next(row for row in report.rows if row.measure.key == "gain")
    assert row.baseline == "a warp" and row.estimate.value == pytest.approx(2.0)
    assert row.cells()[0] == "over the best, a warp (dB)"
    measured = json.loads(report.to_json())["measures"]
    assert measured["gain"]["baseline"] == "a warp" and "baseline" not in measured["quality"]


def test_a_line_does_not_depend_on_the_others(report) -> None:
    alone = make_report(MEASURES[1:2], VALUES, seeds=[11, 13, 17])
    assert alone["ratio"] == report["ratio"]


def test_text(report) -> None:
    lines = report.to_text().splitlines()
    assert lines[0].split()[:2] == ["measure", "value"]
    assert lines[2] == "First part" and lines[5:7] == ["", "Second part"]
    assert lines[3].split() == "image (dB) 28.00 [26.00, 30.00] 3 >= 27.00 met".split()
    assert lines[8].endswith("> 0.50 (chance)  missed")


def test_files_hold_what_was_measured(report, tmp_path) -> None:
    files = report.save(tmp_path / "new" / "folder")
    assert [file.name for file in files] == list(REPORT_FILES)
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["11", "13", "17"]
    assert [row["error"] for row in rows] == [
        str(v) if not math.isnan(v) else "" for v in VALUES["error"].tolist()
    ]
    summary = json.loads(files[1].read_text())
    assert summary["settings"] == {"num_scenes": 3}
    assert summary["measures"]["quality"]["value"] == pytest.approx(28.0)
    assert summary["measures"]["quality"]["met"] is True
    markdown = files[2].read_text()
    assert "| image (dB) | 28.00 | [26.00, 30.00] | 3 | >= 27.00 | met |" in markdown
    assert Image.open(files[3]).size == (7, 5)


def test_numbers_that_do_not_exist_are_null_in_json() -> None:
    report = make_report(MEASURES[:1], {"quality": torch.tensor([28.0])}, seeds=[11])
    summary = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert summary["measures"]["quality"]["low"] is None


def test_no_picture_no_file(tmp_path) -> None:
    report = make_report(MEASURES[:1], VALUES, seeds=[11, 13, 17])
    assert [file.name for file in report.save(tmp_path)] == list(REPORT_FILES[:3])
