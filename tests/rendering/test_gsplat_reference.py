"""Projection and harmonics against gsplat's own reference in plain torch, which needs no CUDA."""

import pytest
import torch
from gsplat.cuda import _torch_impl as gsplat_reference
from rendering.scenes import clear_pixels, random_cameras, random_gaussians

from diff4splat.gaussians import evaluate_harmonics
from diff4splat.geometry import rigid_inverse
from diff4splat.rendering import reference, render

HEIGHT, WIDTH = 61, 67


def scene(seed):
    """Means to opacities, poses and intrinsics; some off the image, where the Jacobian is clamped."""
    gaussians, cameras = random_gaussians(293, seed=seed), random_cameras(3, HEIGHT, WIDTH)
    return [
        gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities,
        rigid_inverse(cameras.camera_to_world), cameras.intrinsics,
    ]  # fmt: skip


def ours(means, quaternions, scales, opacities, pose, intrinsics, *, mode, eps2d=0.3):
    return reference.project_gaussians(
        means, quaternions, scales, opacities, pose, intrinsics,
        height=HEIGHT, width=WIDTH, near=0.01, far=1e10, eps2d=eps2d, radius_clip=0.0, mode=mode,
    )  # fmt: skip


def theirs(means, quaternions, scales, opacities, pose, intrinsics, *, eps2d=0.3):
    """Centres, conics, depths, and opacities times the factor of antialiasing."""
    covariances, _ = gsplat_reference._quat_scale_to_covar_preci(quaternions, scales, compute_preci=False)
    _, centers, depths, conics, factors = gsplat_reference._fully_fused_projection(
        means, covariances, pose[None], intrinsics[None], WIDTH, HEIGHT, eps2d=eps2d, calc_compensations=True
    )
    return centers[0], conics[0], depths[0], opacities * factors[0]


@pytest.mark.parametrize("eps2d", [0.3, 0.05])
@pytest.mark.parametrize("seed", [0, 1])
def test_projection(seed, eps2d):
    *shapes, poses, intrinsics = scene(seed)
    for pose, lens in zip(poses, intrinsics, strict=True):
        classic = ours(*shapes, pose, lens, mode="classic", eps2d=eps2d)
        thinned = ours(*shapes, pose, lens, mode="antialiased", eps2d=eps2d)
        centers, conics, depths, opacities = theirs(*shapes, pose, lens, eps2d=eps2d)
        seen = classic.visible
        assert 100 < seen.sum() < 293
        torch.testing.assert_close(classic.means[seen], centers[seen], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(classic.depths[seen], depths[seen], rtol=1e-12, atol=0)
        torch.testing.assert_close(classic.conics[seen], conics[seen], rtol=1e-6, atol=1e-9)
        # gsplat takes the factor's determinant as a difference, which loses digits for needles
        torch.testing.assert_close(thinned.opacities[seen], opacities[seen], rtol=0, atol=1e-6)


def test_gradients_of_the_projection():
    *shapes, poses, intrinsics = scene(seed=2)
    needles = (shapes[2] < 1e-3).any(dim=-1)  # their gradients lose digits in gsplat's determinants
    shapes = [v[~needles] for v in shapes]
    seen = ours(*shapes, poses[1], intrinsics[1], mode="antialiased").visible
    inputs = [v[seen] for v in shapes] + [poses[1], intrinsics[1]]
    grads = []
    for which in (ours, theirs):
        leaves = [v.clone().requires_grad_() for v in inputs]
        if which is ours:
            projected = ours(*leaves, mode="antialiased")
            outputs = projected.means, projected.conics, projected.depths, projected.opacities
        else:
            outputs = theirs(*leaves)
        generator = torch.Generator().manual_seed(3)
        weights = [torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in outputs]
        gradient = torch.autograd.grad(outputs, leaves, weights)
        focal_and_center = gradient[5][[0, 1, 0, 1], [0, 1, 2, 2]]  # gsplat has one for a skew, too
        grads.append((*gradient[:5], focal_and_center))
    names = ("means", "quaternions", "scales", "opacities", "pose", "intrinsics")
    for name, one, other in zip(names, *grads, strict=True):
        assert other.norm() > 0
        assert (one - other).norm() <= 1e-6 * other.norm(), name


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_image_of_the_kernels(mode):
    """Footprints and colours of gsplat, composited by the oracle, are the image of the CPU backend."""
    gaussians = random_gaussians(293, coefficients=16, seed=4, dtype=torch.float32).to(dtype=torch.float64)
    cameras = random_cameras(1, HEIGHT, WIDTH, dtype=torch.float32).to(dtype=torch.float64)
    shapes = gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities
    pose, intrinsics = rigid_inverse(cameras.camera_to_world)[0], cameras.intrinsics[0]
    centers, conics, depths, opacities = theirs(*shapes, pose, intrinsics)
    footprints = ours(*shapes, pose, intrinsics, mode=mode)._replace(
        means=centers,
        conics=conics,
        depths=depths,
        opacities=opacities if mode == "antialiased" else gaussians.opacities,
    )
    directions = gaussians.means - cameras.camera_to_world[0, :3, 3]
    colors = gsplat_reference._spherical_harmonics(3, directions, gaussians.harmonics) + 0.5
    pixels = torch.cartesian_prod(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5).flip(-1).double()
    expected = reference.composite(footprints, colors.clamp_min(0.0), pixels).T.reshape(5, HEIGHT, WIDTH)
    seen = render(gaussians, cameras, backend="cpu", mode=mode, depth_mode="accumulated")
    image = torch.cat((seen.color, seen.alpha, seen.depth), dim=1)[0]
    clear = clear_pixels(gaussians, cameras, mode=mode)
    assert expected[3].max() > 0.99 and clear.double().mean() > 0.99
    assert ((image - expected) * clear).abs().max() <= 1e-5


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_harmonics(degree):
    gaussians = random_gaussians(53, coefficients=(degree + 1) ** 2)
    results = []
    for which in ("ours", "theirs"):
        directions = gaussians.means.clone().requires_grad_()
        harmonics = gaussians.harmonics.clone().requires_grad_()
        if which == "ours":
            colors = evaluate_harmonics(harmonics, directions)
        else:
            colors = gsplat_reference._spherical_harmonics(degree, directions, harmonics) + 0.5
        weights = torch.randn(colors.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        wanted = [harmonics] if degree == 0 else [harmonics, directions]
        results.append([colors.detach(), *torch.autograd.grad(colors, wanted, weights)])
    for one, other in zip(*results, strict=True):
        assert other.norm() > 0
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
