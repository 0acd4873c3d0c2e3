"""Nothing leaves the page, texts stay texts, and what goes wrong is said in words."""

import json
import re

import pytest
from viewer.browser import until
from viewer.pictures import psnr, rendered, show
from viewer.scenes import sideways

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.viewer import player_html, save_player

pytestmark = pytest.mark.browser

HOSTILE = [
    "</title></script><script>window.stolen = 1</script>",
    '<img src=x onerror="window.stolen = 2">',
    "<!--<script>",
    "--></SCRIPT >{{payload}}{{scene}}",
    "&lt;b&gt; &amp; \"quoted\" 'single' \\u003c \\",
    "\u2028\u2029\u202eright to left\u202c 猫 🐈 \x00",
    "{{title}}{{script}}",
    "a name of a file that is not UTF-8: \udcff",
    "__proto__",
]


def with_metadata(field: DeformableGaussianField, metadata: dict) -> DeformableGaussianField:
    return DeformableGaussianField(
        field.canonical,
        field.times,
        field.delta_means,
        field.delta_quaternions,
        field.delta_scales,
        metadata=metadata,
    )


def texts(page, selector: str) -> list[str]:
    return page.evaluate(f"[...document.querySelectorAll('{selector}')].map((part) => part.textContent)")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_are_shown_and_not_obeyed(browser, tmp_path, field, hostile):
    things = {"nested": {hostile: [hostile]}}
    metadata = {"prompt": hostile, hostile: "a value", "list": [hostile, 1], "things": things}
    small = with_metadata(field.select(slice(0, 97)), metadata)
    save_player(small, tmp_path / "player.html", cameras=sideways(), title=hostile)
    page = browser.open(tmp_path / "player.html")
    page.evaluate("diff4splat.ready")
    shown = hostile.replace("\0", "\ufffd").replace("\udcff", "\ufffd")  # HTML has no such characters
    assert texts(page, "h1") == [shown]
    assert page.evaluate("document.title") == shown.strip(" ")
    assert shown in texts(page, "#about dd") and shown in texts(page, "#about dt")
    structures = [json.loads(line) for line in texts(page, "#about dd") if line.startswith(("[", '{"'))]
    assert structures == [[hostile, 1], things]
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("document.querySelectorAll('img, [onerror], script:not([type])').length") == 1
    assert page.requests() == [page.url]
    assert page.complaints() == []
    page.close()


def test_no_request_leaves_the_page(page):
    assert page.requests() == [page.url]
    violated = page.evaluate("""new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        fetch("https://example.org/x").catch(() => 0);
    })""")
    assert violated == "connect-src"  # the page's own policy refuses what a script would ask for


@pytest.mark.parametrize(
    "markup", ["<script>window.stolen = 1</script>", '<b onclick="window.stolen = 1" id="b">x</b>']
)
def test_policy_refuses_scripts_that_are_not_the_pages_own(browser, path, tmp_path, markup):
    """Should markup ever get in, it does not run."""
    page_text = path.read_text(encoding="utf-8").replace("</header>", f"</header>{markup}")
    (tmp_path / "changed.html").write_text(page_text, encoding="utf-8")
    page = browser.open(tmp_path / "changed.html")
    page.evaluate("diff4splat.ready")
    page.evaluate("document.querySelector('#b')?.click()")
    assert page.evaluate("window.stolen") is None
    page.close()


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("HTMLCanvasElement.prototype.getContext = () => null", "WebGL 2"),
        ("delete window.DecompressionStream", "cannot unpack"),
    ],
)
def test_says_what_the_browser_lacks(browser, path, before, words):
    page = browser.open(path, before=before)
    page.wait_for("document.querySelector('#message').classList.contains('problem')")
    assert words in page.evaluate("document.querySelector('#message').textContent")
    assert page.evaluate("document.querySelectorAll('#bar :is(button, input):enabled').length") == 0
    assert page.evaluate("diff4splat.ready.catch((error) => error.message)") is not None
    assert page.complaints() == []
    page.close()


def test_damaged_page_says_so(browser, path, tmp_path):
    text = path.read_text(encoding="utf-8")
    payload = re.search(r'id="payload">([^<]*)<', text)[1]
    damaged = tmp_path / "damaged.html"
    damaged.write_text(text.replace(payload, payload[: len(payload) // 8 * 4]), encoding="utf-8")
    page = browser.open(damaged)
    page.wait_for("document.querySelector('#message').classList.contains('problem')")
    assert "damaged" in page.evaluate("document.querySelector('#message').textContent")
    page.close()


def test_says_when_scripts_are_off(browser, path):
    page = browser.open(path, before="0")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.call("Page.reload")

    def is_said() -> bool:
        words = json.dumps(page.call("DOM.getDocument", depth=-1))
        return "switched off" in words and "noscript" in words.lower()

    until(is_said, "words for readers without scripts")
    page.close()


@pytest.mark.parametrize("sandbox", ["", 'sandbox="allow-scripts"'])
def test_page_in_a_frame_as_notebooks_show_it(browser, tmp_path, field, sandbox):
    import html

    page_text = html.escape(player_html(field, cameras=sideways()))
    outer = tmp_path / "notebook.html"
    outer.write_text(
        f'<!DOCTYPE html><body style="margin:0"><iframe {sandbox} style="border:0;width:480px;height:360px" '
        f'srcdoc="{page_text}"></iframe>',
        encoding="utf-8",
    )
    page = browser.open(outer)
    until(lambda: page.screenshot()[120:240, 100:380].std() > 0.1, "a picture in the frame")
    page.key("c", "KeyC")
    assert page.complaints() == []
    page.close()


def test_files_that_name_no_other(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)
    assert not re.search(r"https?://", text)
    assert "{{" not in text


def test_broken_picture_would_be_seen(page, field):
    """The comparison can fail: another camera, or another time, is not the same picture."""
    cameras = sideways()
    picture = show(page, cameras, 2, 0.5)
    assert psnr(picture, rendered(field.at(0.55), cameras, 2)) < 30
    assert psnr(picture, rendered(field.at(0.5), cameras, 1)) < 30
