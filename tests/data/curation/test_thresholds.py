"""Limits go to JSON and back, and what they cannot be is refused; the page tells their values."""

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from diff4splat.data.curation import METRICS, CurationThresholds

PAGE = Path(__file__).parents[3] / "docs" / "curation.md"


def test_limits_go_to_json_and_back() -> None:
    limits = CurationThresholds(
        require=("cameras", "depth"), max_depth=None, min_anchors=5, max_pixel_error=1.5
    )
    again = CurationThresholds.from_dict(json.loads(json.dumps(limits.to_dict())))
    assert again == limits and again.require == ("cameras", "depth")
    assert CurationThresholds.from_dict({}) == CurationThresholds()


def test_unknown_names_and_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \['max_depth_eror'\]"):
        CurationThresholds.from_dict({"max_depth_eror": 0.1})
    with pytest.raises(ValueError, match="require must be a list of names, got 'depth'"):
        CurationThresholds.from_dict({"require": "depth"})
    with pytest.raises(ValueError, match="min_frames must be a whole number, got None"):
        CurationThresholds.from_dict({"min_frames": None})
    for values in ({"max_depth_error": -0.1}, {"max_depth_error": float("nan")}, {"min_inlier_share": 1.5}):
        with pytest.raises(ValueError, match=next(iter(values))):
            CurationThresholds(**values)


@pytest.mark.usefixtures("without_shape_checker")
def test_words_and_flags_are_no_numbers() -> None:
    with pytest.raises(ValueError, match=r"got \['flow'\]"):
        CurationThresholds.from_dict({"require": ["flow"]})
    for value in ("2", True):
        with pytest.raises(ValueError, match="max_pixel_error must be a number"):
            CurationThresholds.from_dict({"max_pixel_error": value})


def test_every_limit_is_documented_with_its_source() -> None:
    text = inspect.cleandoc(CurationThresholds.__doc__ or "")
    for field in fields(CurationThresholds):
        entry = re.search(rf"^    {field.name}: (.*?)(?=^    \w|^ *$)", text, re.MULTILINE | re.DOTALL)
        assert entry, field.name
        assert field.name == "require" or "Ours" in entry[1] or "Source:" in entry[1], field.name


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of the page, without their back quotes."""
    part = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]


def test_the_page_has_the_values_of_the_code() -> None:
    written = {row[0]: row[1] for row in rows("Thresholds")}
    values = {
        name: "none" if value is None else str(value)
        for name, value in CurationThresholds().to_dict().items()
    }
    values.pop("require")
    assert written == values


def test_the_page_tells_what_is_measured() -> None:
    assert {row[0]: row[1] for row in rows("What is measured")} == METRICS
