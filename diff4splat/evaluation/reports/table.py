"""A table of a report, as text that every form of it shows: cells, headings, groups and footnotes."""

import math
from dataclasses import dataclass
from typing import Literal

from diff4splat.evaluation.metrics.metric import Metric

__all__ = ["Cell", "Heading", "ReportTable", "TableRow", "interval_text", "measure_text", "number_text"]

ARROWS = {"higher": "↑", "lower": "↓", None: ""}
"""Which way is better."""
MARKS = {"yes": "✓", "no": "✗"}
"""What stands for a capability."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Args:
        text: The number or words; empty for nothing.
        interval: What says how sure it is; empty for nothing.
        notes: Numbers of footnotes, from 1 on.
        best: Whether it is the best among those that it may be compared with.
        mark: Whether `text` is "yes" or "no" and is shown as a mark.
    """

    text: str
    interval: str = ""
    notes: tuple[int, ...] = ()
    best: bool = False
    mark: bool = False


@dataclass(frozen=True)
class Heading:
    """Heading of a column.

    Args:
        title: Its words.
        better: Which way is better, shown as an arrow; None for neither.
        kind: Whether cells are words or numbers, which stand at the right.
        notes: Numbers of footnotes.
    """

    title: str
    better: Literal["higher", "lower"] | None = None
    kind: Literal["words", "number"] = "number"
    notes: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """Title and arrow."""
        return f"{self.title} {ARROWS[self.better]}".strip()


@dataclass(frozen=True)
class TableRow:
    """A row.

    Args:
        cells: One per column.
        group: Heading of the rows that it belongs to; empty for none.
        measured: Whether it is ours, not a published one.
    """

    cells: tuple[Cell, ...]
    group: str = ""
    measured: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table.

    Args:
        title: What it shows.
        headings: One per column.
        rows: From top to bottom; rows of one group follow each other.
        notes: Footnotes, the first one being number 1.
        remark: What concerns the whole table; empty for nothing.
    """

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    remark: str = ""

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row.cells) != len(self.headings):
                raise ValueError(
                    f"rows[{place}] of {self.title!r} must have {len(self.headings)} cells, "
                    f"got {len(row.cells)}."
                )


def number_text(value: float, digits: int) -> str:
    """A number with a fixed number of digits.

    Args:
        value: Any number.
        digits: Digits after the point.

    Returns:
        "-" for NaN, which is never shown as a number; "inf" or "-inf" for an infinite one.

    Examples:
        >>> [number_text(value, 2) for value in (1.005, -0.001, float("nan"), float("inf"))]
        ['1.00', '0.00', '-', 'inf']
    """
    if math.isnan(value):
        return "-"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if math.isfinite(value) and float(text) == 0 else text


def interval_text(low: float, high: float, digits: int) -> str:
    """An interval with a fixed number of digits.

    Args:
        low: Lower end.
        high: Upper end.
        digits: Digits after the point.

    Returns:
        Nothing where an end is NaN.

    Examples:
        >>> interval_text(-0.25, 1.0, 1)
        '[-0.2, 1.0]'
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number_text(low, digits)}, {number_text(high, digits)}]"


def measure_text(metric: Metric) -> str:
    """Name of a metric with its arrow and unit.

    Args:
        metric: The metric.

    Returns:
        Words in one line.

    Examples:
        >>> from diff4splat.evaluation.metrics import METRICS
        >>> measure_text(METRICS["psnr"])
        'PSNR ↑ (dB)'
    """
    words = Heading(metric.title, metric.better).words
    return f"{words} ({metric.unit})" if metric.unit else words


def one_line(text: str) -> str:
    """Text without control characters and ends of lines, which a table and a terminal have no place for.

    Args:
        text: Any text.

    Returns:
        The same in one line; characters that cannot be printed are replaced.
    """
    joined = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in joined)
