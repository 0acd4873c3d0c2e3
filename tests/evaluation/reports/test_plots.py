"""Drawings: where dots stand, what has none, and that names are text."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from diff4splat.evaluation.protocol import Comparison, MetricComparison
from diff4splat.evaluation.reports.plots import difference_plot, method_key, metric_plot
from diff4splat.evaluation.statistics import Estimate

NAN = math.nan


def numbers(drawing: str, kind: str, name: str) -> list[float]:
    root = ElementTree.fromstring(drawing)
    found = [item.attrib for item in root.iter() if kind in item.attrib.get("class", "").split()]
    return [float(item[name]) for item in found if name in item]


def compared(metric: str, value: float, low: float, high: float, winner: str = "") -> Comparison:
    nothing = Estimate(NAN, NAN, NAN, 0)
    row = MetricComparison(metric, nothing, nothing, Estimate(value, low, high, 5), NAN, NAN, winner, 5, 5)
    return Comparison("a<b", "c&d", (row,))


def test_dots_stand_in_proportion() -> None:
    estimates = [("a", Estimate(1.0, 0.0, 2.0, 3)), ("b", Estimate(4.0, NAN, NAN, 3))]
    drawing = metric_plot("psnr", {"spiral": estimates}, [("room", 3.0), ("hall", math.inf), ("attic", NAN)])
    (first,), (second,) = numbers(drawing, "m0", "cx"), numbers(drawing, "m1", "cx")
    (scene,) = numbers(drawing, "scene", "cx")
    # From 1 to 4 as 3 to 2: dots lie on one linear axis.
    assert (scene - first) / (second - first) == pytest.approx(2 / 3, abs=1e-3)
    low, high = map(float, re.search(r'class="interval m0" d="M([\d.]+) [\d.]+H([\d.]+)"', drawing).groups())
    assert (first - low) / (second - first) == pytest.approx(1 / 3, abs=1e-3)
    assert (high - first) / (second - first) == pytest.approx(1 / 3, abs=1e-3)
    assert "interval m1" not in drawing  # without ends there is no line
    assert "2 of 3 scenes have no finite number" in drawing


def test_nothing_finite_is_still_a_drawing() -> None:
    drawing = metric_plot("psnr", {"spiral": [("a", Estimate(NAN, NAN, NAN, 0))]})
    # Pitfall: without numbers there would be an axis from 0 to 1, which nothing was measured on.
    assert "circle" not in drawing and "tick" not in drawing
    assert ElementTree.fromstring(drawing).tag == "svg"
    one = metric_plot("psnr", {"spiral": [("a", Estimate(5.0, 5.0, 5.0, 1))]})
    assert len(numbers(one, "m0", "cx")) == 1 and "nan" not in one


def test_names_are_text() -> None:
    name = "<b onload='x'>&\""
    drawing = metric_plot("psnr", {name: [(name, Estimate(1.0, 0.0, 2.0, 3))]}, [(name, 1.0)])
    words = [item.text for item in ElementTree.fromstring(drawing).iter("title")]
    assert sorted(words) == sorted(
        [f"{name}, {name}: 1.00 [0.00, 2.00]", name, "each scene", f"{name}: 1.00"]
    )
    assert ElementTree.fromstring(method_key([name])).find("span").find("svg").tail == name
    assert "a&lt;b" in difference_plot(compared("psnr", 1.0, 0.5, 2.0))


@pytest.mark.parametrize(
    ("metric", "value", "ends", "right"),
    [
        ("psnr", 1.0, (0.5, 2.0), True),  # more is better, second has more
        ("lpips", 1.0, (0.5, 2.0), False),  # less is better, second has more
        ("lpips", -1.0, (-2.0, -0.5), True),
        ("dynamic_degree", 1.0, (0.5, 2.0), True),
    ],
)
def test_right_is_where_the_second_is_better(
    metric: str, value: float, ends: tuple[float, float], right: bool
) -> None:
    drawing = difference_plot(compared(metric, value, *ends, "second"))
    (place,) = numbers(drawing, "dot", "cx")
    middle = float(re.search(r'class="zero" d="M([\d.]+) ', drawing)[1])
    assert (place > middle) == right
    line = re.search(r'class="interval second" d="M([\d.]+) [\d.]+H([\d.]+)"', drawing)
    low, high = map(float, line.groups())
    assert low < place < high and (low > middle) == (high > middle) == right
    # The end farthest from zero is 2, so the dot is at half of its way.
    far = high if right else low
    assert (place - middle) / (far - middle) == pytest.approx(0.5, abs=1e-3)


def test_differences_without_interval_or_number() -> None:
    alone = difference_plot(compared("fvd", -7.0, NAN, NAN))
    assert len(numbers(alone, "dot", "cx")) == 1 and "interval" not in alone
    assert ">-7.0<" in alone
    none = difference_plot(compared("fvd", NAN, NAN, NAN))
    assert numbers(none, "dot", "cx") == [] and ">-<" in none
    same = difference_plot(compared("fvd", 0.0, 0.0, 0.0))
    assert numbers(same, "dot", "cx") == [float(re.search(r'class="zero" d="M([\d.]+) ', same)[1])]
