"""The CPU backend against the float64 oracle, which `test_reference.py` tests against closed forms."""

from dataclasses import replace

import pytest
import torch
from rendering.scenes import NAMES, clear_pixels, images_and_gradients, random_cameras, random_gaussians

from diff4splat.gaussians import harmonics_to_rgb
from diff4splat.geometry import rigid_inverse
from diff4splat.rendering import reference, render


def check(gaussians, cameras, **options):
    """Images within 1e-5 and all gradients within 1e-5 relative, away from the thresholds."""
    exact, exact_cameras = gaussians.to(dtype=torch.float64), cameras.to(dtype=torch.float64)
    clear = clear_pixels(exact, exact_cameras, mode=options["mode"])
    assert clear.double().mean() > 0.98
    expected, expected_grads = images_and_gradients(
        exact, exact_cameras, backend="reference", where=clear, **options
    )
    image, grads = images_and_gradients(gaussians, cameras, backend="cpu", where=clear, **options)
    difference = (image - expected).abs() * clear[:, None]
    assert expected[:, 3].max() > 0.7 and difference.max() <= 1e-5
    for name, grad, expected_grad in zip(NAMES, grads, expected_grads, strict=True):
        assert grad.dtype == torch.float32 and expected_grad.norm() > 0
        assert (grad - expected_grad).norm() <= 1e-5 * expected_grad.norm(), name


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("depth_mode", ["expected", "accumulated"])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
@pytest.mark.parametrize("degree", [0, 3])
def test_small_scenes(degree, mode, depth_mode, seed):
    gaussians = random_gaussians(300, coefficients=(degree + 1) ** 2, seed=seed, dtype=torch.float32)
    check(gaussians, random_cameras(2, 64, 64, dtype=torch.float32), mode=mode, depth_mode=depth_mode)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_other_degrees(degree):
    gaussians = random_gaussians(97, coefficients=(degree + 1) ** 2, seed=degree, dtype=torch.float32)
    check(gaussians, random_cameras(2, 29, 37, dtype=torch.float32), mode="classic")


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
@pytest.mark.parametrize("length", [1e3, 1e9, 1e18])
def test_needles(length, mode):
    """Determinants of such covariances cancel where they are computed as differences of products."""
    gaussians = random_gaussians(61, seed=5, dtype=torch.float32)
    scales = 0.1 + 0.1 * torch.rand(61, 3, generator=torch.Generator().manual_seed(6))
    scales[::2, 0] *= length
    opacities = 0.3 * gaussians.opacities
    gaussians = replace(gaussians, scales=scales, opacities=opacities)
    check(gaussians, random_cameras(2, 29, 37, dtype=torch.float32), mode=mode)


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_large_scene(mode):
    """At most 0.01 % of the pixels are off by more than 1e-4.

    Those that are hang on a threshold: an opacity that is 1/255 or more in float64 and less in float32, or a
    transmittance on either side of 1e-4, adds or takes away up to 1/255 of a colour or of a depth.
    """
    gaussians = random_gaussians(4001, seed=3, dtype=torch.float32)
    cameras = random_cameras(1, 256, 256, dtype=torch.float32)
    image = render(gaussians, cameras, backend="cpu", mode=mode, depth_mode="accumulated")
    exact, exact_cameras = gaussians.to(dtype=torch.float64), cameras.to(dtype=torch.float64)
    expected = reference.rasterize(
        exact.means, exact.quaternions, exact.scales, exact.opacities,
        harmonics_to_rgb(exact.harmonics[None, :, 0]), rigid_inverse(exact_cameras.camera_to_world),
        exact_cameras.intrinsics, height=256, width=256, near=0.01, far=1e10, eps2d=0.3, radius_clip=0.0,
        mode=mode, block_px=16,
    )  # fmt: skip
    difference = torch.cat((image.color, image.alpha, image.depth), 1) - torch.cat(expected, 1)
    off = (difference.abs() > 1e-4).any(dim=1)
    assert expected[1].mean() > 0.9 and off.sum() <= 1e-4 * off.numel()
