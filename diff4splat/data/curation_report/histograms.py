"""Histograms of what was measured: clips that are kept above the line, the others below it."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from diff4splat.data.stages.item import Outcome

__all__ = ["MetricHistogram", "histogram_svg", "metric_histograms"]

_BINS = 24
_EXACT = 2**40  # whole numbers below have halves
_WIDTH, _HALF, _BELOW = 320.0, 46.0, 18.0


@dataclass(frozen=True)
class MetricHistogram:
    """How the values of a metric are spread over equal bins.

    Args:
        name: Name of the metric.
        low: Left end of the first bin.
        high: Right end of the last bin.
        kept: Clips in each bin that are kept.
        others: Clips in each bin that were rejected or failed.
        below: Clips with values below `low`, counted in the first bin.
        above: Clips with values above `high`, counted in the last bin.
        not_finite: Clips whose value is NaN or infinite, in no bin.
    """

    name: str
    low: float
    high: float
    kept: tuple[int, ...]
    others: tuple[int, ...]
    below: int = 0
    above: int = 0
    not_finite: int = 0

    @property
    def step(self) -> float:
        """Width of a bin."""
        return self.high / len(self.kept) - self.low / len(self.kept)

    @property
    def whole(self) -> bool:
        """Whether each bin is that of one whole number, in its middle."""
        return self.step == 1 and (self.low + 0.5).is_integer()


def metric_histograms(outcomes: Sequence[Outcome], *, limit: int = 40) -> list[MetricHistogram]:
    """Histograms of all metrics that are numbers.

    Bins reach from the least value to the largest; where the outer 1 % of a side would take more than half of
    that range, they are counted in the last bin of their side instead. Whole numbers of a small range have a
    bin each. Truth values count as 0 and 1.

    Args:
        outcomes: One for each clip.
        limit: Largest number of metrics, those that appear first.

    Returns:
        One for each metric that has at least one finite value, in the order in which they appear.
    """
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.metrics)
    found: list[MetricHistogram] = []
    for name in names:
        known = [
            (float(value), outcome.status == "kept")
            for outcome in outcomes
            if isinstance(value := outcome.metrics.get(name), int | float)
        ]
        finite = [(value, kept) for value, kept in known if math.isfinite(value)]
        if finite and len(found) < limit:
            found.append(_histogram(name, finite, len(known) - len(finite)))
    return found


def histogram_svg(histogram: MetricHistogram) -> str:
    """A histogram as a drawing for a page, without colours of its own.

    Bars of clips that are kept stand above the line and have the class "kept"; those of the others hang below
    it and have the class "others". Each side is scaled to its own largest bin. Words say how many there are.

    Args:
        histogram: What to draw.

    Returns:
        An SVG element whose classes the style of the page colours.
    """
    tops, bottoms = max(histogram.kept, default=0), max(histogram.others, default=0)
    step = _WIDTH / len(histogram.kept)
    bars = []
    for index, (kept, others) in enumerate(zip(histogram.kept, histogram.others, strict=True)):
        left, width = index * step, max(step - 1, 0.5)
        span = _bin_words(histogram, index)
        if kept:
            tall = max(kept / tops * _HALF, 1.0)
            words = f"{span}: {kept:,} kept"
            bars.append(_bar("kept", left, _HALF - tall, width, tall, words))
        if others:
            tall = max(others / bottoms * _HALF, 1.0)
            words = f"{span}: {others:,} not kept"
            bars.append(_bar("others", left, _HALF + 1, width, tall, words))
    height = 2 * _HALF + 1 + _BELOW
    words = html.escape(
        f"{histogram.name}: {sum(histogram.kept):,} clips kept and {sum(histogram.others):,} not kept"
    )
    inside = 0.5 if histogram.whole else 0.0
    low = ("≤ " if histogram.below else "") + _number(histogram.low + inside)
    high = ("≥ " if histogram.above else "") + _number(histogram.high - inside)
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{words}">'
        f'{"".join(bars)}<path class="axis" d="M0 {_HALF + 0.5}H{_WIDTH:g}"/>'
        f'<text x="0" y="{height - 4:g}">{low}</text>'
        f'<text x="{_WIDTH:g}" y="{height - 4:g}" text-anchor="end">{high}</text></svg>'
    )


def _histogram(name: str, values: Sequence[tuple[float, bool]], not_finite: int) -> MetricHistogram:
    ordered = sorted(value for value, _ in values)
    low, high, bins = ordered[0], ordered[-1], _BINS
    outer = len(ordered) // 100
    if outer:
        inner_low, inner_high = ordered[outer], ordered[-1 - outer]
        whole = high - low
        low, high = (
            inner_low if inner_low - low > whole / 2 else low,
            inner_high if high - inner_high > whole / 2 else high,
        )
    if all(value.is_integer() and abs(value) < _EXACT for value in ordered) and high - low < _BINS:
        low, high, bins = low - 0.5, high + 0.5, int(high - low) + 1
    elif not high / bins > low / bins:
        margin = max(abs(low) * 0.01, 1e-9)
        low, high = low - margin, high + margin
    counts = {True: [0] * bins, False: [0] * bins}
    for value, kept in values:
        place = math.floor((value / bins - low / bins) / (high / bins - low / bins) * bins)
        counts[kept][min(max(place, 0), bins - 1)] += 1
    return MetricHistogram(
        name=name,
        low=low,
        high=high,
        kept=tuple(counts[True]),
        others=tuple(counts[False]),
        below=sum(value < low for value in ordered),
        above=sum(value > high for value in ordered),
        not_finite=not_finite,
    )


def _bar(side: str, left: float, top: float, width: float, tall: float, words: str) -> str:
    return (
        f'<rect class="{side}" x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" height="{tall:.2f}">'
        f"<title>{html.escape(words)}</title></rect>"
    )


def _bin_words(histogram: MetricHistogram, index: int) -> str:
    left = histogram.low + index * histogram.step
    if histogram.whole:
        return _number(left + 0.5)
    return f"{_number(left)} to {_number(left + histogram.step)}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
