"""The player in a real browser: what it draws, what it says, and that nothing leaves the page."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from viewer.browser import Browser, Page, find_chromium
from viewer.scenes import rolling_ball, sideways

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import quaternion_normalize
from diff4splat.rendering import render
from diff4splat.viewer import player_html, save_player

HOSTILE = (
    "</title></script><script>window.stolen = 1</script>"
    '<img src=x onerror="window.stolen = 2">{{payload}}&amp;'
)


@pytest.fixture(scope="module")
def browser():
    binary = find_chromium()
    if binary is None:
        reason = "no chromium, chromium-browser or google-chrome in PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = Browser(binary)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def field() -> DeformableGaussianField:
    return rolling_ball(num_ground=1600, num_ball=1000)


@pytest.fixture(scope="module")
def path(tmp_path_factory, field) -> Path:
    path = tmp_path_factory.mktemp("player") / "player.html"
    save_player(field, path, cameras=sideways(), title="A ball")
    return path


@pytest.fixture
def page(browser, path):
    page = browser.open(path)
    page.evaluate("diff4splat.ready")
    page.evaluate("diff4splat.setQuality(1)")  # a slow machine must not change the size of the picture
    yield page
    page.close()


def show(page: Page, cameras: Cameras, frame: int, time: float) -> np.ndarray:
    lens = cameras.intrinsics[frame]
    numbers = [cameras.camera_to_world[frame].tolist(), *lens[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()]
    page.evaluate(f"diff4splat.setTime({time})")
    page.evaluate(f"diff4splat.setCamera({json.dumps(numbers)[1:-1]}, {cameras.width}, {cameras.height})")
    return page.canvas()


def psnr(picture: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((picture - other) ** 2)))


def rendered(gaussians: Gaussians, cameras: Cameras, frame: int) -> np.ndarray:
    color = render(gaussians, cameras.select(frame), backend="cpu").color[0]
    return color.clamp(0, 1).permute(1, 2, 0).double().numpy()


@pytest.mark.browser
def test_picture_is_that_of_the_renderer(page, field):
    cameras = sideways()
    for frame, time in ((0, 0.0), (2, 0.37), (4, 0.5), (3, 1.0)):
        picture = show(page, cameras, frame, time)
        assert picture.shape == (cameras.height, cameras.width, 3)
        # Rounding to 8 bits alone gives 59 dB; drawing ties of depth in the wrong order, 34.
        assert psnr(picture, rendered(field.at(time), cameras, frame)) > 50
    assert page.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_view_dependent_colours_and_stretching_are_those_of_the_renderer(browser, tmp_path, scale_space):
    generator = torch.Generator().manual_seed(11)
    count, times = 61, torch.tensor([0.1, 0.4, 0.9])

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    canonical = Gaussians(
        normal(count, 3) * torch.tensor([1.4, 0.7, 0.5]) + torch.tensor([0.3, 0.0, 3.0]),
        normal(count, 4),
        0.05 + 0.2 * torch.rand(count, 3, generator=generator),
        0.2 + 0.8 * torch.rand(count, generator=generator),
        0.4 * normal(count, 16, 3),
    )
    field = DeformableGaussianField(
        canonical,
        times,
        0.3 * normal(3, count, 3),
        quaternion_normalize(torch.tensor([1.0, 0.0, 0.0, 0.0]) + 0.3 * normal(3, count, 4)),
        0.04 * normal(3, count, 3) if scale_space == "linear" else 0.5 * normal(3, count, 3),
        scale_space=scale_space,
    )
    cameras = sideways()
    save_player(field, tmp_path / "player.html", cameras=cameras)
    page = browser.open(tmp_path / "player.html")
    # Also before the first and after the last stored time, and far from the stored ones.
    for time in (0.0, 0.1, 0.27, 0.4, 0.41, 0.7, 1.0):
        picture = show(page, cameras, 3, time)
        assert psnr(picture, rendered(field.at(time), cameras, 3)) > 45
    page.close()


@pytest.mark.browser
def test_opens_at_the_first_camera_in_its_aspect_and_plays(browser, path, field):
    page = browser.open(path)
    page.evaluate("diff4splat.ready")
    page.wait_for("Number(document.querySelector('#time').value) > 0.05")
    assert page.evaluate("document.querySelector('#play').getAttribute('aria-pressed')") == "true"
    page.evaluate("diff4splat.setTime(0)")
    picture = page.canvas()
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(320 / 180, rel=0.01)
    cameras = sideways().resize(height, width)
    assert psnr(picture, rendered(field.at(0.0), cameras, 0)) > 50
    page.close()


@pytest.mark.browser
def test_slider_keys_and_pointer_change_the_picture(page):
    page.evaluate("diff4splat.setTime(0)")
    start = page.canvas()
    assert start.std() > 0.1  # something is there

    page.evaluate("""(() => {
        const slider = document.querySelector("#time");
        slider.value = 0.5;
        slider.dispatchEvent(new Event("input"));
        return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    })()""")
    later = page.canvas()
    assert psnr(start, later) < 30
    assert page.evaluate("document.querySelector('#clock').textContent") == "2.00 s"

    def view() -> str:
        return page.evaluate("document.querySelector('#view').textContent")

    assert view() == "Camera path"
    page.drag((240, 180), (280, 195))
    page.wait_for("document.querySelector('#view').textContent === 'Free view'")
    page.evaluate("diff4splat.setTime(0.5)")
    turned = page.canvas()
    assert psnr(later, turned) < 30
    page.wheel(240, 180, -240)
    page.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert psnr(turned, page.canvas()) < 35
    page.key("r", "KeyR")
    page.evaluate("diff4splat.setTime(0.5)")
    assert view() == "Camera path"
    np.testing.assert_array_equal(page.canvas(), later)

    page.key("v", "KeyV")
    assert view() == "Camera path · depth"
    page.evaluate("diff4splat.setTime(0.5)")
    depth = page.canvas()
    height, width = depth.shape[:2]
    ball, wall = depth[int(0.85 * height), width // 2], depth[height // 10, width // 2]
    assert ball[0] > 0.7 > 0.3 > wall[0]  # near is warm
    page.key("h", "KeyH")
    assert page.evaluate("document.querySelector('#sheet').open")
    page.key(" ", "Space")
    assert page.complaints() == []


@pytest.mark.browser
def test_no_request_leaves_the_page(page):
    assert page.requests() == [page.url]
    violated = page.evaluate("""new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        fetch("https://example.org/x").catch(() => 0);
    })""")
    assert violated == "connect-src"  # the page's own policy refuses what a script would ask for


@pytest.mark.browser
def test_hostile_texts_are_shown_and_not_obeyed(browser, tmp_path, field):
    path = tmp_path / "player.html"
    hostile = DeformableGaussianField(
        field.canonical,
        field.times,
        field.delta_means,
        field.delta_quaternions,
        field.delta_scales,
        metadata={"prompt": HOSTILE, HOSTILE: "<!--<script>", "list": ["</script>", "\u2028"]},
    )
    save_player(hostile, path, cameras=sideways(), title=HOSTILE)
    page = browser.open(path)
    page.evaluate("diff4splat.ready")
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("document.title") == HOSTILE
    assert page.evaluate("document.querySelector('h1').textContent") == HOSTILE
    texts = page.evaluate(
        "[...document.querySelectorAll('#about dt, #about dd')].map((part) => part.textContent)"
    )
    assert texts.count(HOSTILE) == 2 and "<!--<script>" in texts
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.requests() == [page.url]
    assert page.complaints() == []
    page.close()


@pytest.mark.browser
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
    assert page.evaluate("diff4splat.ready.catch((error) => error.message)") is not None
    assert page.complaints() == []
    page.close()


@pytest.mark.browser
def test_draws_without_half_float_targets(browser, path, field):
    before = """
        const ask = WebGL2RenderingContext.prototype.getExtension;
        WebGL2RenderingContext.prototype.getExtension = function (name) {
            return name.includes("color_buffer") ? null : ask.call(this, name);
        };"""
    page, cameras = browser.open(path, before=before), sideways()
    page.evaluate("diff4splat.ready")
    assert psnr(show(page, cameras, 2, 0.37), rendered(field.at(0.37), cameras, 2)) > 38  # 8-bit blending
    assert page.complaints() == []
    page.close()


@pytest.mark.browser
def test_two_fingers_pinch_and_pan(page):
    page.evaluate("diff4splat.setTime(0.5)")
    before = page.canvas()
    page.touch([[(200, 180), (280, 180)], [(190, 180), (290, 180)], [(170, 190), (310, 190)]])
    assert page.evaluate("document.querySelector('#view').textContent") == "Free view"
    page.evaluate("diff4splat.setTime(0.5)")
    nearer = page.canvas()
    assert psnr(before, nearer) < 30
    assert page.complaints() == []


@pytest.mark.browser
def test_quality_is_pixels_drawn_per_pixel_shown(page):
    sharp = page.canvas().shape
    page.evaluate("diff4splat.setQuality(0.5)")
    assert page.canvas().shape == (round(sharp[0] / 2), round(sharp[1] / 2), 3)


@pytest.mark.browser
def test_damaged_page_says_so(browser, path, tmp_path):
    text = path.read_text(encoding="utf-8")
    payload = re.search(r'id="payload">([^<]*)<', text)[1]
    damaged = tmp_path / "damaged.html"
    damaged.write_text(text.replace(payload, payload[: len(payload) // 8 * 4]), encoding="utf-8")
    page = browser.open(damaged)
    page.wait_for("document.querySelector('#message').classList.contains('problem')")
    assert "damaged" in page.evaluate("document.querySelector('#message').textContent")
    page.close()


@pytest.mark.browser
def test_picture_comes_back_after_the_context_was_lost(page):
    page.evaluate("diff4splat.setTime(0.3)")
    before = page.canvas()
    page.evaluate("""(() => {
        const canvas = document.querySelector("canvas");
        const extension = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
        extension.loseContext();
        return new Promise((done) => {
            canvas.addEventListener("webglcontextrestored", () => setTimeout(done, 100));
            setTimeout(() => extension.restoreContext(), 100);
        });
    })()""")
    page.evaluate("diff4splat.setTime(0.3)")
    np.testing.assert_array_equal(page.canvas(), before)


def test_one_file_that_names_no_other(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)
    assert not re.search(r"https?://", text)
    assert "{{" not in text


def test_without_cameras_the_scene_is_in_view(field):
    def first(player: str) -> list[float]:
        return json.loads(re.search(r'id="scene">([^<]*)<', player)[1])["cameras"]["frames"][0]

    assert first(player_html(field))[:3] == [0, 0, 0]  # the scene lies before the origin
    moved = DeformableGaussianField.from_gaussians(
        Gaussians(
            field.canonical.means - torch.tensor([0.0, 0.0, 3.5]),
            *(getattr(field.canonical, name) for name in ("quaternions", "scales", "opacities", "harmonics")),
        ),
        field.times,
    )
    assert first(player_html(moved))[2] < -3  # around the origin: seen from further back


def test_errors(field, tmp_path):
    cameras = sideways()
    with pytest.raises(ValueError, match="seconds"):
        player_html(field, seconds=0.0)
    with pytest.raises(ValueError, match="background"):
        player_html(field, background=(0.0, 0.0, 2.0))
    batch = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], height=9, width=16)
    with pytest.raises(ValueError, match="batch"):
        player_html(field, cameras=batch)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_player(field, tmp_path / "none" / "player.html")
