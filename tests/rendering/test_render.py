import math
from dataclasses import replace

import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, concatenate_gaussians, rgb_to_harmonics
from diff4splat.rendering import filled_pixels, render, render_field

BACKENDS = ("cpu", "reference")


def camera(height=31, width=37, focal=40.0, dtype=torch.float64):
    """One camera at the origin whose axis passes through the centre of a pixel."""
    intrinsics = torch.tensor(
        [[focal, 0, width // 2 + 0.5], [0, focal, height // 2 + 0.5], [0, 0, 1]], dtype=dtype
    )
    return Cameras(torch.eye(4, dtype=dtype)[None], intrinsics[None], height, width)


def blob(z=4.0, sigma=0.3, opacity=0.7, rgb=(0.9, 0.4, 0.1), dtype=torch.float64):
    return Gaussians(
        torch.tensor([[0.0, 0.0, z]], dtype=dtype),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=dtype),
        torch.full((1, 3), sigma, dtype=dtype),
        torch.tensor([opacity], dtype=dtype),
        rgb_to_harmonics(torch.tensor([[rgb]], dtype=dtype)),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_one_gaussian_on_the_axis(backend, mode):
    variance = (40.0 * 0.3 / 4.0) ** 2
    rendering = render(blob(), camera(), backend=backend, mode=mode)
    opacity = 0.7 * (variance / (variance + 0.3) if mode == "antialiased" else 1.0)
    row = torch.arange(37, dtype=torch.float64) - 18.0
    expected = opacity * torch.exp(-0.5 * row**2 / (variance + 0.3))
    expected[expected < 1 / 255] = 0
    torch.testing.assert_close(rendering.alpha[0, 0, 15], expected, rtol=0, atol=2e-6)  # float32 rasterizer
    colors = expected * torch.tensor([0.9, 0.4, 0.1], dtype=torch.float64)[:, None]
    torch.testing.assert_close(rendering.color[0, :, 15], colors, rtol=0, atol=2e-6)
    torch.testing.assert_close(rendering.depth[0, 0, 15], 4.0 * (expected > 0).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_gaussians_over_a_background(backend):
    near, far = blob(2.0, opacity=0.6, rgb=(1.0, 0.0, 0.0)), blob(5.0, opacity=0.5, rgb=(0.0, 1.0, 0.0))
    for order in ([near, far], [far, near]):
        both = concatenate_gaussians(order)
        options = {"backend": backend, "background": [0.0, 0.0, 1.0]}
        expected = render(both, camera(), **options)
        torch.testing.assert_close(
            expected.color[0, :, 15, 18], torch.tensor([0.6, 0.4 * 0.5, 0.4 * 0.5], dtype=torch.float64)
        )
        assert expected.alpha[0, 0, 15, 18].item() == pytest.approx(0.8, abs=1e-6)
        assert expected.depth[0, 0, 15, 18].item() == pytest.approx((0.6 * 2 + 0.2 * 5) / 0.8, rel=1e-6)
        accumulated = render(both, camera(), depth_mode="accumulated", **options)
        assert accumulated.depth[0, 0, 15, 18].item() == pytest.approx(0.6 * 2 + 0.2 * 5, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_opacity_is_capped_and_a_finished_pixel_takes_no_more(backend):
    stack = [blob(z, opacity=1.0, rgb=(1.0, 1.0, 1.0)) for z in (2.0, 3.0, 4.0)]
    assert render(stack[0], camera(), backend=backend).alpha[0, 0, 15, 18].item() == pytest.approx(
        0.999, abs=1e-7
    )
    # the second would leave 1e-6 of the light, less than 1e-4: it is dropped, and so is all behind it
    alpha = render(concatenate_gaussians(stack), camera(), backend=backend).alpha[0, 0, 15, 18].item()
    assert alpha == pytest.approx(0.999, abs=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cap", [0.99, 0.5, 0.9998])
def test_cap_of_the_opacity_can_be_chosen(backend, cap):
    """Three opaque Gaussians in a row: each covers `cap` of what is left, until less than 1e-4 would be."""
    stack = concatenate_gaussians([blob(z, opacity=1.0, rgb=(1.0, 1.0, 1.0)) for z in (2.0, 3.0, 4.0)])
    left, light = 1.0, 1 - torch.tensor(cap).double().item()  # in float32, two of 0.99 leave less than 1e-4
    for _ in range(3):
        left = left * light if left * light > 1e-4 else left
    rendering = render(stack, camera(), backend=backend, max_alpha=cap)
    assert rendering.alpha[0, 0, 15, 18].item() == pytest.approx(1 - left, abs=1e-6)
    still = DeformableGaussianField(
        stack, torch.tensor([0.5]), *(torch.zeros(1, 3, n, dtype=torch.float64) for n in (3, 4, 3))
    )
    still = replace(still, delta_quaternions=stack.quaternions[None])
    moving = render_field(still, camera(), [0.5], backend=backend, max_alpha=cap)
    torch.testing.assert_close(moving.alpha, rendering.alpha)


@pytest.mark.parametrize("cap", [0.99, 0.6])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_image_and_gradients_below_any_cap_equal_the_oracle(cap, mode):
    def large():
        gaussians = random_gaussians(53)
        return replace(gaussians, scales=3 * gaussians.scales, opacities=gaussians.opacities**0.2)

    def images_and_gradients(backend):
        gaussians, cameras = large(), random_cameras(2, 23, 29)
        names = ("means", "quaternions", "scales", "opacities", "harmonics")
        leaves = [cameras.camera_to_world, *(getattr(gaussians, name) for name in names)]
        for leaf in leaves:
            leaf.requires_grad_()
        seen = render(gaussians, cameras, backend=backend, mode=mode, max_alpha=cap)
        weights = torch.sin(0.37 * torch.arange(seen.color.numel(), dtype=torch.float64))
        total = (seen.color * weights.reshape(seen.color.shape)).sum() + (seen.depth * seen.alpha).sum()
        return seen, torch.autograd.grad(total, leaves)

    expected, expected_gradients = images_and_gradients("reference")
    seen, gradients = images_and_gradients("cpu")
    torch.testing.assert_close(seen.color, expected.color, rtol=0, atol=1e-5)
    for gradient, right in zip(gradients, expected_gradients, strict=True):
        assert torch.linalg.vector_norm(gradient - right) < 1e-5 * torch.linalg.vector_norm(right)
    uncapped = render(large(), random_cameras(2, 23, 29), backend="reference", mode=mode)
    assert (uncapped.color - expected.color).abs().max() > 1e-3  # the cap is at work


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_of_a_plane(backend):
    y, x = torch.meshgrid(torch.linspace(-2, 2, 23), torch.linspace(-2, 2, 23), indexing="ij")
    means = torch.stack([x, y, torch.full_like(x, 3.0)], dim=-1).reshape(-1, 3).double()
    count = len(means)
    plane = Gaussians(
        means,
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1).double(),
        torch.tensor([[0.15, 0.15, 1e-6]]).repeat(count, 1).double(),
        torch.full((count,), 0.9).double(),
        torch.zeros(count, 1, 3).double(),
    )
    rendering = render(plane, camera(), backend=backend)
    assert rendering.alpha.min() > 0.9
    torch.testing.assert_close(rendering.depth, torch.full_like(rendering.depth, 3.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_colour_depends_on_the_direction_and_is_never_negative(backend):
    one = blob(opacity=0.9)
    coefficients = torch.zeros(1, 4, 3, dtype=torch.float64)
    coefficients[0, 2] = torch.tensor([1.0, -1.0, -3.0])  # the basis function along z
    seen = render(
        Gaussians(one.means, one.quaternions, one.scales, one.opacities, coefficients),
        camera(),
        backend=backend,
    )
    slope = math.sqrt(3 / (4 * math.pi))
    expected = 0.9 * torch.tensor([0.5 + slope, 0.5 - slope, 0.0], dtype=torch.float64)
    torch.testing.assert_close(seen.color[0, :, 15, 18], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaussians_out_of_range_or_too_small_are_dropped(backend):
    def total(**options):
        return render(blob(), camera(), backend=backend, **options).alpha.sum().item()

    assert total() > 1
    assert total(near=4.1) == total(far=3.9) == total(radius_clip=10.0) == 0
    assert total(near=4.0) == total(far=4.0) == total(radius_clip=9.0) == total()
    assert total(eps2d=2.0) > total()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("frames", [0, 2])
def test_nothing_to_see(backend, frames):
    nothing = blob().select(slice(0, 0))
    cameras = random_cameras(frames, 11, 13)
    rendering = render(nothing, cameras, backend=backend, background=[0.1, 0.2, 0.3])
    expected = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)[:, None, None].expand(frames, 3, 11, 13)
    torch.testing.assert_close(rendering.color, expected)
    assert rendering.alpha.shape == rendering.depth.shape == (frames, 1, 11, 13)
    assert rendering.alpha.abs().sum() + rendering.depth.abs().sum() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_leading_axes_are_kept(backend):
    gaussians, cameras = random_gaussians(29, batch=(2, 3)), random_cameras(2, 11, 13, batch=(2, 3))
    rendering = render(gaussians, cameras, backend=backend)
    assert rendering.color.shape == (2, 3, 2, 3, 11, 13)
    assert rendering.alpha.shape == rendering.depth.shape == (2, 3, 2, 1, 11, 13)
    fields = (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )
    single = Gaussians(*(v[1, 2] for v in fields))
    one = Cameras(cameras.camera_to_world[1, 2, 1:], cameras.intrinsics[1, 2, 1:], 11, 13)
    assert torch.equal(render(single, one, backend=backend).color[0], rendering.color[1, 2, 1])


def field(times=(0.0, 0.5, 1.0), batch=()):
    generator = torch.Generator().manual_seed(4)
    canonical = random_gaussians(47, batch=batch)
    shape = (*batch, len(times), 47)

    def normal(size):
        return torch.randn(*shape, size, generator=generator, dtype=torch.float64)

    turns = normal(4) * 0.2 + torch.tensor([1.0, 0, 0, 0])
    turns = turns / turns.norm(dim=-1, keepdim=True)
    return DeformableGaussianField(
        canonical, torch.tensor(times, dtype=torch.float64), 0.2 * normal(3), turns, 0.1 * normal(3)
    )


@pytest.mark.parametrize("batch", [(), (2,)])
def test_field_is_rendered_at_the_time_of_each_camera(batch):
    dynamic, cameras = field(batch=batch), random_cameras(5, 11, 13, batch=batch)
    times = torch.tensor([0.5, 0.2, 0.0, 1.0, 0.77], dtype=torch.float64)
    video = render_field(dynamic, cameras, times, background=[0.3, 0.2, 0.1], depth_mode="accumulated")
    assert video.color.shape == (*batch, 5, 3, 11, 13)
    for i, time in enumerate(times):
        frame = render(
            dynamic.at(time), cameras.select(i), background=[0.3, 0.2, 0.1], depth_mode="accumulated"
        )
        torch.testing.assert_close(
            video.color[..., i, :, :, :], frame.color[..., 0, :, :, :], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            video.depth[..., i, :, :, :], frame.depth[..., 0, :, :, :], rtol=0, atol=1e-4
        )


def test_gradients_of_a_field_equal_those_of_its_moments():
    cameras, times = random_cameras(3, 11, 13), [0.5, 0.2, 1.0]
    grads = []
    for direct in (True, False):
        dynamic = field()
        deltas = (dynamic.delta_means, dynamic.delta_quaternions, dynamic.delta_scales)
        for v in deltas:
            v.requires_grad_()
        if direct:
            images = render_field(dynamic, cameras, times, backend="reference").color
        else:
            images = torch.cat(
                [
                    render(dynamic.at(t), cameras.select(i), backend="reference").color
                    for i, t in enumerate(times)
                ]
            )
        images.square().sum().backward()
        grads.append([v.grad for v in deltas])
    for one, other in zip(*grads, strict=True):
        assert one.norm() > 0
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("times", [[0.1], [], [0.1, 0.2, 1.5], torch.tensor([0.1, 0.2, math.nan])])
def test_wrong_times(times):
    with pytest.raises(ValueError, match="time"):
        render_field(field(), random_cameras(3, 11, 13), times)


def test_autocast_changes_nothing():
    gaussians, cameras = (
        random_gaussians(dtype=torch.float32, coefficients=4),
        random_cameras(dtype=torch.float32),
    )
    expected = render(gaussians, cameras).color
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(render(gaussians, cameras).color, expected)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_half_precision_renders_as_its_own_values_in_float32(backend):
    """Far from the origin, where differences of half-precision numbers would be lost."""
    gaussians, cameras = random_gaussians(31, dtype=torch.float32), random_cameras(2, dtype=torch.float32)
    shift = torch.tensor([100.0, 50.0, 30.0])
    poses = cameras.camera_to_world.clone()
    poses[:, :3, 3] += shift
    gaussians = replace(gaussians, means=gaussians.means + shift).to(dtype=torch.bfloat16)
    cameras = replace(cameras, camera_to_world=poses).to(dtype=torch.bfloat16)
    half = render(gaussians, cameras, backend=backend).color
    assert half.dtype == torch.bfloat16
    single = render(gaussians.to(dtype=torch.float32), cameras.to(dtype=torch.float32), backend=backend).color
    torch.testing.assert_close(half.float(), single, atol=8e-3, rtol=0)


def test_filled_pixels_are_the_weights_of_the_colours():
    gaussians, cameras = random_gaussians(31), random_cameras(3, 17, 19)
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    times = torch.tensor([0.0, 0.4, 1.0])
    weights = filled_pixels(field, cameras, times)
    assert weights.shape == (31,) and not weights.requires_grad and (weights >= 0).all()
    assert torch.isclose(weights.sum(), render(gaussians, cameras).alpha.double().sum(), rtol=1e-5)
    for index in (0, 5, 10, 29):
        colors = torch.zeros(31, 3, dtype=torch.float64)
        colors[index] = 1.0
        alone = replace(gaussians, harmonics=rgb_to_harmonics(colors)[:, None])
        image = render(alone, cameras).color[:, 1]
        assert torch.isclose(weights[index], image.sum(), rtol=1e-4, atol=1e-4)
