"""The report of two methods on the same clips: differences, how sure they are, what forbids comparing."""

import os
from dataclasses import replace
from pathlib import Path

from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.protocol.scores import REAL_CLIPS
from diff4splat.evaluation.reports.document import Document, Drawing, Section
from diff4splat.evaluation.reports.evaluation_report import write_document
from diff4splat.evaluation.reports.plots import difference_plot
from diff4splat.evaluation.reports.table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    interval_text,
    measure_text,
    number_text,
)

__all__ = ["comparison_document", "write_comparison"]

_NOTES = (
    "Second less first, paired by scene, with its 95 % interval.",
    "Two-sided, of a permutation test that swaps the methods within scenes.",
    "After Holm's correction for all metrics of this table.",
)
_REAL = (
    "Real clips are no method but what methods are to be like: where a method is better than they are, it "
    "moves less or shows less, or the metric prefers something else than the truth."
)


def write_comparison(
    folder: str | os.PathLike[str], comparison: Comparison, *, command: str = ""
) -> list[Path]:
    """Write the comparison of two methods: comparison.md, comparison.tex and comparison.html.

    Args:
        folder: Where to write; made if needed. Files of these names are replaced, each whole or not at all.
        comparison: The two methods.
        command: What prints it; empty to leave it out.

    Returns:
        The files.

    Raises:
        ValueError: If a metric is unknown.
        OSError: If a file cannot be written.
    """
    return write_document(folder, "comparison", comparison_document(comparison, command=command))


def comparison_document(comparison: Comparison, *, command: str = "") -> Document:
    """What `write_comparison` writes, before it is written.

    Args:
        comparison: The two methods.
        command: What prints it; empty to leave it out.

    Returns:
        The report.

    Raises:
        ValueError: If a metric is unknown.
    """
    unknown = sorted({row.metric for row in comparison.rows} - set(METRICS))
    if unknown:
        raise ValueError(f"comparison must have metrics of METRICS, got {', '.join(unknown)}.")
    if comparison.first == comparison.second:
        names = (f"{comparison.first} (first)", f"{comparison.second} (second)")
        comparison = replace(comparison, first=names[0], second=names[1])
    wins = [sum(row.winner == side for row in comparison.rows) for side in ("first", "second")]
    sentence = (
        f"First: {comparison.first}. Second: {comparison.second}. Of {len(comparison.rows)} measures the "
        f"first is better in {wins[0]}, the second in {wins[1]}; the others show no difference that chance "
        "does not explain, or have no direction or no test."
    )
    warnings = list(comparison.warnings)
    if REAL_CLIPS in (comparison.first, comparison.second):
        warnings.append(_REAL)
    forbidden: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.warning:
            forbidden.setdefault(row.warning, []).append(METRICS[row.metric].title)
    warnings += [f"{'; '.join(titles)}: {text}" for text, titles in forbidden.items()]
    sections = []
    if warnings:
        sections.append(Section("Read this first", kind="warning", items=tuple(warnings)))
    if comparison.rows:
        figure = Drawing("", difference_plot(comparison), wide=True)
        words = (
            "Each line is scaled to its own ends; the middle is no difference. Coloured where one is better "
            "and the adjusted p-value is below 0.05."
        )
        sections.append(Section("Measures", tables=(_table(comparison),)))
        sections.append(Section("Differences", paragraphs=(words,), figures=(figure,)))
    else:
        sections.append(Section("Measures", paragraphs=("There is nothing that both have.",)))
    if command:
        sections.append(Section("How to make it again", code=command))
    return Document(f"{comparison.first} and {comparison.second}", sentence, tuple(sections))


def _table(comparison: Comparison) -> ReportTable:
    headings = (
        Heading("Measure", kind="words"),
        Heading(comparison.first),
        Heading(comparison.second),
        Heading("Difference", notes=(1,)),
        Heading("p", notes=(2,)),
        Heading("adjusted p", notes=(3,)),
        Heading("Better", kind="words"),
        Heading("Scenes"),
        Heading("Clips"),
    )
    notes = list(_NOTES)
    rows = []
    for row in comparison.rows:
        if row.warning and row.warning not in notes:
            notes.append(row.warning)
        rows.append(_row(comparison, row, notes))
    return ReportTable(
        f"{comparison.first} and {comparison.second} on the same clips", headings, tuple(rows), tuple(notes)
    )


def _row(comparison: Comparison, row: MetricComparison, notes: list[str]) -> TableRow:
    metric = METRICS[row.metric]
    numbers = [
        Cell(number_text(item.value, metric.digits), interval_text(item.low, item.high, metric.digits))
        for item in (row.first, row.second, row.difference)
    ]
    winner = {"first": comparison.first, "second": comparison.second, "": ""}[row.winner]
    return TableRow(
        (
            Cell(measure_text(metric), notes=(notes.index(row.warning) + 1,) if row.warning else ()),
            *numbers,
            Cell(_probability(row.p_value)),
            Cell(_probability(row.p_adjusted)),
            Cell(winner, best=bool(winner)),
            Cell(str(row.num_scenes)),
            Cell(str(row.num_clips)),
        )
    )


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else number_text(value, 3)
