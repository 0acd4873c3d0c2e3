"""Measured rows below the published ones: scale, the best, reasons, and what makes them not comparable."""

import math
from dataclasses import replace
from typing import Any

import pytest

from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.protocol import REAL_CLIPS, EvaluationSummary, MetricSummary
from diff4splat.evaluation.reports import PUBLISHED_TABLES, Cell, ReportTable, paper_tables
from diff4splat.evaluation.statistics import Estimate

NAN = math.nan
I3D = ExtractorSpec("I3D, Kinetics-400", "logits", "", "sha256:1")
MAST3R = ExtractorSpec("MASt3R", "", "", "sha256:2")
TOY = ExtractorSpec("Toy", "", "", "seed 1", trained=False)
SPECS = {spec.key: spec for spec in (I3D, MAST3R, TOY)}


def row(
    metric: str, value: float, low: float = NAN, high: float = NAN, count: int = 5, **more
) -> MetricSummary:
    return MetricSummary(metric, Estimate(value, low, high, count), **more)


def method(name: str, *rows: MetricSummary) -> EvaluationSummary:
    return EvaluationSummary(name, rows)


def table(name: str, *methods: EvaluationSummary, **options: Any) -> ReportTable:
    first, *others = methods
    found = paper_tables(first, options.pop("facts", None), others, extractors=SPECS, **options)
    return next(item for item in found if item.title.startswith(f"{name}."))


def measured(found: ReportTable, place: int, heading: str) -> Cell:
    column = next(i for i, head in enumerate(found.headings) if head.title == heading)
    return [item for item in found.rows if item.measured][place].cells[column]


def notes(found: ReportTable, cell: Cell) -> str:
    return " ".join(found.notes[number - 1] for number in cell.notes)


def test_published_rows_stand_above_as_they_were_printed() -> None:
    for found, published in zip(
        paper_tables(method("ours"), ablations=[method("variant")]), PUBLISHED_TABLES, strict=True
    ):
        rows = [item for item in found.rows if not item.measured]
        assert [[cell.text for cell in item.cells] for item in rows] == [
            [item.method, *item.values.values()] for item in published.rows
        ]
        assert [item.measured for item in found.rows] == sorted(item.measured for item in found.rows)


def test_consistency_is_on_the_scale_of_the_table() -> None:
    ours = method("ours", row("subject_consistency", 0.87654, 0.8, 0.9))
    percent = measured(table("Table 2", ours), 0, "Subject consistency")
    assert (percent.text, percent.interval) == ("87.65", "[80.00, 90.00]")
    share = measured(table("Supplement, Table 3", ours), 0, "Subject consistency")
    assert (share.text, share.interval) == ("0.88", "[0.80, 0.90]")


def test_rotation_is_not_converted() -> None:
    # Pitfall: the paper's 0.810 and 0.008 have no unit; turning ours into radians would be a guess.
    ours = method("ours", row("rpe_rotation_mean_deg", 1.25))
    found = table("Table 3", ours)
    assert measured(found, 0, "Avg. RPE, rotation").text == "1.2500 deg"
    head = next(item for item in found.headings if item.title == "Avg. RPE, rotation")
    assert "no unit" in found.notes[head.notes[0] - 1]


def test_units_are_those_of_the_column() -> None:
    ours = method("ours", row("latency_ms", 7.5), row("cycle_psnr_running", math.inf))
    found = table("Table 6", ours)
    assert measured(found, 0, "Interactive latency").text == "7.50 ms"
    assert measured(found, 0, "Cycle consistency").text == "inf dB"
    assert (
        measured(table("Table 1", method("a", row("reconstruction_seconds", 3.0))), 0, "Rec. time").text
        == "3.00 s"
    )


@pytest.mark.parametrize(
    ("metric", "heading", "values", "best"),
    [
        ("qa_quality", "QA-Quality", (2.5, 3.5, 3.0), [False, True, False]),
        ("kvd", "KVD", (2.5, 3.5, -0.5), [False, False, True]),  # unbiased, so it may be below zero
        ("kvd", "KVD", (2.00001, 3.5, 2.00002), [True, False, True]),  # the same as it is shown
        ("qa_quality", "QA-Quality", (2.5, NAN, NAN), [False, False, False]),  # of one there is no best
        ("qa_quality", "QA-Quality", (2.5, NAN, 2.0), [True, False, False]),
    ],
)
def test_the_best_of_what_was_measured(
    metric: str, heading: str, values: tuple[float, ...], best: list[bool]
) -> None:
    found = table("Table 1", *(method(str(i), row(metric, value)) for i, value in enumerate(values)))
    assert [measured(found, place, heading).best for place in range(3)] == best
    assert ("Marked is the best" in found.remark) == any(best)
    assert not any(cell.best for item in found.rows if not item.measured for cell in item.cells)


@pytest.mark.parametrize(
    "second",
    [
        row("fvd", 100.0, count=160, extractor=TOY.key),  # another network
        row("fvd", 100.0, count=80, extractor=I3D.key),  # other clips
        # Pitfall: who fails on what is hard has the easy rest, and as many scenes.
        row("fvd", 100.0, count=160, extractor=I3D.key, missing=3, problems=(("too dark", 3),)),
    ],
)
def test_what_is_not_comparable_has_no_best(second: MetricSummary) -> None:
    first = row("fvd", 200.0, count=160, extractor=I3D.key)
    found = table("Table 1", method("a", first), method("b", second))
    cells = [measured(found, place, "FVD") for place in (0, 1)]
    assert not any(cell.best for cell in cells)
    assert all("best is not marked" in notes(found, cell) for cell in cells)


def test_why_a_number_is_not_comparable_with_the_published() -> None:
    cells = {}
    for name, item in {
        "like the paper's": row("fvd", 1.0, count=160, extractor=I3D.key),
        "few clips": row("fvd", 1.0, count=35, extractor=I3D.key),
        "untrained": row("fvd", 1.0, count=160, extractor=TOY.key),
        "unknown": row("fvd", 1.0, count=160, extractor="0123"),
    }.items():
        found = table("Table 1", method(name, item))
        cells[name] = notes(found, measured(found, 0, "FVD"))
        assert "the clips are others" in found.remark
        assert next(item.group for item in found.rows if item.measured).endswith(
            "not comparable with the published rows"
        )
    assert cells["like the paper's"] == ""
    assert "From 35 clips" in cells["few clips"] and "160" in cells["few clips"]
    assert "By Toy, in which nothing was learned" in cells["untrained"] and "I3D" in cells["untrained"]
    assert "0123" in cells["unknown"]


def test_matches_of_another_matcher() -> None:
    for key, words in (
        (MAST3R.key, ""),
        (TOY.key, "By Toy, in which nothing was learned. The paper used MASt3R."),
    ):
        found = table("Table 2", method("a", row("matches_first", 9.0, extractor=key)))
        assert notes(found, measured(found, 0, "Avg. matches")) == words


def test_what_was_not_measured_has_a_reason() -> None:
    found = table("Table 1", method("a"))
    cell = measured(found, 0, "CLIP-Score")
    assert (cell.text, notes(found, cell)) == ("-", "Not measured: needs CLIP weights and prompts.")
    found = table("Table 6", method("a"))
    assert "no closed path" in notes(found, measured(found, 0, "Cycle consistency"))


def test_what_could_not_be_measured_says_why() -> None:
    lost = row("qa_quality", NAN, count=0, missing=3, problems=(("no frames", 2), ("too dark", 1)))
    found = table("Table 1", method("a", lost))
    cell = measured(found, 0, "QA-Quality")
    assert (cell.text, cell.interval) == ("-", "")
    assert notes(found, cell) == "3 clips have no number: no frames (2); too dark (1)."
    # Pitfall: a mean over what is left must not hide what is missing.
    some = replace(lost, estimate=Estimate(2.0, 1.0, 3.0, 4))
    found = table("Table 1", method("a", some))
    cell = measured(found, 0, "QA-Quality")
    assert cell.text == "2.000" and "3 clips have no number" in notes(found, cell)


def test_a_set_without_a_number_says_why() -> None:
    # Pitfall: no single clip lacks a number of the whole set, so there are not "0 clips" without one.
    lost = row("fvd", NAN, count=1, extractor=I3D.key, problems=(("one clip only", 1),))
    found = table("Table 1", method("a", lost))
    assert notes(found, measured(found, 0, "FVD")) == "No number: one clip only."


def test_real_clips_are_no_method() -> None:
    # Pitfall: a video may be more consistent than real ones, and real ones "win" what they are the truth of.
    ours = method("ours", row("subject_consistency", 0.9), row("rpe_translation_mean", 0.2))
    real = method(REAL_CLIPS, row("subject_consistency", 0.8), row("rpe_translation_mean", 0.1))
    rival = method("rival", row("subject_consistency", 0.7), row("rpe_translation_mean", 0.3))
    for others, best in (([real], []), ([real, rival], ["ours"])):
        facts = {"capabilities": {"novel_view_synthesis": True}}
        for found in paper_tables(ours, facts, others, extractors=SPECS)[1:3]:
            names = {item.cells[0].text: item for item in found.rows if item.measured}
            assert list(names)[-1] == REAL_CLIPS and names[REAL_CLIPS].group != names["ours"].group
            assert [name for name, item in names.items() if any(cell.best for cell in item.cells)] == best
            last = names[REAL_CLIPS].cells[-1]  # time, and a capability
            assert (last.text, notes(found, last)) == ("-", "Does not apply to real clips.")


def test_times_have_no_best() -> None:
    # Pitfall: a summary does not say which machine it was measured on.
    found = table("Table 1", *(method(name, row("reconstruction_seconds", 1.0)) for name in "ab"))
    assert not any(measured(found, place, "Rec. time").best for place in (0, 1))


def test_an_interval_that_would_not_be_valid_is_not_shown() -> None:
    found = table("Table 1", method("a", row("fvd", 300.0)))
    assert measured(found, 0, "FVD") == Cell("300.000", "", measured(found, 0, "FVD").notes)


def test_footnotes_are_numbered_as_they_come_and_each_is_used() -> None:
    ours = method("a", row("fvd", 1.0, count=7, extractor=TOY.key), row("qa_quality", 2.0))
    for found in paper_tables(ours, others=[replace(ours, method="b")], extractors=SPECS):
        used = [number for head in found.headings for number in head.notes]
        used += [number for item in found.rows for cell in item.cells for number in cell.notes]
        assert list(dict.fromkeys(used)) == list(range(1, len(found.notes) + 1))
        assert len(set(found.notes)) == len(found.notes)


def test_rows_of_single_paths_are_not_those_of_all_clips() -> None:
    found = table("Table 1", method("a", row("qa_quality", 4.0, trajectory="spiral"), row("qa_quality", 2.0)))
    assert measured(found, 0, "QA-Quality").text == "2.000"


def test_capabilities_are_facts() -> None:
    facts = {"capabilities": {"novel_view_synthesis": True, "depth_rasterization": False}}
    found = table("Table 3", method("a"), method("b"), facts=facts)
    cells = [measured(found, 0, name) for name in ("Novel view synthesis", "Depth rasterization")]
    assert [(cell.text, cell.mark) for cell in cells] == [("yes", True), ("no", True)]
    unknown = [measured(found, 0, "Real-time interaction"), measured(found, 1, "Novel view synthesis")]
    assert all(cell.text == "-" and notes(found, cell) == "Not stated of this method." for cell in unknown)
    for wrong in ({"capabilities": ["all"]}, {"capabilities": {"depth_rasterization": "yes"}}):
        with pytest.raises(TypeError, match="capabilities"):
            paper_tables(method("a"), wrong)


def test_ablations_have_the_tables_of_ablations() -> None:
    ours, rival, variant = (method(name) for name in ("ours", "rival", "variant"))
    names = [item.title for item in paper_tables(ours, others=[rival])]
    assert not any(name.startswith("Table 4") for name in names) and len(names) == 5
    found = paper_tables(ours, others=[rival], ablations=[variant])
    rows = {
        item.title.partition(".")[0]: [line.cells[0].text for line in item.rows if line.measured]
        for item in found
    }
    assert rows["Table 4"] == rows["Supplement, Table 3"] == ["ours", "variant"]
    assert rows["Table 1"] == rows["Table 6"] == ["ours", "rival"]
