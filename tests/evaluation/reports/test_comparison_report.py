"""The report of two methods: every row with its difference, winner and warning."""

from dataclasses import replace
from pathlib import Path

import pytest
from evaluation.reports.synthetic import comparison

from diff4splat.evaluation.protocol import REAL_CLIPS, Comparison
from diff4splat.evaluation.reports import comparison_document, terminal_text, write_comparison


def test_rows() -> None:
    (table,) = comparison_document(comparison("A", "B")).sections[1].tables
    cells = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in table.rows}
    assert cells["FVD ↓"] == ["412.7", "389.2", "-23.5", "< 0.001", "0.002", "B", "7", "33"]
    assert cells["Avg. matches ↑"] == ["311.0", "287.5", "-23.5", "0.002", "0.006", "A", "7", "33"]
    assert cells["Subject consistency ↑"][3:6] == ["0.410", "0.820", ""]
    assert cells["Flow magnitude (px)"][3:6] == ["-", "-", ""]
    assert cells["LPIPS ↓"] == ["-", "0.2000", "-", "-", "-", "", "7", "33"]
    intervals = [row.cells[3].interval for row in table.rows]
    assert intervals == ["", "[-41.0, -6.1]", "[-0.0040, 0.0100]", "[-0.90, -0.30]", "[0.60, 2.30]", ""]
    assert [row.cells[0].notes for row in table.rows] == [()] * 5 + [(4,)]
    assert table.notes[3] == "compact has no numbers"


def test_warnings_stand_above() -> None:
    text = " ".join(terminal_text(comparison_document(comparison())).split())
    assert text.index("2 clips of the first method") < text.index("LPIPS: compact has no numbers")
    assert text.index("LPIPS: compact has no numbers") < text.index("412.7")
    assert "the first is better in 1, the second in 2" in text


def test_files(tmp_path: Path) -> None:
    files = write_comparison(tmp_path / "a" / "b", comparison("A", "B"), command="diff4splat compare a b")
    assert [path.name for path in files] == ["comparison.md", "comparison.tex", "comparison.html"]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert all(words in text for words in ("412.7", "389.2", "diff4splat compare a b"))
    assert files[2].read_text().count('<svg class="difference"') == 6


def test_methods_of_one_name_are_told_apart() -> None:
    document = comparison_document(comparison("compact", "compact"))
    assert document.title == "compact (first) and compact (second)"
    (table,) = document.sections[1].tables
    assert {row.cells[6].text for row in table.rows} == {"compact (first)", "compact (second)", ""}


def test_what_concerns_several_measures_is_said_once() -> None:
    made = comparison()
    rows = tuple(replace(row, warning="other machines") for row in made.rows[:2])
    text = terminal_text(comparison_document(replace(made, rows=rows)))
    assert "- FVD; Avg. matches: other machines" in text


def test_better_than_real_is_not_better() -> None:
    words = "Real clips are no method"
    assert words in terminal_text(comparison_document(comparison("compact", REAL_CLIPS)))
    assert words not in terminal_text(comparison_document(comparison()))


def test_nothing_in_common() -> None:
    text = terminal_text(comparison_document(Comparison("A", "B", ())))
    assert "There is nothing that both have." in text


def test_unknown_metrics_are_refused() -> None:
    made = comparison()
    with pytest.raises(ValueError, match="must have metrics of METRICS, got fvvd"):
        comparison_document(replace(made, rows=(replace(made.rows[0], metric="fvvd"),)))
