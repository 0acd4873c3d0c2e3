"""Drawings of a report: a metric by path and by scene, and differences of two methods with their intervals.

They have classes and no colours: the style of the page gives those, for light and dark.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence

from diff4splat.evaluation.metrics.metric import METRICS
from diff4splat.evaluation.protocol.comparison import Comparison, MetricComparison
from diff4splat.evaluation.reports.table import number_text, one_line
from diff4splat.evaluation.statistics import Estimate

__all__ = ["NUM_COLORS", "difference_plot", "method_key", "metric_plot"]

_WIDTH, _LABELS, _ROW, _TOP, _BOTTOM = 340.0, 92.0, 20.0, 4.0, 20.0
_LINE_WIDTH, _LINE_HEIGHT = 420.0, 24.0
NUM_COLORS = 6
"""Methods that have a colour of their own."""


def metric_plot(
    metric: str,
    by_trajectory: Mapping[str, Sequence[tuple[str, Estimate]]],
    scenes: Sequence[tuple[str, float]] = (),
) -> str:
    """A metric by path, one dot and interval per method, and one dot per scene below.

    Numbers that are not finite have no dot; words say how many of the scenes have none.

    Args:
        metric: Key of `METRICS`.
        by_trajectory: Name and estimate of each method for each path.
        scenes: Name and mean of each scene, of the first method.

    Returns:
        An SVG element.
    """
    digits = METRICS[metric].digits
    rows = [(name, list(series)) for name, series in by_trajectory.items()]
    numbers = [end for _, series in rows for _, item in series for end in (item.value, item.low, item.high)]
    low, high = _range([*numbers, *(value for _, value in scenes)])
    inner = _WIDTH - _LABELS - 8

    def place(value: float) -> float:
        return _LABELS + (value - low) / (high - low) * inner

    parts, top = [], _TOP
    for name, series in rows:
        tall = _ROW + 8.0 * max(len(series) - 1, 0)
        parts.append(_label(name, top + tall / 2 + 4))
        for index, (method, item) in enumerate(series):
            middle = top + _ROW / 2 + 8.0 * index
            parts.append(_estimate(place, middle, item, f"{method}, {name}", digits, index))
        top += tall
    finite = [(name, value) for name, value in scenes if math.isfinite(value)]
    if finite:
        parts.append(_label("each scene", top + _ROW / 2 + 4))
        parts += [
            f'<circle class="scene" cx="{place(value):.2f}" cy="{top + 4 + 12 * (index * 0.618 % 1):.2f}" '
            f'r="3"><title>{_text(name)}: {number_text(value, digits)}</title></circle>'
            for index, (name, value) in enumerate(finite)
        ]
        top += _ROW
    lost = len(scenes) - len(finite)
    if lost:
        words = f"{lost} of {len(scenes)} scenes have no finite number"
        parts.append(f'<text class="tick" x="0" y="{top + 13:.2f}">{words}</text>')
        top += _ROW
    parts.append(f'<path class="axis" d="M{_LABELS:g} {top + 2:.2f}H{_LABELS + inner:g}"/>')
    if any(math.isfinite(number) for number in numbers) or finite:
        ends = ((_LABELS, "start", low), (_LABELS + inner, "end", high))
        parts += [
            f'<text class="tick" x="{x:g}" y="{top + 15:.2f}" text-anchor="{side}">'
            f"{_number(value, digits)}</text>"
            for x, side, value in ends
        ]
    words = _text(f"{METRICS[metric].title} of {len(rows)} paths and {len(finite)} scenes")
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {top + _BOTTOM:g}" role="img" aria-label="{words}">'
        f"{''.join(parts)}</svg>"
    )


def difference_plot(comparison: Comparison) -> str:
    """Differences of two methods with their intervals, metric below metric.

    The right half is where the second method is better; numbers without a direction grow to the right. Each
    line is scaled to its own ends.

    Args:
        comparison: The two methods.

    Returns:
        HTML elements; rows without a difference have no dot.
    """
    first, second = _text(comparison.first), _text(comparison.second)
    lines = [
        f'<div><span class="name"></span><span class="ends"><span>← {first} better</span>'
        f"<span>{second} better →</span></span><span></span></div>"
    ]
    for row in comparison.rows:
        metric = METRICS[row.metric]
        value, low, high = (
            number_text(number, metric.digits)
            for number in (row.difference.value, row.difference.low, row.difference.high)
        )
        numbers = f"{value} {metric.unit}".strip() + (f" [{low}, {high}]" if "-" not in (low, high) else "")
        numbers += ", neither way is better" if metric.better is None else ""
        lines.append(
            f'<div><span class="name">{_text(metric.title)}</span>{_difference(row)}'
            f'<span class="numbers">{_text(numbers)}</span></div>'
        )
    return f'<div class="differences">{"".join(lines)}</div>'


def method_key(methods: Sequence[str]) -> str:
    """Which colour is which method.

    Args:
        methods: Names in the order of their colours.

    Returns:
        An HTML element.
    """
    items = "".join(
        f'<span><svg viewBox="0 0 12 12" aria-hidden="true"><circle class="dot m{place % NUM_COLORS}" cx="6" '
        f'cy="6" r="5"/></svg>{_text(name)}</span>'
        for place, name in enumerate(methods)
    )
    return f'<div class="key">{items}</div>'


def _difference(row: MetricComparison) -> str:
    """One line: no difference is its middle."""
    sign = -1.0 if METRICS[row.metric].better == "lower" else 1.0
    value, ends = row.difference.value, sorted((sign * row.difference.low, sign * row.difference.high))
    known = [abs(number) for number in (value, *ends) if math.isfinite(number)]
    reach = max(known, default=0.0) * 1.1 or 1.0

    def place(number: float) -> float:
        return _LINE_WIDTH / 2 * (1 + max(min(number / reach, 1.0), -1.0))

    middle = _LINE_HEIGHT / 2
    parts = [
        f'<path class="axis" d="M0 {middle:g}H{_LINE_WIDTH:g}"/>',
        f'<path class="zero" d="M{_LINE_WIDTH / 2:g} 1V{_LINE_HEIGHT - 1:g}"/>',
    ]
    kind = row.winner or "none"
    if all(map(math.isfinite, ends)):
        parts.append(
            f'<path class="interval {kind}" d="M{place(ends[0]):.2f} {middle:g}H{place(ends[1]):.2f}"/>'
        )
    if math.isfinite(value):
        parts.append(f'<circle class="dot {kind}" cx="{place(sign * value):.2f}" cy="{middle:g}" r="4.5"/>')
    words = _text(f"{METRICS[row.metric].title}: difference {number_text(value, METRICS[row.metric].digits)}")
    return (
        f'<svg class="difference" viewBox="0 0 {_LINE_WIDTH:g} {_LINE_HEIGHT:g}" role="img" '
        f'aria-label="{words}">{"".join(parts)}</svg>'
    )


def _range(numbers: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis with all finite numbers inside."""
    finite = [number for number in numbers if math.isfinite(number)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    margin = 0.04 * (high - low) or max(abs(high) * 0.01, 1e-9)
    return low - margin, high + margin


def _estimate(
    place: Callable[[float], float], middle: float, item: Estimate, words: str, digits: int, index: int
) -> str:
    """Dot and interval of a method at the height `middle`."""
    if not math.isfinite(item.value):
        return ""
    kind = f"m{index % NUM_COLORS}"
    line = ""
    if math.isfinite(item.low) and math.isfinite(item.high):
        line = f'<path class="interval {kind}" d="M{place(item.low):.2f} {middle:g}H{place(item.high):.2f}"/>'
    shown = f"{words}: {number_text(item.value, digits)}"
    if line:
        shown += f" [{number_text(item.low, digits)}, {number_text(item.high, digits)}]"
    dot = f'<circle class="dot {kind}" cx="{place(item.value):.2f}" cy="{middle:g}" r="4"/>'
    return f"<g><title>{_text(shown)}</title>{line}{dot}</g>"


def _label(name: str, base: float) -> str:
    short = name if len(name) <= 14 else f"{name[:13]}…"
    return f'<text x="0" y="{base:.2f}">{_text(short)}<title>{_text(name)}</title></text>'


def _number(value: float, digits: int) -> str:
    return number_text(value, digits) if abs(value) < 1e6 else f"{value:.3g}"


def _text(text: str) -> str:
    return html.escape(one_line(text))
