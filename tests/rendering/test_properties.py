"""What must hold for any scene, whatever its image is.

A scene that was moved, turned or scaled has other rounding errors in float32; where the image is compared, it
is at the pixels of `clear_pixels`, away from the thresholds that rounding could cross.
"""

from dataclasses import replace

import pytest
import torch
from rendering.scenes import clear_pixels, images_and_gradients, random_cameras, random_gaussians

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, concatenate_gaussians, rgb_to_harmonics
from diff4splat.rendering import render

pytestmark = [
    pytest.mark.parametrize("backend", ["cpu", "reference"]),
    pytest.mark.parametrize("seed", [0, 1, 2]),
]
TOLERANCE = {"cpu": 2e-5, "reference": 1e-9}


def scene(seed, coefficients=4):
    """Values that float32 holds exactly, so that both backends see the same."""
    gaussians = random_gaussians(149, coefficients=coefficients, seed=seed, dtype=torch.float32)
    cameras = random_cameras(2, 31, 37, dtype=torch.float32)
    return gaussians.to(dtype=torch.float64), cameras.to(dtype=torch.float64)


def uniform(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)


def images(gaussians, cameras, backend, **options):
    seen = render(gaussians, cameras, backend=backend, depth_mode="accumulated", **options)
    return torch.cat([seen.color, seen.alpha, seen.depth], dim=-3)


def assert_same(actual, expected, clear, backend):
    assert expected[:, 3].max() > 0.9 and clear.double().mean() > 0.98
    assert ((actual - expected).abs() * clear[:, None]).max() <= TOLERANCE[backend]


def test_joint_rigid_motion_changes_nothing(backend, seed):
    gaussians, cameras = scene(seed, coefficients=9)
    motion = torch.eye(4, dtype=torch.float64)
    turn = torch.linalg.qr(uniform(seed, 3, 3) - 0.5)[0]
    motion[:3, :3], motion[:3, 3] = turn * torch.linalg.det(turn), 6 * uniform(seed, 3) - 3
    expected = images(gaussians, cameras, backend)
    moved = replace(cameras, camera_to_world=motion @ cameras.camera_to_world)
    actual = images(gaussians.transform(motion), moved, backend)
    assert_same(actual, expected, clear_pixels(gaussians, cameras, mode="classic"), backend)


def test_a_larger_world_has_larger_depths_and_the_same_colours(backend, seed):
    gaussians, cameras = scene(seed)
    poses = cameras.camera_to_world.clone()
    poses[..., :3, 3] *= 3.7
    larger = replace(gaussians, means=3.7 * gaussians.means, scales=3.7 * gaussians.scales)
    actual = images(larger, replace(cameras, camera_to_world=poses), backend, near=3.7 * 0.01)
    actual[:, 4] /= 3.7
    clear = clear_pixels(gaussians, cameras, mode="classic")
    assert_same(actual, images(gaussians, cameras, backend), clear, backend)


def test_a_mirrored_world_has_a_mirrored_image(backend, seed):
    gaussians, cameras = scene(seed, coefficients=1)
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    mirrored = replace(
        gaussians,
        means=flip * gaussians.means,
        quaternions=torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64) * gaussians.quaternions,
    )
    poses, intrinsics = cameras.camera_to_world.clone(), cameras.intrinsics.clone()
    poses[..., :3, :3] *= flip * flip[:, None]
    poses[..., :3, 3] *= flip
    intrinsics[..., 0, 2] = cameras.width - intrinsics[..., 0, 2]
    actual = images(mirrored, Cameras(poses, intrinsics, cameras.height, cameras.width), backend).flip(-1)
    clear = clear_pixels(gaussians, cameras, mode="classic")
    assert_same(actual, images(gaussians, cameras, backend), clear, backend)


def test_a_crop_of_the_camera_sees_a_crop_of_the_image(backend, seed):
    # far enough that no Gaussian lies where the Jacobian is clamped, which depends on the image size
    gaussians, cameras = scene(seed)
    narrow = torch.tensor([0.35, 0.35, 0.5], dtype=torch.float64)
    gaussians = replace(gaussians, means=gaussians.means * narrow + torch.tensor([0.0, 0.0, 6.0]))
    gaussians = gaussians.select(gaussians.means[:, :2].abs().amax(dim=-1) < 2)
    clear = clear_pixels(gaussians, cameras, mode="classic")[:, 9:26, 7:30]
    expected = images(gaussians, cameras, backend)[..., 9:26, 7:30]
    assert_same(images(gaussians, cameras.crop(9, 7, 17, 23), backend), expected, clear, backend)


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_the_order_of_the_gaussians_changes_nothing(backend, seed, mode):
    gaussians, cameras = scene(seed)
    order = torch.argsort(uniform(seed, gaussians.num_gaussians))
    expected, expected_grads = images_and_gradients(gaussians, cameras, backend=backend, mode=mode)
    image, grads = images_and_gradients(gaussians.select(order), cameras, backend=backend, mode=mode)
    assert torch.equal(image, expected)
    for grad, expected_grad in zip(grads[:5], expected_grads[:5], strict=True):
        torch.testing.assert_close(grad, expected_grad[order], rtol=1e-10, atol=1e-10)
    for grad, expected_grad in zip(grads[5:], expected_grads[5:], strict=True):  # sums in another order
        assert (grad - expected_grad).norm() <= 1e-6 * expected_grad.norm()


@pytest.mark.parametrize("factor", [-1.0, 4.0])
def test_sign_and_length_of_quaternions_change_nothing(backend, seed, factor):
    gaussians, cameras = scene(seed)
    turned = replace(gaussians, quaternions=factor * gaussians.quaternions)
    expected, expected_grads = images_and_gradients(gaussians, cameras, backend=backend)
    image, grads = images_and_gradients(turned, cameras, backend=backend)
    assert torch.equal(image, expected)
    torch.testing.assert_close(factor * grads[1], expected_grads[1], rtol=1e-12, atol=1e-12)
    assert torch.equal(grads[0], expected_grads[0])


def test_two_in_one_place_are_one_of_their_joint_opacity(backend, seed):
    """1 - o = (1 - o1)(1 - o2), which holds for the opacities alone, so where footprints are flat.

    Elsewhere it does not: with the footprint g, 1 - o g is not (1 - o1 g)(1 - o2 g). Here a pixel is 1e-6
    standard deviations wide.
    """
    count, cameras = 7, random_cameras(1, 17, 19)
    opacities, share = 0.1 + 0.5 * uniform(seed, count), 0.3 + 0.4 * uniform(seed + 50, count)
    layers = Gaussians(
        torch.tensor([0.0, 0.0, 3.0]) + uniform(seed, count, 3),
        uniform(seed, count, 4),
        torch.full((count, 3), 2e5, dtype=torch.float64),
        opacities,
        uniform(seed, count, 1, 3),
    )
    halves = [replace(layers, opacities=1 - (1 - opacities) ** part) for part in (share, 1 - share)]
    expected = images(layers, cameras, backend)
    torch.testing.assert_close(expected[:, 3], torch.full_like(expected[:, 3], 1 - (1 - opacities).prod()))
    actual = images(concatenate_gaussians(halves), cameras, backend)
    torch.testing.assert_close(actual, expected, rtol=0, atol=5e-6)


def test_colours_and_depths_are_averages(backend, seed):
    gaussians, cameras = scene(seed, coefficients=1)
    colors = uniform(seed, 149, 3)
    seen = render(replace(gaussians, harmonics=rgb_to_harmonics(colors)[:, None]), cameras, backend=backend)
    assert seen.alpha.min() >= 0 and 0.9 < seen.alpha.max() <= 1
    assert seen.color.min() >= 0 and (seen.color <= seen.alpha * colors.max() + 1e-6).all()
    covered = seen.alpha > 0
    assert (seen.depth[~covered] == 0).all()
    assert seen.depth[covered].min() >= 0.01 and seen.depth[covered].max() < gaussians.means.norm(dim=1).max()


def test_colours_are_linear_in_harmonics_and_leave_alpha_alone(backend, seed):
    gaussians, cameras = scene(seed, coefficients=1)
    one, other = (rgb_to_harmonics(uniform(seed + k, 149, 1, 3)) for k in (0, 1))
    first, second, mixed = (
        images(replace(gaussians, harmonics=v), cameras, backend)
        for v in (one, other, 0.3 * one + 0.7 * other)
    )
    torch.testing.assert_close(mixed, 0.3 * first + 0.7 * second, rtol=0, atol=2e-6)
    assert torch.equal(first[:, 3:], second[:, 3:]) and not torch.equal(first[:, :3], second[:, :3])


def test_what_cannot_be_seen_changes_nothing(backend, seed):
    gaussians, cameras = scene(seed)
    unseen = random_gaussians(37, coefficients=4, seed=seed + 7)
    behind = replace(unseen, means=unseen.means * torch.tensor([1.0, 1.0, -1.0]) - torch.tensor([0, 0, 9.0]))
    clear_ones = replace(unseen, opacities=torch.full_like(unseen.opacities, 0.0039))  # below 1/255
    together = concatenate_gaussians([behind, gaussians, clear_ones])
    expected, expected_grads = images_and_gradients(gaussians, cameras, backend=backend)
    image, grads = images_and_gradients(together, cameras, backend=backend)
    assert torch.equal(image, expected)
    for grad, expected_grad in zip(grads[:5], expected_grads[:5], strict=True):
        assert grad[:37].abs().max() == grad[-37:].abs().max() == 0
        torch.testing.assert_close(grad[37:-37], expected_grad, rtol=1e-10, atol=1e-10)


def test_every_frame_is_what_it_is_alone(backend, seed):
    gaussians, cameras = scene(seed)[0], random_cameras(3, 31, 37)
    alone = [images(gaussians, cameras.select(slice(i, i + 1)), backend) for i in range(3)]
    assert torch.equal(images(gaussians, cameras, backend), torch.cat(alone))
