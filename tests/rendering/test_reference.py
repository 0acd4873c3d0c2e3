import numpy as np
import pytest
import torch
from reference.rendering_reference import splat
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.gaussians import evaluate_harmonics
from diff4splat.rendering import reference

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
