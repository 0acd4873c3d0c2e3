"""The player's picture is the renderer's, at any camera and time and for any scene."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from viewer.pictures import psnr, rendered, show
from viewer.scenes import sideways

from diff4splat.assets.depth_color import position_to_color
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import quaternion_normalize
from diff4splat.rendering import render
from diff4splat.viewer import save_player

pytestmark = pytest.mark.browser


def open_scene(browser, folder, field, cameras):
    save_player(field, folder / "player.html", cameras=cameras)
    page = browser.open(folder / "player.html")
    page.evaluate("diff4splat.ready")
    return page


def random_field(
    *,
    num_gaussians: int = 61,
    degree: int = 3,
    scale_space: str = "log",
    opacities: tuple[float, float] = (0.2, 1.0),
) -> DeformableGaussianField:
    """Gaussians of all shapes that move and turn far between three times."""
    generator = torch.Generator().manual_seed(11)
    times = torch.tensor([0.1, 0.4, 0.9])

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    count = num_gaussians
    low, high = opacities
    canonical = Gaussians(
        normal(count, 3) * torch.tensor([1.4, 0.7, 0.5]) + torch.tensor([0.3, 0.0, 3.0]),
        normal(count, 4),
        0.05 + 0.2 * torch.rand(count, 3, generator=generator),
        low + (high - low) * torch.rand(count, generator=generator),
        0.4 * normal(count, (degree + 1) ** 2, 3),
    )
    return DeformableGaussianField(
        canonical,
        times,
        0.3 * normal(3, count, 3),
        quaternion_normalize(torch.tensor([1.0, 0.0, 0.0, 0.0]) + 0.3 * normal(3, count, 4)),
        0.04 * normal(3, count, 3) if scale_space == "linear" else 0.5 * normal(3, count, 3),
        scale_space=scale_space,
    )


def test_three_times_and_two_cameras_and_between(page, field):
    cameras = sideways()
    for frame, time in ((0, 0.0), (0, 0.5), (0, 1.0), (3, 0.0), (3, 0.5), (3, 1.0), (2, 0.37), (4, 0.9)):
        picture = show(page, cameras, frame, time)
        assert picture.shape == (cameras.height, cameras.width, 3)
        # Rounding to 8 bits alone gives 59 dB; drawing ties of depth in the wrong order, 34.
        assert psnr(picture, rendered(field.at(time), cameras, frame)) > 50
    assert page.complaints() == []


@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_colours_and_shapes_between_stored_times(browser, tmp_path, degree, scale_space):
    field, cameras = random_field(degree=degree, scale_space=scale_space), sideways()
    page = open_scene(browser, tmp_path, field, cameras)
    # Also before the first and after the last stored time, and far from the stored ones.
    for time in (0.0, 0.1, 0.27, 0.4, 0.41, 0.7, 1.0):
        # Linear scales that one stored time holds at their smallest grow sooner from there than in the field.
        least = 40 if scale_space == "linear" and time not in (0.0, 0.1, 0.4, 1.0) else 50
        assert psnr(show(page, cameras, 3, time), rendered(field.at(time), cameras, 3)) > least
    page.close()


def test_transparent_gaussians(browser, tmp_path):
    field, cameras = random_field(num_gaussians=997, degree=1, opacities=(0.005, 0.15)), sideways()
    page = open_scene(browser, tmp_path, field, cameras)
    for time in (0.1, 0.3, 0.9):  # hundreds of faint layers a pixel: half floats round each
        assert psnr(show(page, cameras, 1, time), rendered(field.at(time), cameras, 1)) > 45
    page.close()


def test_edges_of_depth(page, field):
    cameras = sideways()
    for time in (0.25, 0.6):
        drawing = render(field.at(time), cameras.select(2), backend="cpu")
        depth = drawing.depth[0, 0]
        edge = torch.zeros_like(depth, dtype=torch.bool)
        edge[:, 1:] |= depth.diff(dim=1).abs() > 0.5
        edge[1:] |= depth.diff(dim=0).abs() > 0.5
        assert edge.sum() > 100
        picture = show(page, cameras, 2, time)
        expected = drawing.color[0].clamp(0, 1).permute(1, 2, 0).double().numpy()
        assert psnr(picture[edge.numpy()], expected[edge.numpy()]) > 45


def test_depth_view_is_that_of_the_rendered_depth(page, field):
    cameras = sideways()
    page.evaluate("diff4splat.setView('depth')")
    picture = show(page, cameras, 0, 0.5)
    drawing = render(field.at(0.5), cameras.select(0), backend="cpu")
    # The scale is that of the depths in the first view at time 0: 1 % to 99 % of the Gaussians' centres.
    means = field.at(0.0).means.double() - cameras.camera_to_world[0, :3, 3].double()
    u = means[:, :2] / means[:, 2:] * 272 + torch.tensor([160.0, 90.0])
    inside = (means[:, 2] > 0) & (u >= 0).all(-1) & (u < torch.tensor([320, 180])).all(-1)
    seen = means[inside, 2].sort().values
    near, far = (seen[int(part * (len(seen) - 1))] for part in (0.01, 0.99))
    place = ((1 / drawing.depth[0, 0] - 1 / far) / (1 / near - 1 / far)).clamp(0, 1)
    expected = position_to_color(place).double()
    expected = expected if expected.shape[-1] == 3 else expected.permute(1, 2, 0)
    opaque = (drawing.alpha[0, 0] > 0.98).numpy()
    difference = np.abs(picture - expected.numpy())[opaque]
    assert opaque.mean() > 0.8
    assert np.median(difference) < 0.01  # at edges the mean of inverse depths is not the inverse of the mean


@pytest.mark.parametrize("distance", [1e3, 1e6])
def test_far_from_the_origin(browser, tmp_path, field, distance):
    shift = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64) * distance
    cameras = sideways()
    poses = cameras.camera_to_world.double().clone()
    poses[:, :3, 3] += shift
    there = Cameras(poses, cameras.intrinsics.double(), height=cameras.height, width=cameras.width)
    moved = field.to(dtype=torch.float64)
    moved = replace(moved, canonical=replace(moved.canonical, means=moved.canonical.means + shift))
    page = open_scene(browser, tmp_path, moved, there)
    for frame, time in ((0, 0.0), (3, 0.6)):
        assert psnr(show(page, there, frame, time), rendered(field.at(time), cameras, frame)) > 48
    page.drag((240, 180), (250, 180))
    assert page.complaints() == []
    page.close()


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_small_and_large_units(browser, tmp_path, field, unit):
    cameras = sideways()
    poses = cameras.camera_to_world.clone()
    poses[:, :3, 3] *= unit
    scaled = Cameras(poses, cameras.intrinsics, height=cameras.height, width=cameras.width)
    page = open_scene(
        browser, tmp_path, field.transform(torch.diag(torch.tensor([unit] * 3 + [1.0]))), scaled
    )
    for frame, time in ((0, 0.0), (3, 0.6)):
        assert psnr(show(page, scaled, frame, time), rendered(field.at(time), cameras, frame)) > 48
    page.close()


def test_one_gaussian(browser, tmp_path):
    one = Gaussians(
        torch.tensor([[0.1, 0.0, 2.0]]),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        torch.full((1, 3), 0.2),
        torch.tensor([0.9]),
        torch.ones(1, 1, 3),
    )
    field, cameras = DeformableGaussianField.from_gaussians(one, torch.tensor([0.0])), sideways()
    page = open_scene(browser, tmp_path, field, cameras)
    assert psnr(show(page, cameras, 1, 0.7), rendered(one, cameras, 1)) > 50
    page.key("ArrowRight", "ArrowRight")
    assert page.complaints() == []
    page.close()


def test_half_turns_go_the_way_the_field_goes(browser, tmp_path):
    """Rotations of more than half a turn over the clip, and quaternions of either sign."""
    angles = torch.linspace(0, 3 * math.pi, 5)
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0])
    turns = torch.stack([(angles / 2).cos(), 0 * angles, 0 * angles, (angles / 2).sin()], -1) * signs[:, None]
    blade = Gaussians(
        torch.tensor([[0.0, 0.0, 2.0]]),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        torch.tensor([[0.5, 0.05, 0.05]]),
        torch.tensor([0.9]),
        torch.ones(1, 1, 3),
    )
    field = DeformableGaussianField(
        blade, torch.linspace(0, 1, 5), torch.zeros(5, 1, 3), turns[:, None], torch.zeros(5, 1, 3)
    )
    page, cameras = open_scene(browser, tmp_path, field, sideways()), sideways()
    for time in (0.1, 0.3, 0.55, 0.8, 0.95):
        assert psnr(show(page, cameras, 0, time), rendered(field.at(time), cameras, 0)) > 45
    page.close()


def test_opens_at_the_first_camera_in_its_aspect_and_plays(browser, path, field):
    page = browser.open(path)
    page.evaluate("diff4splat.ready")
    page.wait_for("Number(document.querySelector('#time').value) > 0.05")
    assert page.evaluate("document.querySelector('#play').getAttribute('aria-pressed')") == "true"
    page.evaluate("diff4splat.setQuality(1)")
    page.evaluate("diff4splat.setTime(0)")
    picture = page.canvas()
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(320 / 180, rel=0.01)
    cameras = sideways().resize(height, width)
    assert psnr(picture, rendered(field.at(0.0), cameras, 0)) > 50
    page.close()


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


def test_picture_comes_back_after_the_context_was_lost(page):
    page.evaluate("diff4splat.setTime(0.3)")
    before = page.canvas()
    page.evaluate("""(() => {
        const canvas = document.querySelector("canvas");
        const extension = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
        extension.loseContext();
        return new Promise((done) => {
            canvas.addEventListener("webglcontextrestored", () => setTimeout(done, 100));
            setTimeout(() => {
                window.saidMeanwhile = document.querySelector("#message").textContent;
                extension.restoreContext();
            }, 100);
        });
    })()""")
    assert "taken away" in page.evaluate("saidMeanwhile")
    page.evaluate("diff4splat.setTime(0.3)")
    np.testing.assert_array_equal(page.canvas(), before)
    assert page.evaluate("document.querySelector('#message').textContent") == ""


def test_size_follows_the_window_and_its_density(page, field):
    sharp = page.canvas().shape
    page.evaluate("diff4splat.setQuality(0.5)")
    assert page.canvas().shape == (round(sharp[0] / 2), round(sharp[1] / 2), 3)
    page.evaluate("diff4splat.setQuality(1)")
    page.evaluate("diff4splat.setTime(0.5)")
    page.resize(480, 360, density=2)
    page.wait_for(f"document.querySelector('canvas').width > {sharp[1]}")
    dense = page.canvas()
    assert dense.shape[:2] == pytest.approx((2 * sharp[0], 2 * sharp[1]), abs=1)
    cameras = sideways().resize(*dense.shape[:2])
    assert psnr(dense, rendered(field.at(0.5), cameras.select([2]), 0)) > 50
    page.resize(240, 600)
    page.wait_for("document.querySelector('canvas').clientWidth <= 240")
    page.settle()
    small = page.canvas()
    assert small.shape[1] == 240 and small.shape[0] == pytest.approx(135, abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 240  # nothing sticks out
