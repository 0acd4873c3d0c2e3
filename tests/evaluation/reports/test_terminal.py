"""Tables for a terminal fit into it."""

from diff4splat.evaluation.protocol import EvaluationSummary, MetricSummary
from diff4splat.evaluation.reports import (
    Cell,
    Document,
    Heading,
    ReportTable,
    Section,
    TableRow,
    paper_tables,
    table_text,
    terminal_text,
)
from diff4splat.evaluation.statistics import Estimate


def test_the_tables_of_the_paper_fit_into_100_columns() -> None:
    rows = tuple(
        MetricSummary(name, Estimate(0.8765, 0.8611, 0.8921, count=32))
        for name in ("fvd", "kvd", "clip_score", "clip_aesthetic", "qa_quality", "matches_first")
    )
    for table in paper_tables(EvaluationSummary("a method", rows)):
        text = table_text(table)
        assert max(map(len, text.splitlines())) <= 100
        for row in table.rows:
            assert all(cell.text in text for cell in row.cells if not cell.mark)
        assert all(" ".join(note.split()) in " ".join(text.split()) for note in table.notes)


def test_parts_of_a_table_by_hand() -> None:
    headings = tuple(
        Heading(name, kind="words" if name == "who" else "number") for name in ("who", "a", "b", "c")
    )
    cells = tuple(Cell(text) for text in ("me", "1", "22222222", "333"))
    table = ReportTable("T", headings, (TableRow(cells, "g"),), ("one two three four",))
    assert table_text(table, width=14) == "\n".join(
        [
            *("T", "who  a", "---  -", "[g]", "me   1", ""),
            *("who         b", "---  --------", "[g]", "me   22222222", ""),
            *("who    c", "---  ---", "[g]", "me   333"),
            *("(1) one two", "    three four"),
        ]
    )
    assert table_text(table, width=22).count("who") == 1, "all of it fits"
    assert table_text(table, width=3).count("who") == 3, "never a part without a number"


def test_a_report_is_wrapped_and_loses_no_word() -> None:
    words = " ".join(f"word{index}" for index in range(60))
    text = terminal_text(Document("", words, (Section("S", paragraphs=(words,), items=(words,)),)), width=50)
    assert max(map(len, text.splitlines())) <= 50
    assert text.split() == [*words.split(), "==", "S", "==", *words.split(), "-", *words.split()]
