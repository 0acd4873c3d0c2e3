"""The plan for 130,000 clips: what it makes of costs, and that the page holds what was measured."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def names(without_shape_checker: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "curation_plan.py"))


@pytest.fixture
def costs(names: dict[str, Any]) -> Any:
    """Costs that are easy to multiply: 3.6 s for each stage, 2 MB for each file."""
    return names["Costs"](
        frames=81,
        side=512,
        tracks=4096,
        clips=1,
        seconds=dict.fromkeys(names["CPU"], 3.6),
        bytes=dict.fromkeys(names["SIZES"], 2e6),
    )


def cells(text: str, stage: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {stage} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_hours_and_storage(names: dict[str, Any], costs: Any) -> None:
    plan = names["Plan"](clips=2000, kept=1000, cores=10, gpus=2, gpu=names["Gpu"](depth=7.2, metric=None))
    text = names["tables"](costs, plan)
    assert cells(text, "read frames") == ["2,000", "3.60", "2", "", "", ""]
    assert cells(text, "relative depth") == ["2,000", "7.20", "", "4", "2.00 MB", "0.00 TB while it runs"]
    assert cells(text, "metric depth") == ["2,000", "unknown", "", "unknown", "", ""]
    assert cells(text, "encode tracks") == ["1,000", "3.60", "1", "", "4.00 MB", "0.00 TB"]
    # four stages of all clips and three of those kept; what is only there meanwhile is not in the sum
    assert cells(text, "in all") == ["", "", "11", "at least 4", "8.00 MB", "0.01 TB"]
    assert "11 hours of a core are 1.1 hours on 10 cores" in text
    assert "4 hours that are known are 2.0 hours on 2 GPUs" in text
    assert "4 shards of 256 clips" in text
    large = replace(costs, bytes={**costs.bytes, "depth with noise": 26e6})
    assert "15 shards of 67 clips of 2.1 GB" in names["tables"](large, plan), "closed at 2 GiB"


def test_nothing_is_invented(names: dict[str, Any], costs: Any) -> None:
    plan = names["Plan"]()
    text = names["tables"](costs, plan)
    assert text.count("unknown") == 4  # a cell of seconds and one of hours for each of two stages
    assert "Unknown: cameras and what moves (GPU); tracks in pixels (GPU)." in text
    told = replace(plan, gpu=names["Gpu"](cameras=36.0, tracks=3.6))
    text = names["tables"](costs, told)
    assert cells(text, "cameras and what moves")[3] == "1,300" and cells(text, "tracks in pixels")[3] == "130"
    assert not cells(text, "in all")[3].startswith("at least")


def test_measures(names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = names["main"](quick=True, json=tmp_path / "results.json")
    assert set(costs.seconds) == set(names["CPU"]) and set(costs.bytes) == set(names["SIZES"])
    assert all(value > 0 for value in costs.bytes.values())
    assert all(value >= 0 for value in costs.seconds.values())
    assert costs.bytes["float16 depth"] == 2 * 9 * 64 * 64
    printed = capsys.readouterr().out
    assert "commit " in printed and "mean nothing" in printed
    assert json.loads((tmp_path / "results.json").read_text())["machine"]["commit"]
    again = names["main"](results=tmp_path / "results.json")
    assert again == costs
    assert capsys.readouterr().out.strip() in printed


def test_page_has_the_tables_of_what_was_measured(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    costs = names["main"](results=BENCHMARKS / "results" / "curation_plan.json")
    assert (costs.frames, costs.side, costs.tracks) == (81, 512, 4096)
    page = (BENCHMARKS.parent / "docs" / "curation_plan.md").read_text(encoding="utf-8")
    begin, end = (f"<!-- plan of the curation: {word} -->" for word in ("begin", "end"))
    shown = page[page.index(begin) + len(begin) : page.index(end)]
    assert shown.strip() == capsys.readouterr().out.strip()
