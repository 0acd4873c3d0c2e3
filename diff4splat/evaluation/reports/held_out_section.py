"""The table of scenes whose truth is known, as a part of a report."""

from itertools import groupby

from diff4splat.evaluation.held_out import Report
from diff4splat.evaluation.reports.document import Section
from diff4splat.evaluation.reports.table import Cell, Heading, ReportTable, TableRow

__all__ = ["held_out_section"]


def held_out_section(report: Report) -> Section:
    """What a model reaches on held-out scenes, one table per part of the protocol.

    Args:
        report: Result of `evaluate_held_out`.

    Returns:
        The section.
    """
    titles = [*report.head[:5], "met"]
    headings = tuple(
        Heading(title, kind="number" if 0 < place < 4 else "words") for place, title in enumerate(titles)
    )
    tables = []
    for name, rows in groupby(report.rows, key=lambda row: row.measure.section):
        lines = tuple(TableRow(tuple(map(Cell, row.cells())), measured=True) for row in rows)
        tables.append(ReportTable(name, headings, lines, ()))
    words = "Depth, motion, novel views and prompts on procedural scenes that training never saw."
    return Section("Where the truth is known", paragraphs=(words,), tables=tuple(tables))
