"""The report of an evaluation: everything is in all three files, and nothing silently left out."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation.reports.synthetic import PATHS, SCENES, SIFT, TOY, evaluation, summary

from diff4splat.evaluation.reports import Drawing, evaluation_document, terminal_text, write_report

OURS = evaluation()
OTHER = replace(summary(evaluation("rival", shift=-0.5, seed=1)), warnings=())


def clip(count: int) -> torch.Tensor:
    return torch.full((count, 3, 11, 17), 77, dtype=torch.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reports") / "made" / "here"
    frames = {name: {"input": clip(1), "ours": clip(3)} for name in OURS.clips[:3]}
    files = write_report(folder, OURS, summary(OURS), others=[OTHER], frames=frames, max_clips=2)
    assert [path.name for path in files] == ["report.md", "report.tex", "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in files)
    return {path.suffix: path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("suffix", [".md", ".tex", ".html"])
def test_every_file_holds_everything(written: dict[str, str], suffix: str) -> None:
    text = re.sub(r"\\(?=[_#%&])|\{\}|\\hspace\{0pt\}|[{}]", "", written[suffix])
    for words in (
        "Evaluation of compact",
        "procedural-7x5 (3f9a0c1e)",
        "FVD of 35 clips is mostly bias",
        "478.192",
        "412.8",  # all numbers
        "RPE translation, mean: 1 clip has no number: 2 of 9 frames registered (1).",
        TOY.key,
        "seed 3",
        SIFT.name,
        "machine.cpu: a processor",
        "settings.alignment: scale",
        "diff4splat evaluate --model compact --scenes 7 --output evaluation/",
        *PATHS,
    ):
        assert words in text, words
    assert text.index("FVD of 35 clips is mostly bias") < text.index("478.192")  # warnings come first


def test_the_page_has_plots_frames_and_no_way_out(written: dict[str, str]) -> None:
    page = written[".html"]
    assert page.count('<svg class="plot"') == 9
    assert page.count('class="scene"') == 9 * len(SCENES)
    assert page.count("data:image/jpeg") == 4 and "1 more clips are not shown." in page
    assert "default-src 'none'" in page and "<script" not in page
    addresses = re.findall(r"(?:src|href)=\"([^\"]{5})", page)
    assert len(addresses) == 5 and set(addresses) == {"data:"}
    assert "url(" not in page and "@import" not in page


def test_words_about_figures_stand_only_beside_them(written: dict[str, str]) -> None:
    found = ["A dot is a mean" in written[suffix] for suffix in (".md", ".tex", ".html")]
    assert found == [False, False, True]


def test_number_of_clips_is_that_of_the_clips_asked_for() -> None:
    text = terminal_text(evaluation_document(OURS, summary(OURS)))
    assert "35 clips of 7 scenes" in text and "== Read this first ==" in text


def test_a_warning_of_several_methods_stands_once() -> None:
    made = summary(OURS)
    others = [replace(OTHER, warnings=made.warnings)]
    text = " ".join(terminal_text(evaluation_document(OURS, made, others=others)).split())
    assert f"- compact; rival: {made.warnings[0]}" in text and text.count(made.warnings[0]) == 1


def test_many_methods_have_several_tables_and_plots_of_as_many_as_have_colors() -> None:
    others = [replace(OTHER, method=f"rival {number}") for number in range(7)]
    sections = {item.title: item for item in evaluation_document(OURS, summary(OURS), others=others).sections}
    heads = [[head.title for head in table.headings[1::2]] for table in sections["All numbers"].tables[:3]]
    names = [item.method for item in others]
    assert heads == [["compact", *names[:3]], ["compact", *names[3:6]], ["compact", names[6]]]
    plots = sections["By camera path and by scene"]
    assert "2 more methods are not drawn." in plots.paragraphs[0]
    drawn = "".join(figure.markup for figure in plots.figures if isinstance(figure, Drawing))
    assert "rival 4" in drawn and "rival 5" not in drawn


def test_a_metric_of_two_extractors_has_two_lines() -> None:
    made = summary(OURS)
    again = replace(made.rows[0], estimate=replace(made.rows[0].estimate, value=55.5), extractor=SIFT.key)
    document = evaluation_document(OURS, replace(made, rows=(made.rows[0], again, *made.rows[1:])))
    sections = {item.title: item for item in document.sections}
    lines = [[cell.text for cell in row.cells] for row in sections["All numbers"].tables[0].rows]
    assert lines[:2] == [["FVD ↓", "412.8", "35"], ["FVD ↓", "55.5", "35"]]
    (ours,) = [row for row in sections["The paper's tables"].tables[0].rows if row.measured]
    assert ours.cells[1].text == "412.750"  # the first, as `compare` takes it


def test_a_list_of_words_is_a_command() -> None:
    made = replace(OURS, facts={"command": ["diff4splat", "evaluate", "a file"], "seeds": [1, 2]})
    text = terminal_text(evaluation_document(made, summary(OURS)))
    assert "diff4splat evaluate 'a file'" in text and "- seeds: [1, 2]" in text


def test_what_was_measured_with_something_unknown_is_said() -> None:
    unknown = replace(OURS, extractors={})
    text = " ".join(terminal_text(evaluation_document(unknown, summary(OURS))).split())
    assert f"key {TOY.key}, of which there is no description" in text


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="summary must be of the method .* 'compact', got 'rival'"):
        evaluation_document(OURS, OTHER)
    with pytest.raises(ValueError, match="max_clips must be at least 0, got -1"):
        evaluation_document(OURS, summary(OURS), max_clips=-1)
    rows = (replace(summary(OURS).rows[0], metric="fvvd"),)
    with pytest.raises(ValueError, match="metrics must be keys of METRICS, got fvvd"):
        evaluation_document(OURS, replace(summary(OURS), rows=rows))
    with pytest.raises(ValueError, match=r"frames\['a'\]\['ours'\] cannot be shown: .*\[0, 3, 11, 17\]"):
        write_report(tmp_path / "new", OURS, summary(OURS), frames={"a": {"ours": clip(0)}})
    assert not (tmp_path / "new").exists()


def test_nothing_at_all_is_a_report(tmp_path: Path) -> None:
    bare = replace(OURS, scores=(), set_scores=(), extractors={}, facts={}, clips=())
    nothing = replace(summary(OURS), rows=(), by_trajectory=(), warnings=())
    text = write_report(tmp_path, bare, nothing)[0].read_text()
    assert "0 clips of 0 scenes" in text and "nan" not in text.lower()
