"""The report as files: what the page holds, before any script runs."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diff4splat.data.curation_report import read_outcomes, report_html, summarize, write_report
from diff4splat.data.stages import Outcome

HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 2'>\"{{data}}"


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 11, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def outcomes(count: int) -> list[Outcome]:
    rows = []
    for i in range(count):
        metrics = {"dataset": ("spring", "dl3dv")[i % 2], "error": i / 10}
        if i % 7 == 3:
            rows.append(Outcome(f"clip_{i}", "failed", "read", f"no file /a/{i}.png", metrics))
        elif i % 5 == 1:
            rows.append(Outcome(f"clip_{i}", "rejected", "judge", f"error is {i / 10} px", metrics))
        else:
            rows.append(Outcome(f"clip_{i}", "kept", "encode", "", metrics, {"encode": 0.5}))
    return rows


class Parser(HTMLParser):
    """Texts of cells, addresses, scripts and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "input", "br", "rect", "path", "img"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data


def data_of(page: str) -> dict:  # type: ignore[type-arg]
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])  # type: ignore[index]


def test_files_and_their_numbers(tmp_path: Path) -> None:
    rows = outcomes(53)
    previews = {row.uid: jpeg(i) for i, row in enumerate(rows[:11])}
    summary = write_report(iter(rows), tmp_path / "new" / "report", previews=previews, title="A run")
    assert summary == summarize(rows)
    folder = tmp_path / "new" / "report"
    assert sorted(file.name for file in folder.iterdir()) == ["clips.csv", "clips.parquet", "report.html"]
    assert read_outcomes(folder / "clips.parquet") == rows
    assert len((folder / "clips.csv").read_text(encoding="utf-8").splitlines()) == 54
    page = (folder / "report.html").read_text(encoding="utf-8")
    texts = Parser(page).texts
    statuses = [row.status for row in rows]
    counts = [str(statuses.count(name)) for name in ("kept", "rejected", "failed")]
    assert texts["title"][0] == texts["h1"][0] == "A run"
    assert texts["dt"] == ["clips", "kept", "rejected", "failed"]
    assert re.findall(r"<dd>(\d+)", page) == ["53", *counts]
    assert "clip_0" in page and len(data_of(page)["clips"]) == 53
    pictures = data_of(page)["pictures"]
    assert {data_of(page)["clips"][int(place)]["uid"] for place in pictures} == set(previews)
    first = base64.b64decode(pictures["0"].removeprefix("data:image/jpeg;base64,"))
    assert first == previews["clip_0"]


def test_says_what_is_left_out() -> None:
    rows = outcomes(53)
    previews = {row.uid: jpeg(0) for row in rows}
    page = report_html(rows, previews=previews, max_clips=13, max_pictures=5)
    assert "13 of 53 clips are listed" in page and "40 are only in clips.csv and clips.parquet" in page
    assert "5 of 53 pictures are in this page, 48 are not" in page
    assert len(data_of(page)["clips"]) == 13 and len(data_of(page)["pictures"]) == 5
    assert "<dd>53</dd>" in page  # counts are of all
    assert "All 53 clips are listed. There are no pictures." in report_html(rows)


def test_loads_nothing_and_obeys_no_text() -> None:
    metrics = {"dataset": HOSTILE, HOSTILE: 0.5, "text": HOSTILE}
    rows = [Outcome(HOSTILE, "rejected", HOSTILE, HOSTILE, metrics, {HOSTILE: 1.0})]
    page = report_html([*rows, *outcomes(7)], previews={HOSTILE: jpeg(0)}, title=HOSTILE)
    parser = Parser(page)
    assert set(parser.addresses) == {"data:,", "#clips"} and parser.handlers == []
    assert len(parser.texts["script"]) == 2 and parser.texts["h1"] == [HOSTILE]
    assert "<img" not in page.split("<script")[0] and "https:" not in page and "http:" not in page
    assert data_of(page)["clips"][0]["uid"] == HOSTILE
    assert "default-src 'none'" in page and "unsafe" not in page


def test_texts_that_no_page_can_hold() -> None:
    page = report_html([Outcome("a", "failed", "s", "bad \udcff\0")], title="half \ud800")
    assert "half \ufffd" in page and "bad \ufffd\ufffd" in page
    page.encode("utf-8")


def test_empty_and_all_kept() -> None:
    assert "There are no clips." in report_html([])
    assert "All clips are kept." in report_html([Outcome("a", "kept", "s")])


def test_same_rows_give_the_same_page() -> None:
    assert report_html(outcomes(29)) == report_html(outcomes(29))


def test_errors_come_before_any_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_pictures must be at least 0, got -1"):
        write_report(outcomes(3), tmp_path / "report", max_pictures=-1)
    with pytest.raises(ValueError, match=r"previews\['clip_2'\]"):
        write_report(outcomes(3), tmp_path / "report", previews={"clip_2": b"text"})
    assert list(tmp_path.iterdir()) == []


def test_written_again(tmp_path: Path) -> None:
    write_report(outcomes(3), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    write_report(outcomes(5), tmp_path)
    assert len(read_outcomes(tmp_path / "clips.parquet")) == 5
    assert (tmp_path / "notes.txt").read_text() == "mine"
