"""Pages in a browser: nothing in the console, nothing loaded, nothing wider than a phone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation.reports.synthetic import comparison, evaluation, summary
from viewer.browser import Browser

from diff4splat.evaluation.reports import write_comparison, write_report

pytestmark = pytest.mark.browser

HOSTILE = "</style><script>window.stolen = 1</script><img src=x onerror='window.stolen = 2'>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    ours = evaluation(HOSTILE)
    other = replace(summary(evaluation("x" * 80, seed=1)), warnings=(HOSTILE,))
    frames = {HOSTILE: {HOSTILE: torch.full((3, 3, 90, 160), 99, dtype=torch.uint8)}}
    write_report(folder, ours, summary(ours), others=[other], ablations=[other], frames=frames)
    write_comparison(folder, comparison(HOSTILE, "rival"), command=HOSTILE)
    return folder


@pytest.mark.parametrize("name", ["report", "comparison"])
@pytest.mark.parametrize("width", [390, 1200])
def test_page_is_quiet_and_fits(browser: Browser, folder: Path, name: str, width: int) -> None:
    page = browser.open(folder / f"{name}.html", width=width, height=700)
    assert page.complaints() == []
    assert {url for url in page.requests() if not url.startswith("data:")} == {page.url}
    assert page.evaluate("window.stolen === undefined")
    assert page.evaluate("document.querySelector('h1').textContent").find(HOSTILE) >= 0
    # Tables scroll by themselves; the page does not.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What rows may be compared with stays in sight, and a long name leaves room for numbers.
    for part, side in (("tr.group span", "right"), ("td:nth-child(2)", "left")):
        found = page.evaluate(
            f"[...document.querySelectorAll('{part}')].map((item) => item.getBoundingClientRect().{side})"
        )
        assert all(place <= width for place in found), (part, max(found))
    # The style is in effect, so its hash is right.
    assert page.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
    page.close()


def test_pictures_and_plots_are_drawn(browser: Browser, folder: Path) -> None:
    page = browser.open(folder / "report.html", width=1200, height=700)
    sizes = page.evaluate("[...document.images].map((item) => [item.naturalWidth, item.naturalHeight])")
    assert sizes == [[3 * 160 + 2 * 4, 90]]
    assert page.evaluate("[...document.querySelectorAll('svg')].every((item) => item.clientWidth > 8)")
    light, dark = (_ground(page, mode) for mode in ("light", "dark"))
    assert light != dark
    page.close()


def _ground(page, mode: str) -> str:
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
