import math
import threading

import numpy as np
import pytest
import torch
from viewer.scenes import rolling_ball, sideways

from diff4splat.assets.depth_color import depth_to_color
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, gaussian_velocities
from diff4splat.rendering import render
from diff4splat.viewer import motion_to_color
from diff4splat.viewer.live.look import Look
from diff4splat.viewer.live.scene import LiveScene


@pytest.fixture(scope="module")
def field() -> DeformableGaussianField:
    return rolling_ball(num_ground=1600, num_ball=600)


@pytest.fixture(scope="module")
def scene(field) -> LiveScene:
    return LiveScene(field, sideways())


def as_bytes(color: torch.Tensor) -> np.ndarray:
    return (color.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Textbook formula, in float64."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.mark.parametrize("time", [0.0, 0.31, 1.0])
def test_the_picture_is_that_of_the_renderer(scene, field, time) -> None:
    camera = sideways().select(3)
    picture = scene.picture(camera, Look(time))
    assert picture.dtype == np.uint8 and picture.shape == (180, 320, 3)
    assert np.array_equal(picture, as_bytes(field.render(camera, torch.tensor([time])).color[0]))


def test_canonical_gaussians_are_those_without_any_deformation(scene, field) -> None:
    camera = sideways().select(0)
    expected = as_bytes(render(field.canonical, camera).color[0])
    assert np.array_equal(scene.picture(camera, Look(0.7, gaussians="canonical")), expected)
    assert not np.array_equal(scene.picture(camera, Look(0.7)), expected)


def test_depth_keeps_its_colours_over_time_and_views(scene, field) -> None:
    camera = sideways().select(2)
    depth = field.render(camera, torch.tensor([0.6])).depth[0, 0]
    expected = as_bytes(depth_to_color(depth, near=scene.near, far=scene.far))
    assert np.array_equal(scene.picture(camera, Look(0.6, "depth")), expected)
    assert 1 < scene.near < scene.focus < scene.far < 7


def test_motion_is_drawn_in_its_colours(scene, field) -> None:
    camera = sideways().select(0)
    picture = scene.picture(camera, Look(0.3, "motion"))
    gaussians = field.at(0.3)
    colors = motion_to_color(gaussian_velocities(field, 0.3).linear, full_speed=scene.full_speed)
    harmonics = ((colors - 0.5) / (0.5 / math.sqrt(math.pi)))[:, None]
    expected = render(
        Gaussians(gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities, harmonics),
        camera,
    )
    assert np.abs(picture.astype(int) - as_bytes(expected.color[0])).max() <= 1
    assert (np.abs(picture.astype(int) - 128).max(axis=-1) < 3).mean() > 0.5  # the floor rests
    later = scene.picture(camera, Look(0.9, "motion"))
    assert not np.array_equal(picture, later)


def test_covariances_for_browsers_are_of_deformed_values(field) -> None:
    """R diag(s^2) R^T of what the Gaussians are at that time, not of the canonical ones."""
    generator = torch.Generator().manual_seed(5)
    count, times = 13, torch.tensor([0.0, 1.0])

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    canonical = Gaussians(
        normal(count, 3),
        normal(count, 4),
        0.1 + torch.rand(count, 3, generator=generator),
        torch.rand(count, generator=generator),
        normal(count, 4, 3),
    )
    field = DeformableGaussianField(
        canonical, times, normal(2, count, 3), normal(2, count, 4), 0.5 * normal(2, count, 3)
    )
    scene = LiveScene(field)
    camera = sideways().select(4)
    splats = scene.splats(camera, Look(1.0))
    for i in range(count):
        w, x, y, z = canonical.quaternions[i].double().tolist()
        left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
        turn = rotation_matrix(left @ field.delta_quaternions[1, i].double().numpy())
        scales = (canonical.scales[i] * field.delta_scales[1, i].exp()).double().numpy()
        expected = turn @ np.diag(scales**2) @ turn.T
        np.testing.assert_allclose(splats.covariances[i], expected, atol=1e-5)
        place = (canonical.means[i] + field.delta_means[1, i]).numpy()
        np.testing.assert_allclose(splats.centers[i], place, atol=1e-6)
    still = scene.splats(camera, Look(1.0, gaussians="canonical"))
    assert np.abs(still.covariances - splats.covariances).max() > 0.1
    np.testing.assert_allclose(still.centers, canonical.means.numpy(), atol=1e-6)
    assert splats.opacities.shape == (count, 1)
    np.testing.assert_allclose(splats.opacities[:, 0], canonical.opacities.numpy())


def test_colours_for_browsers_are_those_seen_from_the_camera() -> None:
    harmonics = torch.zeros(1, 4, 3)
    harmonics[0, 3, 0] = 1.0  # times -0.4886 x: brighter to the left of where one looks
    one = Gaussians(
        torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1, 3), torch.ones(1), harmonics
    )
    scene = LiveScene(DeformableGaussianField.from_gaussians(one, torch.tensor([0.0])))
    pose = torch.eye(4)
    for place, expected in (
        (3.0, 0.5 + math.sqrt(3 / (4 * math.pi))),
        (-3.0, 0.5 - math.sqrt(3 / (4 * math.pi))),
    ):
        pose[0, 3] = place
        camera = Cameras(pose[None].clone(), sideways(1).intrinsics, 180, 320)
        color = scene.splats(camera, Look()).colors[0]
        np.testing.assert_allclose(color, [expected, 0.5, 0.5], atol=1e-6)


def test_depth_of_splats_is_that_of_their_centres(scene, field) -> None:
    camera = sideways().select(0)
    colors = scene.splats(camera, Look(0.5, "depth")).colors
    depth = field.at(0.5).means[:, 2] - camera.positions[0, 2]
    expected = depth_to_color(depth[None], near=scene.near, far=scene.far)[:, 0].T
    np.testing.assert_allclose(colors, expected.numpy(), atol=1e-6)


def test_without_cameras_the_first_view_sees_the_scene(field) -> None:
    near = LiveScene(field)
    assert not near.commanded and torch.equal(near.cameras.camera_to_world[0], torch.eye(4))
    moved = torch.eye(4)
    moved[:3, 3] = torch.tensor([50.0, 0.0, -80.0])
    far = LiveScene(field.transform(moved))
    assert far.rendering(far.cameras, Look()).alpha.mean() > 0.1


def test_many_may_ask_at_once(scene) -> None:
    camera = sideways().select(1)
    looks = [Look(i / 7, show) for i in range(7) for show in ("color", "motion", "depth")]
    expected = [scene.picture(camera, look) for look in looks]
    found: dict[int, bool] = {}

    def ask(number: int) -> None:
        found[number] = all(
            np.array_equal(scene.picture(camera, look), picture)
            for look, picture in zip(looks, expected, strict=True)
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: True, 1: True, 2: True}


def test_half_precision_is_drawn_in_single(field) -> None:
    scene = LiveScene(field.to(dtype=torch.float16), sideways())
    assert scene.field.dtype == torch.float32
    assert scene.picture(sideways().select(0), Look(0.5)).max() > 0
