"""Numbers per scene to one table: what was measured, how sure it is, and whether it reaches the goal."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.evaluation.statistics import (
    Estimate,
    least_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
)
from diff4splat.files import atomic_path
from diff4splat.pictures import save_picture

__all__ = ["REPORT_FILES", "Measure", "Report", "ReportRow", "make_report"]

REPORT_FILES = ("scenes.csv", "summary.json", "summary.md", "scenes.png")
"""What `Report.save` writes; the picture only if there is one."""


@dataclass(frozen=True)
class Measure:
    """One line of the table and how it is made from numbers per scene.

    Args:
        key: Name in the summary.
        title: What it is, in words.
        values: Name of the numbers per scene.
        section: Part of the protocol that it belongs to.
        unit: Unit, or empty.
        over: Name of the numbers whose sum divides the sum of `values`; a plain mean when omitted.
        baselines: Names of the numbers that `values` is compared with, each with a word for it. The line is
            the mean of `values` less that of the baseline with the highest mean, and names this baseline.
        below_one: Make the line the share of scenes where `values` is smaller than `over`.
        share: Take `values` as yes (1) and no (0).
        goal: What is to be reached, itself included; None for a line that only informs.
        better: Whether larger or smaller numbers are better.
        chance: Whether `goal` is what guessing gives: then the whole interval has to be beyond it.
        digits: Digits after the point.
    """

    key: str
    title: str
    values: str
    section: str
    unit: str = ""
    over: str | None = None
    baselines: tuple[tuple[str, str], ...] = ()
    below_one: bool = False
    share: bool = False
    goal: float | None = None
    better: Literal["higher", "lower"] = "higher"
    chance: bool = False
    digits: int = 2


@dataclass(frozen=True)
class ReportRow:
    """A measure and its estimate.

    Args:
        measure: What was measured.
        estimate: The result.
        baseline: Which of the measure's baselines is the best; empty if it has none.
    """

    measure: Measure
    estimate: Estimate
    baseline: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal or without a number."""
        goal, higher = self.measure.goal, self.measure.better == "higher"
        if goal is None or math.isnan(self.estimate.value):
            return None
        if self.measure.chance:
            return self.estimate.low > goal if higher else self.estimate.high < goal
        return self.estimate.value >= goal if higher else self.estimate.value <= goal

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Title with unit, value, interval, number of scenes, goal, and whether it is met; as text.

        Returns:
            Texts of the six columns.
        """
        measure, estimate = self.measure, self.estimate
        title = f"{measure.title}, {self.baseline}" if self.baseline else measure.title
        title += f" ({measure.unit})" if measure.unit else ""
        value, low, high = (
            _number(number, measure.digits) for number in (estimate.value, estimate.low, estimate.high)
        )
        sign = {("higher", False): ">=", ("lower", False): "<=", ("higher", True): ">", ("lower", True): "<"}
        goal = ""
        if measure.goal is not None:
            goal = f"{sign[measure.better, measure.chance]} {_number(measure.goal, measure.digits)}"
            goal += " (chance)" if measure.chance else ""
        met = {None: "", True: "met", False: "missed"}[self.met]
        return title, value, f"[{low}, {high}]", str(estimate.count), goal, met


@dataclass(frozen=True)
class Report:
    """Result of an evaluation.

    Args:
        rows: Lines of the table, in order.
        scenes: Numbers per scene under each name; the primary result, from which the lines are made.
        settings: What was run, JSON values.
        picture: Contact sheet of some scenes, sRGB in [0, 1]; None if none was made.
    """

    rows: tuple[ReportRow, ...]
    scenes: Mapping[str, Sequence[int | float]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    picture: Float[Tensor, "rgb=3 height width"] | None = None

    head = ("measure", "value", "95 % interval", "scenes", "goal", "")

    def __getitem__(self, key: str) -> Estimate:
        """Estimate of one measure.

        Args:
            key: Its name in the summary.

        Returns:
            The estimate.

        Raises:
            KeyError: If it was not measured.
        """
        for row in self.rows:
            if row.measure.key == key:
                return row.estimate
        raise KeyError(f"{key!r} was not measured; there are {', '.join(r.measure.key for r in self.rows)}.")

    @property
    def goals_met(self) -> bool:
        """Whether every goal that could be judged is reached."""
        return all(row.met is not False for row in self.rows)

    def to_text(self) -> str:
        """The table as aligned text, one block per section.

        Returns:
            Lines, the last one ended.
        """
        cells = [row.cells() for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.head, *cells, strict=True)]

        def line(values: Sequence[str]) -> str:
            padded = [values[0].ljust(widths[0])]
            padded += [value.rjust(width) for value, width in zip(values[1:4], widths[1:4], strict=True)]
            padded += [value.ljust(width) for value, width in zip(values[4:], widths[4:], strict=True)]
            return "  ".join(padded).rstrip()

        lines = [line(self.head), line(["-" * width for width in widths])]
        section = None
        for row, values in zip(self.rows, cells, strict=True):
            if row.measure.section != section:
                lines += ["", row.measure.section] if section is not None else [row.measure.section]
                section = row.measure.section
            lines.append(line(values))
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """The table as Markdown, one per section, and the settings.

        Returns:
            A Markdown document.
        """
        lines: list[str] = []
        section = None
        for row in self.rows:
            if row.measure.section != section:
                section = row.measure.section
                lines += ["", f"## {section}", "", "| " + " | ".join(self.head) + " |"]
                lines.append("|---|--:|--:|--:|:--|:--|")
            lines.append("| " + " | ".join(row.cells()) + " |")
        lines += [
            "",
            "Settings: " + ", ".join(f"{name} {value}" for name, value in self.settings.items()) + ".",
        ]
        return "\n".join(["# Held-out evaluation", *lines]) + "\n"

    def to_json(self) -> str:
        """Settings and estimates as JSON; numbers that do not exist are null.

        Returns:
            A JSON object with `settings` and `measures`.
        """
        measures = {
            row.measure.key: {
                **{name: _json_number(value) for name, value in asdict(row.estimate).items()},
                "unit": row.measure.unit,
                "goal": row.measure.goal,
                "met": row.met,
                **({"baseline": row.baseline} if row.baseline else {}),
            }
            for row in self.rows
        }
        return json.dumps({"settings": dict(self.settings), "measures": measures}, indent=2) + "\n"

    def to_csv(self) -> str:
        """One line per scene; empty where a scene does not have what is measured.

        Returns:
            A header and a line per scene.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.scenes)
        for values in zip(*self.scenes.values(), strict=True):
            writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in values])
        return text.getvalue()

    def save(self, folder: str | Path) -> list[Path]:
        """Write `scenes.csv`, `summary.json`, `summary.md` and, if there is a picture, `scenes.png`.

        Args:
            folder: Made if needed; files of the same names are replaced, each whole or not at all.

        Returns:
            The files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, text in zip(
            REPORT_FILES, (self.to_csv(), self.to_json(), self.to_markdown()), strict=False
        ):
            with atomic_path(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(folder / name)
        if self.picture is not None:
            save_picture(self.picture, folder / REPORT_FILES[3])
            written.append(folder / REPORT_FILES[3])
        return written


def make_report(
    measures: Sequence[Measure],
    scenes: Mapping[str, Float[Tensor, " scene"]],
    *,
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None = None,
    picture: Float[Tensor, "rgb=3 height width"] | None = None,
    bootstrap_seed: int = 0,
) -> Report:
    """Estimates of all measures whose numbers are there.

    Args:
        measures: Lines of the table; those whose numbers are missing are left out.
        scenes: Numbers per scene.
        seeds: Seeds of the scenes.
        settings: What was run, JSON values.
        picture: Contact sheet, sRGB in [0, 1].
        bootstrap_seed: Start of the generator of resamples; every line starts anew, so that it does not
            depend on the lines before it.

    Returns:
        The report.
    """
    rows = []
    for measure in measures:
        over = () if measure.over is None else (measure.over,)
        needed = (measure.values, *over, *(name for name, _ in measure.baselines))
        if all(name in scenes for name in needed):
            rows.append(_row(measure, scenes, torch.Generator().manual_seed(bootstrap_seed)))
    columns: dict[str, Sequence[int | float]] = {"seed": list(seeds)}
    columns |= {name: values.tolist() for name, values in scenes.items()}
    return Report(rows=tuple(rows), scenes=columns, settings=dict(settings or {}), picture=picture)


def _row(
    measure: Measure, scenes: Mapping[str, Float[Tensor, " scene"]], generator: torch.Generator
) -> ReportRow:
    values = scenes[measure.values]
    if measure.baselines:
        gains = torch.stack([values - scenes[name] for name, _ in measure.baselines], dim=-1)
        estimate, best = least_mean_estimate(gains, generator=generator)
        return ReportRow(measure, estimate, measure.baselines[best][1])
    other = torch.ones_like(values) if measure.over is None else scenes[measure.over]
    defined = ~(values.isnan() | other.isnan())
    if measure.below_one:
        return ReportRow(measure, share_estimate(values[defined] < other[defined]))
    if measure.share:
        return ReportRow(measure, share_estimate(values[defined] > 0.5))
    if measure.over is None:
        return ReportRow(measure, mean_estimate(values, generator=generator))
    return ReportRow(measure, ratio_estimate(values, other, generator=generator))


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _json_number(value: float | int) -> float | int | None:
    return None if isinstance(value, float) and math.isnan(value) else value
