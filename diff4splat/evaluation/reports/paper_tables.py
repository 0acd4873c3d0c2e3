"""The paper's tables with the published rows above and what was measured here below them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.scores import CAPABILITIES, REAL_CLIPS
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary
from diff4splat.evaluation.reports.published import (
    PUBLISHED_TABLES,
    PublishedColumn,
    PublishedRow,
    PublishedTable,
)
from diff4splat.evaluation.reports.table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    interval_text,
    number_text,
)

__all__ = ["paper_tables", "problem_words"]

_PUBLISHED_CLIPS = 160
_MEASURED = "Measured here, not comparable with the published rows"
_MEASURED_REAL = "Real clips along the same paths, measured in the same way"
_OTHER_CLIPS = (
    "Not comparable with the published rows: the clips are others. The paper's 32 images, its prompts and "
    "its real clips are not public."
)
_MARKED = (
    "Marked is the best measured number where all rows were measured alike; whether chance explains it, "
    "a paired comparison says."
)
_NOT_OF_REAL = "Does not apply to real clips."
_OPTIMIZED = "Optimises for each scene."
_DIFFERENT = (
    "The best is not marked: the measured rows do not share the extractor and the number of clips or scenes."
)
# Numbers that are not marked, because summaries do not say on which machine they were measured.
_OF_MACHINES = ("reconstruction_seconds", "latency_ms")
_NOT_MEASURED_OF_REAL = ("fvd", "kvd", *_OF_MACHINES)
# What the published numbers were made with, as a part of the extractor's name, and how it is said.
_USED: dict[str, tuple[str, str]] = {
    "fvd": ("i3d", "FVD and KVD are defined on features of I3D."),
    "kvd": ("i3d", "FVD and KVD are defined on features of I3D."),
    "qa_quality": ("q-align", "The paper used Q-Align."),
    "matches_first": ("mast3r", "The paper used MASt3R."),
}
_NEEDED: dict[str, str] = {
    "fvd": "needs real clips and a network for clips",
    "kvd": "needs real clips and a network for clips",
    "clip_score": "needs CLIP weights and prompts",
    "clip_aesthetic": "needs CLIP weights and those of the aesthetic head",
    "qa_quality": "needs the weights of Q-Align",
    "matches_first": "needs a matcher",
    "subject_consistency": "needs a network for frames",
    "background_consistency": "needs a network for frames",
    "rpe_translation_mean": "needs a pose estimator",
    "rpe_rotation_mean_deg": "needs a pose estimator",
    "cycle_psnr_running": "no closed path was asked for",
    "reconstruction_seconds": "the videos came without the time that they took",
    "latency_ms": "needs a scene that can be drawn from new cameras",
}


def paper_tables(
    summary: EvaluationSummary,
    facts: Mapping[str, Any] | None = None,
    others: Sequence[EvaluationSummary] = (),
    *,
    extractors: Mapping[str, ExtractorSpec] | None = None,
    ablations: Sequence[EvaluationSummary] = (),
) -> tuple[ReportTable, ...]:
    """Tables 1, 2, 3, 4 and 6 of the paper and Table 3 of its supplement, published and measured.

    Published numbers are those that were printed. Measured ones are brought to the scale of the table only
    where that is certain: consistency times 100. What was not measured is "-" with the reason below the
    table; below it, too, is why a number may not be compared with the published ones. The best measured
    number is marked if all of the rows were measured with the same extractor on as many clips and scenes.
    Times are not marked, because machines differ. Real clips (`REAL_CLIPS`) are no method: they stand in a
    group of their own and are never the best.

    Args:
        summary: Ours.
        facts: Facts of its evaluation. "capabilities" may say by keys of `CAPABILITIES` what the method can
            do, as truth values.
        others: Other methods on the same clips.
        extractors: Specs by key, of all these methods.
        ablations: Variants of ours. Table 4 is left out if there are none, otherwise it and Table 3 of the
            supplement show ours and them, without the other methods.

    Returns:
        Tables in the order of the paper.

    Raises:
        TypeError: If "capabilities" is no mapping of truth values.
    """
    capabilities = (facts or {}).get("capabilities", {})
    if not isinstance(capabilities, Mapping) or not all(isinstance(v, bool) for v in capabilities.values()):
        raise TypeError(f'facts["capabilities"] must map names to truth values, got {capabilities!r}.')
    tables = []
    for published in PUBLISHED_TABLES:
        ablated = published.name in ("Table 4", "Supplement, Table 3")
        if published.name == "Table 4" and not ablations:
            continue
        rivals = ablations if ablated and ablations else others
        tables.append(_table(published, summary, rivals, capabilities, extractors or {}))
    return tuple(tables)


def problem_words(row: MetricSummary, *, limit: int = 3) -> str:
    """How many clips of a metric have no number, and why.

    Args:
        row: The metric of a method.
        limit: Largest number of reasons that are named.

    Returns:
        A sentence; empty if nothing is missing.
    """
    if not row.missing and not row.problems:
        return ""
    if not row.missing:  # a number of the whole set, which no single clip lacks
        return f"No number: {'; '.join(text for text, _ in row.problems[:limit])}."
    named = [f"{text} ({count})" for text, count in row.problems[:limit]]
    left = len(row.problems) - limit
    named += [f"{left} more reasons"] if left > 0 else []
    clips = "1 clip has" if row.missing == 1 else f"{row.missing} clips have"
    return f"{clips} no number" + (f": {'; '.join(named)}." if named else ".")


class _Notes:
    """Footnotes of a table, each once, numbered as they come."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, *texts: str) -> tuple[int, ...]:
        wanted = [text for text in texts if text]
        self.texts += [text for text in dict.fromkeys(wanted) if text not in self.texts]
        return tuple(sorted({self.texts.index(text) + 1 for text in wanted}))


def _table(
    published: PublishedTable,
    summary: EvaluationSummary,
    others: Sequence[EvaluationSummary],
    capabilities: Mapping[str, bool],
    extractors: Mapping[str, ExtractorSpec],
) -> ReportTable:
    notes = _Notes()
    headings = [Heading("Method", kind="words")]
    headings += [
        Heading(item.title, item.better, notes=notes(item.note if item.key in METRICS else ""))
        for item in published.columns
    ]
    rows = [_published_row(published.columns, row, notes) for row in published.rows]
    # Real clips stand last, whatever their place among the others.
    methods = sorted((summary, *others), key=_is_real)
    # Of several extractors for one metric the first counts, as in a comparison.
    known = [{row.metric: row for row in reversed(item.rows) if not row.trajectory} for item in methods]
    rated = [found for item, found in zip(methods, known, strict=True) if not _is_real(item)]
    best = {item.key: _best(item, [found.get(item.key) for found in rated]) for item in published.columns}
    for place, item in enumerate(methods):
        real = _is_real(item)
        cells = [Cell(item.method)]
        for column in published.columns:
            row = known[place].get(column.key)
            if real and (column.key in CAPABILITIES or (row is None and column.key in _NOT_MEASURED_OF_REAL)):
                cells.append(Cell("-", notes=notes(_NOT_OF_REAL)))
                continue
            if column.key in CAPABILITIES:
                cells.append(_capability(capabilities.get(column.key) if item is summary else None, notes))
                continue
            marked = frozenset[int]() if real else best[column.key]
            cells.append(
                _measured(
                    column,
                    row,
                    extractors,
                    notes,
                    best=marked is not None and place in marked,
                    more=_DIFFERENT if marked is None else "",
                )
            )
        rows.append(TableRow(tuple(cells), _MEASURED_REAL if real else _MEASURED, measured=True))
    marks = any(cell.best for line in rows for cell in line.cells)
    remark = f"{_OTHER_CLIPS} {_MARKED}" if marks else _OTHER_CLIPS
    title = f"{published.name}. {published.title}"
    return ReportTable(title, tuple(headings), tuple(rows), tuple(notes.texts), remark)


def _is_real(item: EvaluationSummary) -> bool:
    return item.method == REAL_CLIPS


def _published_row(columns: Sequence[PublishedColumn], row: PublishedRow, notes: _Notes) -> TableRow:
    cells = [Cell(row.method, notes=notes(_OPTIMIZED if row.optimized else ""))]
    cells += [Cell(row.values[column.key], mark=column.key in CAPABILITIES) for column in columns]
    return TableRow(tuple(cells), f"Published: {row.group}" if row.group else "Published")


def _capability(value: bool | None, notes: _Notes) -> Cell:
    if value is None:
        return Cell("-", notes=notes("Not stated of this method."))
    return Cell("yes" if value else "no", mark=True)


def _measured(
    column: PublishedColumn,
    row: MetricSummary | None,
    extractors: Mapping[str, ExtractorSpec],
    notes: _Notes,
    *,
    best: bool,
    more: str,
) -> Cell:
    if row is None:
        reason = _NEEDED[column.key]
        return Cell("-", notes=notes(f"Not measured: {reason}."))
    if math.isnan(row.estimate.value):
        return Cell("-", notes=notes(problem_words(row) or f"Not measured: {_NEEDED[column.key]}."))
    unit = METRICS[column.key].unit
    shown = unit if unit in ("s", "ms", "dB", "deg") else ""
    text = number_text(row.estimate.value * column.scale, column.digits)
    low, high = row.estimate.low * column.scale, row.estimate.high * column.scale
    interval = interval_text(low, high, column.digits)
    reasons = [*_reasons(column.key, row, extractors), problem_words(row), more]
    return Cell(f"{text} {shown}".strip(), interval, notes(*reasons), best)


def _reasons(key: str, row: MetricSummary, extractors: Mapping[str, ExtractorSpec]) -> list[str]:
    """Why the number is none that was published, beyond other clips."""
    reasons = []
    if key in ("fvd", "kvd") and row.estimate.count != _PUBLISHED_CLIPS:
        reasons.append(
            f"From {row.estimate.count} clips; the published numbers are from {_PUBLISHED_CLIPS}, and FVD "
            "depends on how many."
        )
    spec = extractors.get(row.extractor)
    if spec is None:
        known = f"Measured with {row.extractor}, of which there is no description here."
        return [*reasons, known] if row.extractor else reasons
    part, used = _USED.get(key, ("", ""))
    if not spec.trained:
        reasons.append(f"By {spec.name}, in which nothing was learned. {used}".strip())
    elif part not in spec.name.lower():
        reasons.append(f"By {spec.name}. {used}")
    return reasons


def _best(column: PublishedColumn, rows: Sequence[MetricSummary | None]) -> frozenset[int] | None:
    """Places of the best of the measured rows; none of fewer than two, None where they are not comparable."""
    found = {
        place: row
        for place, row in enumerate(rows)
        if row is not None and not math.isnan(row.estimate.value) and column.better is not None
    }
    if len(found) < 2 or column.key in _OF_MACHINES:
        return frozenset()
    if len({(row.extractor, row.estimate.count, row.missing) for row in found.values()}) > 1:
        return None
    values = {place: row.estimate.value * column.scale for place, row in found.items()}
    best = max(values.values()) if column.better == "higher" else min(values.values())
    shown = number_text(best, column.digits)
    return frozenset(place for place, value in values.items() if number_text(value, column.digits) == shown)
