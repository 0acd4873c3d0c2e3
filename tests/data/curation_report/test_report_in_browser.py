"""The page of a report in a browser: filters, order, details, keys, and nothing that leaves it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from viewer.browser import Browser, Page

from diff4splat.data.curation_report import write_report
from diff4splat.data.stages import Outcome

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.stolen = 1'></script><script>window.stolen = 2</script>"
ROWS = [
    *(
        Outcome(f"room_{i}", "kept", "encode", "", {"dataset": "spring", "error": 0.5 + (i * 7 % 11)})
        for i in range(67)
    ),
    Outcome("far", "rejected", "judge", "error is 7 px", {"dataset": "dl3dv", "error": 7.25}),
    Outcome("farther", "rejected", "judge", "error is 9 px", {"dataset": "dl3dv", "error": float("nan")}),
    Outcome(HOSTILE, "failed", "read", HOSTILE, {"dataset": HOSTILE}),
]
# A PNG of one pixel.
ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    write_report(ROWS, tmp_path, previews={"room_3": ONE_PIXEL, "far": ONE_PIXEL})
    page = browser.open(tmp_path / "report.html", width=900, height=700)
    yield page
    assert page.complaints() == []
    assert {url for url in page.requests() if not url.startswith("data:")} == {page.url}
    page.close()


def names(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.card .name')].map((item) => item.textContent)")


def choose(page: Page, control: str, value: str) -> None:
    kind = "input" if control == "search" else "change"
    page.evaluate(
        f"document.getElementById('{control}').value = '{value}';"
        f"document.getElementById('{control}').dispatchEvent(new Event('{kind}'))"
    )


def test_all_clips_in_steps(page: Page) -> None:
    found = names(page)
    assert len(found) == 60 and found[:2] == ["room_3", "far"]  # pictures first
    assert page.evaluate("document.getElementById('shown').textContent") == "70 clips, the first 60 shown"
    page.evaluate("document.getElementById('more').click()")
    assert sorted(names(page)) == sorted(row.uid for row in ROWS)
    assert page.evaluate("document.getElementById('more').hidden")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.card')[60]")


def test_filters(page: Page) -> None:
    choose(page, "status", "rejected")
    assert names(page) == ["far", "farther"]
    choose(page, "search", "9 PX")
    assert names(page) == ["farther"]
    choose(page, "search", "")
    choose(page, "status", "")
    choose(page, "dataset", str(sorted(["spring", "dl3dv", HOSTILE]).index("dl3dv")))
    assert names(page) == ["far", "farther"]
    page.evaluate("document.getElementById('pictured').click()")
    assert names(page) == ["far"]
    page.evaluate("document.getElementById('all').click()")
    page.wait_for("document.querySelectorAll('.card').length === 60")


def test_reason_of_the_table_chooses_its_clips(page: Page) -> None:
    assert page.evaluate("document.querySelector('#reasons button').textContent") == "error is # px"
    page.evaluate("document.querySelector('#reasons button').click()")
    page.wait_for("document.querySelectorAll('.card').length === 2")
    assert names(page) == ["far", "farther"]
    assert page.evaluate("document.activeElement.id") == "clips"


def test_order_by_a_metric(page: Page) -> None:
    column = page.evaluate(
        "[...document.getElementById('sort').options].find((o) => o.text === 'error').value"
    )
    choose(page, "sort", column)
    page.evaluate("document.getElementById('more').click()")
    kept = sorted(ROWS[:68], key=lambda row: row.metrics["error"])  # what is no number comes last
    assert names(page) == [*(row.uid for row in kept), "farther", HOSTILE]
    choose(page, "order", "-1")
    page.evaluate("document.getElementById('more').click()")
    down = sorted(ROWS[:68], key=lambda row: -row.metrics["error"])
    assert names(page) == [*(row.uid for row in down), "farther", HOSTILE]


def test_detail_by_keys(page: Page) -> None:
    page.evaluate("document.querySelector('.card').focus()")
    page.evaluate("document.activeElement.click()")
    title = "document.getElementById('detail-title').textContent"
    assert page.evaluate(title) == "room_3"
    assert page.evaluate("document.querySelector('#detail-body img').decode().then(() => true)")
    assert "error" in page.evaluate("document.getElementById('detail-body').textContent")
    page.key("ArrowRight", "ArrowRight")
    assert page.evaluate(title) == "far"
    assert "error is 7 px" in page.evaluate("document.getElementById('detail-body').textContent")
    page.key("ArrowLeft", "ArrowLeft")
    page.key("ArrowLeft", "ArrowLeft")
    assert page.evaluate(title) == "room_3"
    page.key("ArrowRight", "ArrowRight")
    page.evaluate("document.getElementById('close').click()")
    page.wait_for("document.activeElement === document.querySelectorAll('.card')[1]")


def test_texts_are_shown_and_not_obeyed(page: Page) -> None:
    choose(page, "status", "failed")
    assert names(page) == [HOSTILE]
    page.evaluate("document.querySelector('.card').click()")
    assert page.evaluate("document.getElementById('detail-title').textContent") == HOSTILE
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("rows", [0, 3, 70])
def test_fits_the_width(browser: Browser, tmp_path: Path, width: int, rows: int) -> None:
    long = [replace(row, uid=row.uid + 80 * "x", reason=200 * "y") for row in ROWS[-rows:] if rows]
    write_report(long, tmp_path, title="Very" + 60 * "long")
    page = browser.open(tmp_path / "report.html", width=width, height=700)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(names(page)) == min(rows, 60)
    assert page.evaluate("document.getElementById('filters').hidden") == (rows == 0)
    page.close()
