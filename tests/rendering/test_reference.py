import numpy as np
import pytest
import torch
from reference.rendering_reference import splat
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, evaluate_harmonics
from diff4splat.rendering import reference, render

OPTIONS = {"near": 0.01, "far": 1e10, "eps2d": 0.3, "radius_clip": 0.0}


def arguments(count=31, height=11, width=13, frames=1, seed=0):
    gaussians = random_gaussians(count, seed=seed)
    cameras = random_cameras(frames, height, width)
    colors = evaluate_harmonics(gaussians.harmonics, gaussians.means).clamp_min(0)
    return [
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        colors[None],
        torch.linalg.inv(cameras.camera_to_world),
        cameras.intrinsics,
    ]


def test_image_equals_loops_over_pixels_and_gaussians():
    inputs = arguments(count=43, frames=2)
    images = torch.cat(reference.rasterize(*inputs, height=11, width=13, mode="classic", **OPTIONS), dim=1)
    means, quaternions, scales, opacities, colors, poses, intrinsics = (v.numpy() for v in inputs)
    for frame in range(2):
        expected = splat(
            means, quaternions, scales, opacities, colors[0], poses[frame], intrinsics[frame], 11, 13
        )
        assert expected[3].max() > 0.9
        np.testing.assert_allclose(images[frame].numpy(), expected, rtol=0, atol=1e-12)  # float64 rounding


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_blocks_change_nothing(mode):
    inputs = arguments(count=97, height=29, width=37)
    whole = reference.rasterize(*inputs, height=29, width=37, mode=mode, **OPTIONS)
    blocks = reference.rasterize(*inputs, height=29, width=37, mode=mode, block_px=7, **OPTIONS)
    for one, other in zip(whole, blocks, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_gradients_of_all_inputs(mode):
    generator = torch.Generator().manual_seed(3)
    means = torch.randn(5, 3, generator=generator, dtype=torch.float64) * 0.5 + torch.tensor([0.0, 0.0, 3.0])
    means[0, 0] = 3.5  # beyond the widened field of view: the clamp of the Jacobian is active
    inputs = [
        means,
        torch.randn(5, 4, generator=generator, dtype=torch.float64),
        torch.rand(5, 3, generator=generator, dtype=torch.float64) + 0.4,
        torch.rand(5, generator=generator, dtype=torch.float64) * 0.4 + 0.4,
        torch.rand(1, 5, 3, generator=generator, dtype=torch.float64),
        torch.eye(4, dtype=torch.float64)[None],
        torch.tensor([[[5.0, 0, 2.5], [0, 4.0, 1.5], [0, 0, 1]]], dtype=torch.float64),
    ]
    inputs = [v.clone().requires_grad_() for v in inputs]

    def images(*tensors):
        return torch.cat(reference.rasterize(*tensors, height=3, width=5, mode=mode, **OPTIONS), dim=1)

    assert torch.autograd.gradcheck(images, inputs)


def on_axis(depths, sigmas, turns, opacities, mode="classic"):
    """Red, green, blue, alpha and depth times alpha, (5, 9, 11), of Gaussians on the axis of a camera.

    Their colours are the unit vectors. The axis passes through the centre of pixel (4, 5); the focal length
    is 20 pixels; `turns` are angles about the axis.
    """
    count = len(depths)
    turns = torch.tensor(turns, dtype=torch.float64)
    zero = torch.zeros_like(turns)
    inputs = (
        torch.tensor([[0.0, 0.0, z] for z in depths], dtype=torch.float64),
        torch.stack([(turns / 2).cos(), zero, zero, (turns / 2).sin()], dim=-1),
        torch.tensor(sigmas, dtype=torch.float64),
        torch.tensor(opacities, dtype=torch.float64),
        torch.eye(3, dtype=torch.float64)[None, :count],
        torch.eye(4, dtype=torch.float64)[None],
        torch.tensor([[[20.0, 0, 5.5], [0, 20.0, 4.5], [0, 0, 1]]], dtype=torch.float64),
    )
    return torch.cat(reference.rasterize(*inputs, height=9, width=11, mode=mode, **OPTIONS), dim=1)[0]


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_image_of_one_gaussian(mode):
    """An ellipse with axes of 20 / 4 * (0.6, 0.2) = (3, 1) pixels, turned, the dilation added."""
    image = on_axis([4.0], [[0.6, 0.2, 0.3]], [0.5], [0.7], mode)
    y, x = np.mgrid[-4:5, -5:6]
    along, across = np.cos(0.5) * x + np.sin(0.5) * y, np.cos(0.5) * y - np.sin(0.5) * x
    alpha = 0.7 * np.exp(-0.5 * (along**2 / (9 + 0.3) + across**2 / (1 + 0.3)))
    if mode == "antialiased":
        alpha *= np.sqrt(9 * 1 / ((9 + 0.3) * (1 + 0.3)))
    alpha[alpha < 1 / 255] = 0
    assert (alpha == 0).any() and (alpha > 0.5).any()
    expected = np.stack([alpha, 0 * alpha, 0 * alpha, alpha, 4 * alpha])
    np.testing.assert_allclose(image.numpy(), expected, rtol=0, atol=1e-13)


def test_compositing_of_two_gaussians():
    near, far = (on_axis([z], [[s, s, s]], [0.0], [o])[3] for z, s, o in ((2.0, 0.2, 0.6), (5.0, 0.9, 0.5)))
    for order in ([0, 1], [1, 0]):
        depths, sigmas, opacities = [2.0, 5.0], [[0.2] * 3, [0.9] * 3], [0.6, 0.5]
        both = on_axis(*([v[i] for i in order] for v in (depths, sigmas, [0.0, 0.0], opacities)))
        behind = (1 - near) * far
        expected = torch.stack([near, behind])[order]
        torch.testing.assert_close(both[:2], expected, rtol=0, atol=1e-13)
        torch.testing.assert_close(both[3], 1 - (1 - near) * (1 - far), rtol=0, atol=1e-13)
        torch.testing.assert_close(both[4], 2 * near + 5 * behind, rtol=0, atol=1e-13)


def test_depth_of_a_plane():
    """Many Gaussians of one depth, seen by a turned camera: z-depth, not the distance along the ray."""
    y, x = torch.meshgrid(torch.linspace(-2, 2, 17), torch.linspace(-2, 2, 17), indexing="ij")
    local = torch.stack([x, y, torch.full_like(x, 3.0)], dim=-1).reshape(-1, 3).double()
    camera = random_cameras(2, 9, 11).select(slice(1, 2))
    turn, place = camera.camera_to_world[0, :3, :3], camera.camera_to_world[0, :3, 3]
    count = len(local)
    plane = Gaussians(
        local @ turn.T + place,
        torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).expand(count, 4),
        torch.full((count, 3), 0.2, dtype=torch.float64),
        torch.full((count,), 0.4, dtype=torch.float64),
        torch.zeros(count, 1, 3, dtype=torch.float64),
    )
    seen = render(plane, camera, backend="reference")
    assert seen.alpha.min() > 0.9
    torch.testing.assert_close(seen.depth, torch.full_like(seen.depth, 3.0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("depth_mode", ["expected", "accumulated"])
def test_gradients_of_the_whole_renderer(depth_mode):
    """From harmonics, poses, intrinsics and background to the images, through the oracle."""
    generator = torch.Generator().manual_seed(7)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    upper_rows = torch.eye(4, dtype=torch.float64)[None, :3].clone()
    upper_rows[0, :, 3] = torch.tensor([0.1, -0.2, 0.3])
    inputs = [
        uniform(3, 3) - 0.5 + torch.tensor([0.0, 0.0, 3.0]),
        uniform(3, 4) + 0.1,
        uniform(3, 3) + 0.4,
        0.4 * uniform(3) + 0.4,
        0.2 * uniform(3, 9, 3),
        upper_rows,
        torch.tensor([5.0, 4.0, 2.5, 1.5], dtype=torch.float64),
        uniform(3),
    ]

    def images(*tensors):
        pose = torch.cat([tensors[5], torch.tensor([[[0.0, 0.0, 0.0, 1.0]]])], dim=1)
        fx, fy, cx, cy = tensors[6]
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        lens = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).reshape(1, 3, 3)
        seen = render(
            Gaussians(*tensors[:5]), Cameras(pose, lens, 3, 5),
            backend="reference", background=tensors[7], depth_mode=depth_mode,
        )  # fmt: skip
        return seen.color, seen.alpha, seen.depth

    assert torch.autograd.gradcheck(images, [v.requires_grad_() for v in inputs])
