"""Histograms of metrics."""

import math
import re
from xml.etree import ElementTree

import numpy as np

from diff4splat.data.curation_report import histogram_svg, metric_histograms
from diff4splat.data.stages import Outcome
from diff4splat.data.stages.item import Value


def outcomes(values: list[Value], name: str = "error") -> list[Outcome]:
    """Every third clip is kept."""
    statuses = ("kept", "rejected", "failed")
    return [Outcome(f"c{i}", statuses[i % 3], "s", "", {name: value}) for i, value in enumerate(values)]


def test_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(3).normal(5, 2, 499)
    (found,) = metric_histograms(outcomes(values.tolist()))
    assert (found.low, found.high, found.below, found.above) == (values.min(), values.max(), 0, 0)
    kept = np.arange(499) % 3 == 0
    for side, chosen in ((found.kept, kept), (found.others, ~kept)):
        assert list(side) == np.histogram(values[chosen], 24, (found.low, found.high))[0].tolist()


def test_far_values_are_counted_in_the_last_bin() -> None:
    values: list[Value] = [*np.linspace(0.1, 1.1, 997).tolist(), 1e6, 1e7]
    (found,) = metric_histograms(outcomes(values))
    assert found.low == 0.1 and 1 < found.high < 1.1
    assert found.above == sum(value > found.high for value in values) and found.below == 0
    assert sum(found.kept) + sum(found.others) == 999
    assert "≥ " in histogram_svg(found) and "≤ " not in histogram_svg(found)


def test_whole_numbers_have_a_bin_each() -> None:
    (found,) = metric_histograms(outcomes([3, 5, 5, 7, 3, 5]))
    assert (found.low, found.high) == (2.5, 7.5)
    assert found.kept == (1, 0, 0, 0, 1) and found.others == (1, 0, 3, 0, 0)
    assert ">3</text>" in histogram_svg(found) and ">7</text>" in histogram_svg(found)
    assert "5: 3 not kept" in histogram_svg(found)


def test_what_is_no_finite_number() -> None:
    rows = outcomes([True, math.nan, None, "text", math.inf, 0.25])
    (found,) = metric_histograms(rows)
    assert found.not_finite == 2 and sum(found.kept) == 1 and sum(found.others) == 1
    assert metric_histograms(outcomes(["a", None, math.nan])) == []
    assert metric_histograms([]) == []


def test_extreme_ranges() -> None:
    for values in ([0.5, 0.5], [1e9 + 0.1, 1e9 + 0.1], [0.0, 5e-324], [-1.7e308, 1.7e308], [1e17, 1e17 + 32]):
        (found,) = metric_histograms(outcomes(list(values)))
        assert sum(found.kept) == sum(found.others) == 1
        assert found.low <= values[0] and values[1] <= found.high
        assert "NaN" not in histogram_svg(found)


def test_limit_takes_the_first() -> None:
    rows = [Outcome("a", "kept", "s", "", {f"m{i}": float(i) for i in range(7)})]
    assert [item.name for item in metric_histograms(rows, limit=3)] == ["m0", "m1", "m2"]


def test_drawing() -> None:
    (found,) = metric_histograms(outcomes([1, 1, 1, 2, 1, 1], name='"><script>'))
    drawing = histogram_svg(found)
    root = ElementTree.fromstring(drawing)
    assert "<script>" not in drawing and root.get("aria-label", "").startswith('"><script>: 2 clips kept')
    bars = [item for item in root if item.tag == "rect"]
    assert [bar.get("class") for bar in bars] == ["kept", "others", "kept"]
    low = float(bars[0].get("y", 0)) + float(bars[0].get("height", 0))
    assert low <= float(bars[1].get("y", 0))  # one above the line, the other below
    assert bars[0].get("height") == bars[2].get("height")  # one clip each
    assert not re.search("nan|inf", drawing.replace("script", ""), flags=re.IGNORECASE)
