"""The report of an evaluation: the paper's tables, all numbers, plots, frames, and how it was made."""

import json
import math
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.scores import Evaluation
from diff4splat.evaluation.protocol.summary import EvaluationSummary, MetricSummary
from diff4splat.evaluation.reports.document import Document, Drawing, Picture, Section
from diff4splat.evaluation.reports.film_strips import film_strip
from diff4splat.evaluation.reports.latex import latex_text
from diff4splat.evaluation.reports.markdown import markdown_text
from diff4splat.evaluation.reports.page import page_html
from diff4splat.evaluation.reports.paper_tables import paper_tables, problem_words
from diff4splat.evaluation.reports.plots import NUM_COLORS, method_key, metric_plot
from diff4splat.evaluation.reports.table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    interval_text,
    measure_text,
    number_text,
)
from diff4splat.evaluation.statistics import Estimate
from diff4splat.files import atomic_path

__all__ = ["evaluation_document", "write_document", "write_report"]

_COMMAND, _CAPABILITIES = "command", "capabilities"
_BESIDE = 3  # other methods in one table of all numbers


def write_report(
    folder: str | os.PathLike[str],
    evaluation: Evaluation,
    summary: EvaluationSummary,
    *,
    frames: Mapping[str, Mapping[str, UInt8[Tensor, "_ rgb=3 _ _"]]] | None = None,
    others: Sequence[EvaluationSummary] = (),
    ablations: Sequence[EvaluationSummary] = (),
    more: Sequence[Section] = (),
    max_clips: int = 8,
) -> list[Path]:
    """Write the report of an evaluation: report.md, report.tex and report.html.

    All three hold the warnings, the paper's tables, every number, what is missing and why, the extractors,
    the facts and the command. The page also has plots and frames; it is one file that loads nothing.

    Args:
        folder: Where to write; made if needed. Files of these names are replaced, each whole or not at all.
        evaluation: All that was measured of the method.
        summary: Its summary.
        frames: Frames by clip, and by what they are within a clip ("input", "ours", "reference").
        others: Summaries of other methods on the same clips.
        ablations: Summaries of variants of the method.
        more: Further parts, such as `held_out_section`.
        max_clips: Largest number of clips with frames, the first ones; at least 0.

    Returns:
        The files.

    Raises:
        ValueError: If a metric is unknown, the summary is of another method, there are no frames in `frames`,
            or `max_clips` is negative.
        TypeError: If the fact "capabilities" is no mapping of truth values.
        OSError: If a file cannot be written.
    """
    document = evaluation_document(
        evaluation, summary, frames=frames, others=others, ablations=ablations, more=more, max_clips=max_clips
    )
    return write_document(folder, "report", document)


def evaluation_document(
    evaluation: Evaluation,
    summary: EvaluationSummary,
    *,
    frames: Mapping[str, Mapping[str, UInt8[Tensor, "_ rgb=3 _ _"]]] | None = None,
    others: Sequence[EvaluationSummary] = (),
    ablations: Sequence[EvaluationSummary] = (),
    more: Sequence[Section] = (),
    max_clips: int = 8,
) -> Document:
    """What `write_report` writes, before it is written.

    Args:
        evaluation: All that was measured of the method.
        summary: Its summary.
        frames: Frames by clip, and by what they are within a clip ("input", "ours", "reference").
        others: Summaries of other methods on the same clips.
        ablations: Summaries of variants of the method.
        more: Further parts, such as `held_out_section`.
        max_clips: Largest number of clips with frames, the first ones; at least 0.

    Returns:
        The report.

    Raises:
        ValueError: If a metric is unknown, the summary is of another method, there are no frames in `frames`,
            or `max_clips` is negative.
        TypeError: If the fact "capabilities" is no mapping of truth values.
    """
    if evaluation.method != summary.method:
        raise ValueError(
            f"summary must be of the method of the evaluation, {evaluation.method!r}, got {summary.method!r}."
        )
    if max_clips < 0:
        raise ValueError(f"max_clips must be at least 0, got {max_clips}.")
    methods = (summary, *others)
    _check_metrics(row.metric for item in (*methods, *ablations) for row in (*item.rows, *item.by_trajectory))
    _check_metrics(score.metric for score in evaluation.scores)
    _check_metrics(score.metric for score in evaluation.set_scores)
    scenes = {score.scene for score in evaluation.scores}
    sentence = (
        f"{len(evaluation.clips)} clips of {len(scenes)} scenes. Intervals are 95 % and count scenes, not "
        f"clips. Protocol {evaluation.manifest}."
    )
    tables = paper_tables(
        summary, evaluation.facts, others, extractors=evaluation.extractors, ablations=ablations
    )
    sections = [
        *_warnings((*methods, *ablations)),
        Section("The paper's tables", tables=tables),
        Section("All numbers", tables=(*_all_numbers(methods), *_by_trajectory(summary))),
        *_plots(evaluation, methods),
        *_frames(frames or {}, max_clips),
        *_missing(methods),
        *more,
        *_extractors(evaluation),
        *_facts(evaluation.facts),
    ]
    return Document(f"Evaluation of {summary.method}", sentence, tuple(sections))


def write_document(folder: str | os.PathLike[str], name: str, document: Document) -> list[Path]:
    """Write a report as Markdown, LaTeX and a page.

    Args:
        folder: Where to write; made if needed.
        name: Name of the files, to which .md, .tex and .html are added.
        document: The report.

    Returns:
        The files.

    Raises:
        OSError: If a file cannot be written.
    """
    texts = {
        ".md": markdown_text(document),
        ".tex": latex_text(document),
        ".html": page_html(document),
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for suffix, text in texts.items():
        with atomic_path(target / f"{name}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [target / f"{name}{suffix}" for suffix in texts]


def _check_metrics(names: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(METRICS))
    if unknown:
        raise ValueError(f"metrics must be keys of METRICS, got {', '.join(unknown)}.")


def _warnings(methods: Sequence[EvaluationSummary]) -> list[Section]:
    """Each warning once, with the methods that it concerns."""
    concerned: dict[str, list[str]] = {}
    for item in methods:
        for text in item.warnings:
            concerned.setdefault(text, []).append(item.method)
    items = [f"{'; '.join(dict.fromkeys(names))}: {text}" for text, names in concerned.items()]
    return [Section("Read this first", kind="warning", items=tuple(items))] if items else []


def _all_numbers(methods: Sequence[EvaluationSummary]) -> list[ReportTable]:
    """As many tables as it takes for each to be no wider than a page; ours is the first column of each."""
    first, *others = methods
    parts = [others[at : at + _BESIDE] for at in range(0, len(others), _BESIDE)] or [[]]
    return [_numbers((first, *part)) for part in parts]


def _numbers(methods: Sequence[EvaluationSummary]) -> ReportTable:
    headings = [Heading("Measure", kind="words")]
    for item in methods:
        headings += [Heading(item.method), Heading("n")]
    rows = []
    for metric in METRICS.values():
        found = [
            [row for row in item.rows if row.metric == metric.key and not row.trajectory] for item in methods
        ]
        # Where a metric was measured with two extractors there are two lines.
        for place in range(max(map(len, found))):
            cells = [Cell(measure_text(metric))]
            for known in found:
                cells += _estimate_cells(known[place]) if place < len(known) else [Cell("-"), Cell("")]
            rows.append(TableRow(tuple(cells)))
    remark = "n counts scenes; for FVD, KVD and other numbers of the whole set it counts clips."
    title = "Mean over scenes and its 95 % interval"
    return ReportTable(title, tuple(headings), tuple(rows), remark=remark)


def _estimate_cells(row: MetricSummary) -> list[Cell]:
    digits, item = METRICS[row.metric].digits, row.estimate
    interval = interval_text(item.low, item.high, digits)
    return [Cell(number_text(item.value, digits), interval), Cell(str(item.count))]


def _by_trajectory(summary: EvaluationSummary) -> list[ReportTable]:
    paths = list(dict.fromkeys(row.trajectory for row in summary.by_trajectory))
    found = {(row.metric, row.trajectory): row for row in reversed(summary.by_trajectory)}
    metrics = [key for key in METRICS if any((key, path) in found for path in paths)]
    if not metrics:
        return []
    rows = []
    for key in metrics:
        values = [found.get((key, path)) for path in paths]
        cells = [Cell(measure_text(METRICS[key]))]
        cells += [
            Cell("-" if row is None else number_text(row.estimate.value, METRICS[key].digits))
            for row in values
        ]
        rows.append(TableRow(tuple(cells)))
    headings = (Heading("Measure", kind="words"), *map(Heading, paths))
    return [ReportTable(f"{summary.method} by camera path", headings, tuple(rows))]


def _plots(evaluation: Evaluation, methods: Sequence[EvaluationSummary]) -> list[Section]:
    figures = []
    shown, left = methods[:NUM_COLORS], len(methods[NUM_COLORS:])
    for metric in METRICS.values():
        paths: dict[str, list[tuple[str, Estimate]]] = {}
        for item in shown:
            for row in item.by_trajectory:
                if row.metric == metric.key:
                    paths.setdefault(row.trajectory, []).append((item.method, row.estimate))
        scenes = _scene_means(evaluation, metric.key)
        if paths or scenes:
            figures.append(Drawing(measure_text(metric), metric_plot(metric.key, paths, scenes)))
    if not figures:
        return []
    key = Drawing("", method_key([item.method for item in shown]), wide=True)
    words = (
        f"A dot is a mean over scenes, its line the 95 % interval. Small dots are the scenes of "
        f"{evaluation.method}, each the mean over its clips."
    )
    words += f" {left} more methods are not drawn." if left else ""
    return [Section("By camera path and by scene", paragraphs=(words,), figures=(key, *figures))]


def _scene_means(evaluation: Evaluation, metric: str) -> list[tuple[str, float]]:
    """Mean over the clips of each scene that have a number; NaN for a scene where none has."""
    values: dict[str, list[float]] = {}
    for score in evaluation.scores:
        if score.metric == metric:
            known = values.setdefault(score.scene, [])
            known += [] if math.isnan(score.value) else [score.value]
    return [(scene, sum(known) / len(known) if known else math.nan) for scene, known in values.items()]


def _frames(
    frames: Mapping[str, Mapping[str, UInt8[Tensor, "_ rgb=3 _ _"]]], max_clips: int
) -> list[Section]:
    figures = []
    for clip, kinds in list(frames.items())[:max_clips]:
        strips = []
        for kind, pixels in kinds.items():
            try:
                strips.append((kind, film_strip(pixels)))
            except ValueError as error:
                raise ValueError(f"frames[{clip!r}][{kind!r}] cannot be shown: {error}") from error
        figures.append(Picture(clip, tuple(strips)))
    if not figures:
        return []
    left = len(frames) - min(len(frames), max_clips)
    more = (f"{left} more clips are not shown.",) if left else ()
    return [Section("Frames", paragraphs=more, figures=tuple(figures))]


def _missing(methods: Sequence[EvaluationSummary]) -> list[Section]:
    items = [
        f"{item.method}, {METRICS[row.metric].title}: {words}"
        for item in methods
        for row in item.rows
        if (words := problem_words(row, limit=8))
    ]
    return [Section("What is missing", items=tuple(items))] if items else []


def _extractors(evaluation: Evaluation) -> list[Section]:
    used: dict[str, list[str]] = {}
    pairs = [(score.extractor, score.metric) for score in evaluation.scores]
    for key, metric in [*pairs, *((score.extractor, score.metric) for score in evaluation.set_scores)]:
        if key:
            used.setdefault(key, []).append(METRICS[metric].title)
    items = []
    for key, spec in evaluation.extractors.items():
        titles = "; ".join(dict.fromkeys(used.get(key, []))) or "nothing"
        trained = "" if spec.trained else " Not trained."
        items.append(f"{titles}: {spec}. Key {key}.{trained}")
    items += [
        f"{'; '.join(dict.fromkeys(titles))}: key {key}, of which there is no description."
        for key, titles in used.items()
        if key not in evaluation.extractors
    ]
    return [Section("What the numbers were measured with", items=tuple(items))] if items else []


def _facts(facts: Mapping[str, Any]) -> list[Section]:
    command = facts.get(_COMMAND, "")
    code = command if isinstance(command, str) else shlex.join(map(str, command))
    sections = [Section("How to make it again", code=code)] if code else []
    flat = _flat({key: value for key, value in facts.items() if key not in (_COMMAND, _CAPABILITIES)})
    return [*sections, Section("Facts", items=tuple(flat))] if flat else sections


def _flat(facts: Mapping[str, Any], before: str = "") -> list[str]:
    items = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            items += _flat(value, f"{before}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            items.append(f"{before}{key}: {text}")
    return items
