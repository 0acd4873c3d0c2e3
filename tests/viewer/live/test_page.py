"""The live viewer in a real browser: what it is sent, what its controls do, and what it saves."""

import json
import socket
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from viewer.browser import Browser
from viewer.live.served_page import ServedPage, until
from viewer.scenes import rolling_ball, sideways

from diff4splat.assets import load_video
from diff4splat.cameras import load_cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.viewer import LiveViewer, view_field
from diff4splat.viewer.live.look import Look
from diff4splat.viewer.live.session import Session

pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>window.stolen=1</script><img src=x onerror='window.stolen=2'> [a](javascript:1) \udcff"
)
# viser itself writes this once to the console when it draws any Gaussians, also those of its own examples.
OF_VISER = "computeBoundingSphere(): Computed radius is NaN"
# Left of the controls and their shadow, and below the note that Chromium draws in software.
CLEAR = np.s_[200:, :500]


@pytest.fixture(scope="module")
def field() -> DeformableGaussianField:
    field = rolling_ball(num_ground=1600, num_ball=1000)
    return DeformableGaussianField(
        field.canonical,
        field.times,
        field.delta_means,
        field.delta_quaternions,
        field.delta_scales,
        metadata={"prompt": HOSTILE},
    )


@pytest.fixture(scope="module")
def viewer(field):
    with view_field(field, cameras=sideways(), title=HOSTILE, port=0) as viewer:
        yield viewer


@pytest.fixture
def page(browser, viewer):
    page = ServedPage(browser, viewer.address)
    until(lambda: viewer.sessions, "a page is served")
    yield page
    page.close()
    until(lambda: not viewer.sessions, "the session of a closed page has ended")


SHOWN = HOSTILE.replace("\udcff", "\ufffd")


def session_of(viewer: LiveViewer) -> Session:
    (session,) = viewer.sessions.values()
    return session


def expected(viewer: LiveViewer, look: Look) -> np.ndarray:
    """What the renderer of the library sees from where the page says that it stands."""
    session = session_of(viewer)
    view = session._view()
    return session._scene.picture(view.camera(view.height, view.width), look)


def shown(page: ServedPage) -> np.ndarray:
    return (page.screenshot() * 255).round().astype(np.uint8)


def settle(page: ServedPage, viewer: LiveViewer, look: Look) -> None:
    """Wait until the page shows what the renderer sees; says how far it is off if it never does."""
    deadline = time.monotonic() + 90

    def difference() -> int:
        return int(np.abs(shown(page)[CLEAR].astype(int) - expected(viewer, look)[CLEAR]).max())

    while (off := difference()) > 1:  # of 255: the browser rounds once more
        assert time.monotonic() < deadline, f"{look} is off by up to {off} of 255"
        time.sleep(0.1)


def comes_to_rest(viewer: LiveViewer) -> None:
    """Wait until the camera glides no more."""
    views = [session_of(viewer)._view()]

    def rests() -> bool:
        time.sleep(0.3)
        views.append(session_of(viewer)._view())
        return views[-1] == views[-2]

    until(rests, "the camera rests")


def psnr(picture: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((picture / 255 - other / 255) ** 2)))


@pytest.fixture
def sent(monkeypatch) -> list[tuple[np.ndarray, str]]:
    """Pictures that are sent to pages, and how they are coded."""
    from viser import SceneApi

    pictures: list[tuple[np.ndarray, str]] = []
    send = SceneApi.set_background_image

    def remember(self, image, format="auto", **options) -> None:
        if image is not None:
            pictures.append((image.copy(), format))
        send(self, image, format, **options)

    monkeypatch.setattr(SceneApi, "set_background_image", remember)
    return pictures


def test_the_page_begins_at_the_first_camera_and_shows_what_is_rendered(sent, page, viewer, field) -> None:
    settle(page, viewer, Look())
    view = session_of(viewer)._view()
    first = sideways().select(0)
    camera = view.camera(view.height, view.width)
    torch.testing.assert_close(camera.camera_to_world, first.camera_to_world, atol=1e-5, rtol=0)
    # 900 x 600 is narrower than 16:9, so the width fits: the focal length is 900 / 320 of that of the file
    assert camera.intrinsics[0, 0, 0].item() == pytest.approx(0.85 * 320 * 900 / 320, rel=1e-4)
    direct = field.render(camera, torch.zeros(1)).color[0].clamp(0, 1).permute(1, 2, 0).numpy()
    off = np.abs(shown(page)[CLEAR].astype(int) - (direct * 255).round()[CLEAR])
    assert off.max() <= 1
    until(lambda: [how for _, how in sent][-1:] == ["png"], "the exact picture is sent")
    assert np.array_equal(sent[-1][0], (direct * 255).round().astype(np.uint8))  # to the last bit
    assert page.errors() == []


def test_the_controls_change_the_picture(page, viewer) -> None:
    settle(page, viewer, Look())
    page.slide("time", "End")
    settle(page, viewer, Look(1.0))
    page.choose("show", "depth")
    settle(page, viewer, Look(1.0, "depth"))
    page.choose("show", "motion")
    settle(page, viewer, Look(1.0, "motion"))
    page.choose("Gaussians", "canonical")
    settle(page, viewer, Look(1.0, "motion", "canonical"))
    page.choose("show", "color")
    settle(page, viewer, Look(1.0, "color", "canonical"))
    page.slide("time", "Home")
    page.choose("Gaussians", "deformed")
    settle(page, viewer, Look(0.0))
    assert page.errors() == []


def test_dragging_moves_the_camera_and_a_button_brings_it_back(page, viewer) -> None:
    settle(page, viewer, Look())
    start = session_of(viewer)._view()
    page.drag((300, 400), (340, 420))
    until(lambda: session_of(viewer)._view().position != start.position, "the camera has moved")
    comes_to_rest(viewer)
    settle(page, viewer, Look())
    assert np.abs(np.subtract(session_of(viewer)._view().position, start.position)).max() > 0.05
    page.press("To the first camera")
    until(lambda: np.allclose(session_of(viewer)._view().position, start.position, atol=1e-4), "it is back")
    settle(page, viewer, Look())


def test_it_plays_at_its_speed_and_follows_the_path(page, viewer) -> None:
    session = session_of(viewer)
    page.choose("follow", "commanded path")
    until(lambda: session._panel.follow.value == "commanded path", "it follows")
    page.tick("loop")
    until(lambda: not session._panel.loop.value, "it will not loop")  # viser may drop one of two quick clicks
    page.tick("play")
    start = time.monotonic()
    until(lambda: session._panel.time.value == 1, "the clip has ended")
    assert time.monotonic() - start > 3  # of 4 s; more on a machine that is busy
    until(lambda: not session._panel.play.value, "it has stopped")
    last = sideways().positions[-1].numpy()
    until(lambda: np.allclose(session._view().position, last, atol=1e-4), "it stands at the last camera")
    settle(page, viewer, Look(1.0))
    assert page.errors() == []


def test_the_browser_draws_the_same_scene(page, viewer) -> None:
    settle(page, viewer, Look())
    page.choose("drawn as", "splats")
    for look, key in ((Look(1.0), "End"), (Look(0.0), "Home")):
        page.slide("time", key)
        picture = expected(viewer, look)[CLEAR]
        until(lambda picture=picture: psnr(shown(page)[CLEAR], picture) > 24, f"splats of {look}")
    page.choose("show", "depth")
    depth = expected(viewer, Look(0.0, "depth"))[CLEAR]
    until(lambda: psnr(shown(page)[CLEAR], depth) > 20, "splats in colours of depth")
    page.choose("show", "color")
    page.choose("drawn as", "rendered")
    settle(page, viewer, Look())
    assert [error for error in page.errors() if OF_VISER not in error] == []


def test_the_path_is_drawn_and_hidden(page, viewer) -> None:
    settle(page, viewer, Look())
    for _ in range(4):
        page.wheel(300, 400, 240)  # back, so that the path is in view
    comes_to_rest(viewer)
    settle(page, viewer, Look())
    page.tick("show path")
    plain = expected(viewer, Look())[CLEAR]
    until(lambda: (np.abs(shown(page)[CLEAR].astype(int) - plain).max(-1) > 60).sum() > 50, "a path")
    page.tick("show path")
    settle(page, viewer, Look())
    assert page.errors() == []


def downloaded(browser: Browser, folder: Path, name: str, press) -> bytes:
    call = dict(behavior="allow", downloadPath=str(folder))
    browser.call("Browser.setDownloadBehavior", **call)
    press()
    file = folder / name
    until(lambda: file.exists() and not list(folder.glob("*.crdownload")), f"{name} is saved", 60)
    return file.read_bytes()


def test_what_is_seen_is_saved_as_files(page, viewer, browser, tmp_path, field) -> None:
    settle(page, viewer, Look())
    page.slide("time", "End")
    page.enter("width", "320")
    page.enter("height", "200")
    session = session_of(viewer)
    until(lambda: session._panel.size() == (200, 320) and session._panel.look().time == 1, "the size")
    picture = np.asarray(
        Image.open(BytesIO(downloaded(browser, tmp_path, "picture.png", lambda: page.press("Picture"))))
    )
    downloaded(browser, tmp_path, "camera.json", lambda: page.press("Camera"))
    camera = load_cameras(tmp_path / "camera.json")
    assert (camera.num_frames, camera.height, camera.width) == (1, 200, 320)
    seen = field.render(camera.to(dtype=torch.float32), torch.ones(1)).color[0]
    again = (seen.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert picture.shape == (200, 320, 3)
    assert np.abs(picture.astype(int) - again).max() <= 1

    page.press("Add key")
    until(lambda: session._panel.num_keys.value == "1", "one key")
    page.drag((300, 400), (340, 420))
    comes_to_rest(viewer)
    page.press("Add key")
    until(lambda: session._panel.num_keys.value == "2", "two keys")
    page.enter("frames", "5")
    until(lambda: session._panel.num_frames() == 5, "five frames")
    downloaded(browser, tmp_path, "keyframes.json", lambda: page.press("Keys"))
    path = load_cameras(tmp_path / "keyframes.json")
    assert (path.num_frames, path.height, path.width) == (5, 200, 320)
    torch.testing.assert_close(path.camera_to_world[0], camera.camera_to_world[0], atol=1e-6, rtol=0)
    end = session._view().camera(200, 320)
    torch.testing.assert_close(path.camera_to_world[4].float(), end.camera_to_world[0], atol=1e-5, rtol=0)
    downloaded(browser, tmp_path, "path.mp4", lambda: page.press("Video"))
    film = load_video(tmp_path / "path.mp4")
    assert film.shape == (5, 3, 200, 320)
    for i in range(5):
        frame = field.render(path.select(i).to(dtype=torch.float32), torch.tensor([i / 4])).color[0]
        assert (film[i] - frame.clamp(0, 1)).square().mean() < 1e-3  # 30 dB; coded, with half the colours
    page.press("Remove last key")
    page.press("Remove last key")
    until(lambda: session._panel.num_keys.value == "0", "no key")
    page.press("Keys")
    page.wait_for("document.body.innerText.includes('There is no key yet')")
    assert page.errors() == []


def test_names_and_prompts_are_text(page, viewer) -> None:
    page.wait_for(f"document.body.innerText.includes({json.dumps(SHOWN)})")
    page.evaluate(
        "[...document.querySelectorAll('div')].filter(d => d.innerText === 'About').forEach(d => d.click())"
    )
    page.wait_for(
        f"[...document.querySelectorAll('input, textarea')].some(i => i.value === {json.dumps(SHOWN)})"
    )
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("document.querySelectorAll('a[href^=javascript]').length") == 0
    own = ("data:", "blob:", viewer.address)
    assert [url for url in page.requests() if not url.startswith(own)] == []


def test_pages_are_independent_and_end_with_the_viewer(browser, field) -> None:
    before = {thread for thread in threading.enumerate() if thread.name != "diff4splat-render"}
    with view_field(field, cameras=sideways(), port=0) as viewer:
        pages = []
        for count in (1, 2):
            pages.append(ServedPage(browser, viewer.address, width=300, height=200))
            until(lambda count=count: len(viewer.sessions) == count, "another page")
        one, other = viewer.sessions.values()
        one._panel.time.value = 0.75
        one._panel.play.value = True
        until(lambda: one._panel.look().time not in (0, 0.75), "it plays")
        assert other._panel.look() == Look()
        port = viewer.port

    def is_closed() -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", port)) != 0

    until(is_closed, "the port is closed")
    assert viewer.sessions == {}
    for page in pages:
        page.close()

    def left() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name != "diff4splat-render"} - before

    until(lambda: not left(), "no thread is left")
