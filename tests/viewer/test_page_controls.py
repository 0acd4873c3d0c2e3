"""Everything a viewer of the page can do: slider, buttons, keys, mouse, touch, links."""

import re

import numpy as np
import pytest
from viewer.browser import until
from viewer.pictures import psnr

pytestmark = pytest.mark.browser


def text(page, selector: str) -> str:
    return page.evaluate(f"document.querySelector('{selector}').textContent")


def pressed(page, name: str) -> bool:
    return page.evaluate(f"document.querySelector('#{name}').getAttribute('aria-pressed')") == "true"


def clock(page) -> float:
    return float(page.evaluate("document.querySelector('#time').value"))


def camera(page) -> np.ndarray:
    """Position and quaternion, from the link to the view; none while the path is followed."""
    page.key("c", "KeyC")
    found = re.search(r"camera=([^&]*)", page.evaluate("location.hash"))
    return np.array([float(value) for value in found[1].split(",")])


@pytest.fixture
def paced(browser, path):
    """The page, paused, whose time passes only when `pass` says so: no machine is too slow for it."""
    before = """
        let now = 0;
        const frames = [];
        performance.now = () => now;
        window.requestAnimationFrame = (frame) => frames.push(frame);
        window.pass = (milliseconds) => {
            now += milliseconds;
            for (const frame of frames.splice(0)) frame(now);
        };"""
    page = browser.open(path, before=before, fragment="#play=0")
    page.evaluate("diff4splat.ready")
    yield page
    page.close()


@pytest.fixture
def still(page):
    """The page, paused in the middle of the clip."""
    page.evaluate("diff4splat.setTime(0.5)")
    return page


def test_slider_sets_the_time_and_pauses(page):
    page.evaluate("diff4splat.setTime(0)")
    start = page.canvas()
    assert start.std() > 0.1  # something is there
    page.evaluate("diff4splat.play()")
    page.evaluate("""(() => {
        const slider = document.querySelector("#time");
        slider.value = 0.5;
        slider.dispatchEvent(new Event("input"));
    })()""")
    page.settle()
    assert not pressed(page, "play")
    assert psnr(start, page.canvas()) < 30
    assert text(page, "#clock") == "2.00 s"
    assert page.evaluate("document.querySelector('#time').ariaValueText") == "2.00 s"


def test_a_click_on_the_slider_moves_to_that_time(still):
    box = still.evaluate(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(document.querySelector('#time').getBoundingClientRect())"
    )
    place = (box[0] + 0.75 * box[2], box[1] + box[3] / 2)
    still.drag(place, place)
    assert clock(still) == pytest.approx(0.75, abs=0.05)


def test_space_plays_and_pauses_and_arrows_step(still):
    still.key("ArrowRight", "ArrowRight")
    assert clock(still) == pytest.approx(0.75)  # 5 cameras
    still.key("ArrowLeft", "ArrowLeft")
    still.key("ArrowLeft", "ArrowLeft")
    assert clock(still) == pytest.approx(0.25)
    still.key(" ", "Space")
    assert pressed(still, "play")
    still.wait_for("Number(document.querySelector('#time').value) > 0.3")
    still.key(" ", "Space")
    assert not pressed(still, "play")
    held = clock(still)
    still.settle()
    assert clock(still) == held


def test_speed_by_key_and_by_button(still):
    speeds = []
    for _ in range(4):
        still.key("]", "BracketRight")
        speeds.append(text(still, "#speed"))
    assert speeds == ["2×", "4×", "4×", "4×"]
    for _ in range(6):
        still.key("[", "BracketLeft")
    assert text(still, "#speed") == "0.1×"
    still.evaluate("document.querySelector('#speed').click()")
    assert text(still, "#speed") == "0.25×"


def test_speed_is_that_of_the_clip(paced):
    """Four seconds a clip at 1x; at 4x three tenths of a second are three tenths of the clip."""
    for _ in range(2):
        paced.key("]", "BracketRight")
    paced.evaluate("diff4splat.setTime(0.1)")
    paced.evaluate("diff4splat.play()")
    paced.evaluate("[100, 100, 100].map(pass)")
    assert clock(paced) == pytest.approx(0.4)


@pytest.mark.parametrize("looping", [True, False])
def test_end_of_the_clip(still, looping):
    if not looping:
        still.key("l", "KeyL")
    assert pressed(still, "loop") == looping
    for _ in range(2):
        still.key("]", "BracketRight")
    still.evaluate("diff4splat.setTime(0.95)")
    still.evaluate("diff4splat.play()")
    if looping:
        still.wait_for("Number(document.querySelector('#time').value) < 0.5")
        assert pressed(still, "play")
    else:
        # The slider shows 1 up to half a step before the end, where playing stops.
        stopped = "document.querySelector('#play').getAttribute('aria-pressed') === 'false'"
        still.wait_for(f"document.querySelector('#time').value === '1' && {stopped}")
        still.key(" ", "Space")  # plays again from the start
        still.wait_for("Number(document.querySelector('#time').value) < 0.9")


def test_path_is_followed_left_and_found_again(still):
    followed = still.canvas()
    assert text(still, "#view") == "Camera path"
    still.drag((240, 180), (280, 195))
    still.wait_for("document.querySelector('#view').textContent === 'Free view'")
    assert not pressed(still, "follow")
    still.settle()
    turned = still.canvas()
    assert psnr(followed, turned) < 30
    still.evaluate("diff4splat.setTime(1)")
    still.evaluate("diff4splat.setTime(0.5)")
    np.testing.assert_array_equal(still.canvas(), turned)  # time moves, the view stays
    still.key("p", "KeyP")
    still.settle()
    assert pressed(still, "follow")
    np.testing.assert_array_equal(still.canvas(), followed)
    still.key("p", "KeyP")
    assert text(still, "#view") == "Free view"
    start = camera(still)
    still.hold("w", "KeyW", lambda: (camera(still) != start).any())
    still.key("r", "KeyR")
    still.settle()
    assert text(still, "#view") == "Camera path"
    np.testing.assert_array_equal(still.canvas(), followed)


@pytest.mark.parametrize(
    ("key", "axis", "sign"), [("d", 0, 1), ("a", 0, -1), ("q", 1, 1), ("e", 1, -1), ("w", 2, 1), ("s", 2, -1)]
)
def test_keys_fly_along_the_cameras_axes(still, key, axis, sign):
    still.evaluate("diff4splat.setTime(0)")
    still.key("p", "KeyP")  # the first camera looks along +z
    start = camera(still)
    still.hold(key, f"Key{key.upper()}", lambda: np.abs(camera(still) - start).max() > 0.02)
    moved = camera(still) - start
    assert sign * moved[axis] > 0.02
    np.testing.assert_allclose(np.delete(moved, axis), 0, atol=1e-6)


def test_shift_flies_faster(paced):
    paced.key("p", "KeyP")
    steps = []
    for key, modifiers in (("w", 0), ("W", 8)):
        start = camera(paced)
        paced.hold(key, "KeyW", lambda: paced.evaluate("[100, 100].map(pass)"), modifiers=modifiers)
        steps.append(np.linalg.norm((camera(paced) - start)[:3]))
    assert steps[0] > 0.1 and steps[1] == pytest.approx(3 * steps[0], rel=1e-5)


def test_drags_orbit_and_pan_and_the_wheel_comes_nearer(still):
    still.evaluate("diff4splat.setTime(0)")
    still.key("p", "KeyP")
    start = camera(still)
    still.drag((240, 180), (280, 180))
    orbited = camera(still)
    assert np.abs(orbited[3:] - start[3:]).max() > 0.05
    still.key("r", "KeyR")
    still.key("p", "KeyP")
    for settings in ({"button": "right"}, {"modifiers": 8}):
        start = camera(still)
        still.drag((240, 180), (280, 200), **settings)
        panned = camera(still) - start
        assert panned[0] < -0.05 and panned[1] < -0.02
        np.testing.assert_allclose(panned[2:], 0, atol=1e-6)
    start = camera(still)
    still.wheel(240, 180, -240)
    until(lambda: camera(still)[2] > start[2] + 0.1, "it comes nearer")


def test_two_fingers_pinch_and_pan(still):
    still.evaluate("diff4splat.setTime(0)")
    still.key("p", "KeyP")
    start = camera(still)
    still.touch([[(200, 180), (280, 180)], [(190, 180), (290, 180)], [(170, 180), (310, 180)]])
    pinched = camera(still) - start
    assert pinched[2] > 0.2
    np.testing.assert_allclose(pinched[:2], 0, atol=0.05)  # fingers report one after the other
    start = camera(still)
    still.touch([[(200, 160), (280, 160)], [(220, 190), (300, 190)], [(240, 200), (320, 200)]])
    panned = camera(still) - start
    assert panned[0] < -0.05 and panned[1] < -0.05
    assert abs(panned[2]) < 0.05 and np.abs(panned[3:]).max() < 1e-6
    still.touch([[(200, 180)], [(240, 180)]])  # one finger orbits
    assert np.abs(camera(still)[3:] - start[3:]).max() > 0.05
    assert still.complaints() == []


def test_depth_view(still):
    colour = still.canvas()
    still.key("v", "KeyV")
    still.settle()
    assert text(still, "#view") == "Camera path · depth" and pressed(still, "depth")
    depth = still.canvas()
    height, width = depth.shape[:2]
    ball, wall = depth[int(0.85 * height), width // 2], depth[height // 10, width // 2]
    assert ball[0] > 0.7 > 0.3 > wall[0]  # near is warm
    still.key("v", "KeyV")
    still.settle()
    np.testing.assert_array_equal(still.canvas(), colour)


def test_backgrounds_show_where_nothing_is(still):
    still.key("p", "KeyP")
    for _ in range(3):
        still.wheel(240, 180, 150)
    start = camera(still)
    still.hold("s", "KeyS", lambda: np.abs(camera(still) - start).max() > 0.05)
    still.settle()
    corners = []
    for _ in range(5):
        corners.append(float(still.canvas()[0, 0].mean().round(2)))
        still.key("b", "KeyB")
        still.settle()
    assert corners == [0.0, 1.0, 0.5, 0.0, 0.0]


def test_help_opens_and_closes(still):
    def is_open() -> bool:
        return still.evaluate("document.querySelector('#sheet').open")

    for key in ("h", "?"):
        still.key(key, "KeyH")
        assert is_open()
        still.key(" ", "Space")  # the player's keys rest meanwhile
        assert not pressed(still, "play")
        still.key(key, "KeyH")
        assert not is_open()
    still.evaluate("document.querySelector('#help').click()")
    assert is_open()
    still.drag((3, 3), (3, 3))  # beside the sheet
    assert not is_open()
    words = text(still, "#sheet")
    for key in "WASDQE":
        assert key in words
    assert "2,600, of which 1,000 move" in words and "a ball rolls over a tiled floor" in words


def test_every_control_has_a_name(still):
    nameless = still.evaluate("""
        [...document.querySelectorAll("button, input, canvas, dialog")].filter((part) =>
            !(part.ariaLabel || part.textContent.trim() || part.getAttribute("aria-labelledby"))).length""")
    assert nameless == 0


def test_full_screen(still):
    still.key("f", "KeyF")
    still.wait_for("document.fullscreenElement !== null")
    still.key("f", "KeyF")
    still.wait_for("document.fullscreenElement === null")


def test_link_opens_the_same_view(browser, still, path):
    still.drag((240, 180), (285, 160))
    still.key("v", "KeyV")
    still.key("c", "KeyC")
    still.settle()
    expected, link = still.canvas(), still.evaluate("location.hash")
    assert link.startswith("#t=0.5&camera=") and link.endswith("&view=depth")
    assert still.evaluate("document.querySelector('#note').textContent") != ""
    other = browser.open(path, fragment=link)
    other.evaluate("diff4splat.ready")
    other.evaluate("diff4splat.setQuality(1)")
    assert not pressed(other, "play")
    assert psnr(other.canvas(), expected) > 45  # seven digits of the camera
    other.evaluate("location.hash = '#t=0.25'")
    other.wait_for("Number(document.querySelector('#time').value) === 0.25")
    assert other.complaints() == [] and other.requests() == [other.url]
    other.close()


@pytest.mark.parametrize(
    "fragment", ["#t=NaN&camera=1,2", "#camera=,,,,,,", "#t=7&camera=0,0,0,0,0,0,0", "#%E0%A4%A"]
)
def test_links_without_sense_are_passed_over(browser, path, fragment):
    page = browser.open(path, fragment=fragment)
    page.evaluate("diff4splat.ready")
    assert text(page, "#view") == "Camera path"
    assert page.complaints() == []
    page.close()


def test_bars_can_be_left_out_for_embedding(browser, path):
    page = browser.open(path, fragment="#bars=0&play=0")
    page.evaluate("diff4splat.ready")
    shown = page.evaluate("['header', 'footer'].map((name) => document.querySelector(name).offsetHeight)")
    assert shown == [0, 0] and not pressed(page, "play")
    assert page.evaluate("document.querySelector('canvas').clientHeight") == 270  # 480 wide, 16:9
    page.close()


def test_picture_is_saved_as_it_is_shown(browser, still, tmp_path):
    from PIL import Image

    browser.call(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True
    )
    expected = still.canvas()
    still.key("i", "KeyI")
    still.wait_for("document.querySelector('#note').textContent === 'Saved A-ball.png'")
    until((tmp_path / "A-ball.png").exists, "the file is there")
    saved = np.asarray(Image.open(tmp_path / "A-ball.png").convert("RGB")) / 255
    np.testing.assert_array_equal(saved, expected)
    assert still.complaints() == []


def test_starts_paused_for_those_who_prefer_less_motion(browser, path):
    before = """
        const ask = window.matchMedia;
        window.matchMedia = (words) => words.includes("reduced-motion") ? { matches: true } : ask(words);"""
    page = browser.open(path, before=before)
    page.evaluate("diff4splat.ready")
    assert not pressed(page, "play")
    page.settle()
    assert clock(page) == 0
    page.close()


def test_a_phone_has_all_controls_in_reach(page):
    page.resize(375, 740, mobile=True)
    page.settle()
    outside = page.evaluate("""[...document.querySelectorAll("#bar button, #bar input")].filter((part) => {
        const { left, right, top, bottom, height } = part.getBoundingClientRect();
        return part.offsetParent && (left < 0 || right > 375 || top < 0 || bottom > 740 || height < 38);
    }).length""")
    assert outside == 0


def test_a_slow_device_draws_fewer_pixels_until_it_rests(browser, path):
    """Pictures that take 200 ms each: fewer pixels while things move, all of them once nothing does."""
    before = """
        const begun = new WeakMap();
        const Context = WebGL2RenderingContext.prototype;
        const { fenceSync, getSyncParameter } = Context;
        Context.fenceSync = function (...values) {
            const fence = fenceSync.apply(this, values);
            begun.set(fence, performance.now());
            return fence;
        };
        Context.getSyncParameter = function (fence, name) {
            return performance.now() - begun.get(fence) < 200 ? 0 : getSyncParameter.call(this, fence, name);
        };"""
    page = browser.open(path, before=before)
    page.evaluate("diff4splat.ready")
    page.wait_for("(({ width, clientWidth }) => width < 0.7 * clientWidth)(document.querySelector('canvas'))")
    page.evaluate("diff4splat.pause()")
    page.wait_for("(({ width, clientWidth }) => width === clientWidth)(document.querySelector('canvas'))")
    assert page.complaints() == []
    page.close()
