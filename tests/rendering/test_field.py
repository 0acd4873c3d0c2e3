"""A field on the CPU, deformed as it is drawn, against the reference, which deforms it first."""

from dataclasses import replace

import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.rendering import render, render_field

NAMES = ("delta_means", "delta_quaternions", "delta_scales")


def field(coefficients=1, scale_space="log", batch=(), stored=(0.1, 0.3, 0.6, 0.8)):
    generator = torch.Generator().manual_seed(4)
    canonical = random_gaussians(61, coefficients=coefficients, batch=batch)
    shape = (*batch, len(stored), 61)

    def normal(size):
        return torch.randn(*shape, size, generator=generator, dtype=torch.float64)

    turns = normal(4) * 0.6 + torch.tensor([1.0, 0, 0, 0])  # some the long way round from one to the next
    return DeformableGaussianField(
        canonical,
        torch.tensor(stored, dtype=torch.float64),
        *(0.2 * normal(3), turns / turns.norm(dim=-1, keepdim=True), 0.1 * normal(3)),
        scale_space=scale_space,
    )


def images_and_gradients(moving, cameras, times, backend):
    canonical = moving.canonical
    leaves = {name: getattr(moving, name).clone().requires_grad_() for name in (*NAMES, "times")}
    sets = {name: v.clone().requires_grad_() for name, v in vars(canonical).items()}
    poses, now = cameras.camera_to_world.clone().requires_grad_(), times.clone().requires_grad_()
    moving = replace(moving, canonical=replace(canonical, **sets), **leaves)
    seen = render_field(
        moving, replace(cameras, camera_to_world=poses), now, backend=backend, background=[0.3, 0.5, 0.2]
    )
    images = torch.cat((seen.color, seen.alpha, seen.depth), dim=-3)
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(7), dtype=images.dtype)
    (images * weights).sum().backward()
    grads = {name: v.grad for name, v in {**leaves, **sets, "poses": poses, "now": now}.items()}
    return images.detach(), grads


@pytest.mark.parametrize("coefficients", [1, 9])
@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_images_and_gradients_equal_the_reference(coefficients, scale_space, batch):
    moving = field(coefficients, scale_space, batch)
    # before the first stored time, at one, between some, at the last and after it
    times = torch.tensor([0.0, 0.05, 0.3, 0.31, 0.45, 0.7, 0.8, 1.0, 0.2], dtype=torch.float64)
    cameras = random_cameras(len(times), 23, 29, batch=batch)
    image, grads = images_and_gradients(moving, cameras, times, "cpu")
    expected, expected_grads = images_and_gradients(moving, cameras, times, "reference")
    torch.testing.assert_close(image, expected, rtol=0, atol=2e-5)
    for name, grad in expected_grads.items():
        assert grad.norm() > 0, name
        assert (grads[name] - grad).norm() <= 2e-5 * grad.norm(), name
    assert expected_grads["now"][[0, 1, 6, 7]].abs().sum() == grads["now"][[0, 1, 6, 7]].abs().sum() == 0


def test_gradients_at_stored_times_reach_those_times_alone():
    moving, cameras = field(), random_cameras(2, 13, 17)
    delta = moving.delta_means.clone().requires_grad_()
    seen = render_field(replace(moving, delta_means=delta), cameras, [0.3, 0.8], backend="cpu")
    seen.color.sum().backward()
    assert (delta.grad.abs().sum(dim=(1, 2)) > 0).tolist() == [False, True, False, True]


def test_one_stored_time():
    still, cameras = field(stored=(0.5,)), random_cameras(3, 13, 17)
    video = render_field(still, cameras, [0.0, 0.5, 1.0], backend="cpu")
    expected = render(still.at(0.5), cameras, backend="cpu")
    torch.testing.assert_close(video.color, expected.color, rtol=0, atol=1e-5)


def test_many_frames_are_the_frames_one_by_one():
    moving, cameras = field(), random_cameras(13, 19, 23)
    times = torch.linspace(0, 1, 13)
    video = render_field(moving, cameras, times, details=True)
    for i in range(13):
        one = render_field(moving, cameras.select(i), times[i : i + 1], details=True)
        for name in ("color", "alpha", "depth", "num_contributing", "strongest"):
            assert torch.equal(getattr(one, name)[0], getattr(video, name)[i]), name


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_deltas_that_are_not_finite(name, backend):
    moving = field()
    getattr(moving, name)[2, 7, 1] = torch.nan
    render_field(moving, random_cameras(1, 7, 5), [0.2], backend=backend)  # does not read it
    with pytest.raises(ValueError, match="must be finite"):
        render_field(moving, random_cameras(1, 7, 5), [0.7], backend=backend)


@pytest.mark.parametrize("name", NAMES)
def test_deltas_of_another_type(name):
    moving = field()
    with pytest.raises(TypeError, match=f"{name} must be torch.float64 on cpu like means, got torch.float32"):
        render_field(replace(moving, **{name: getattr(moving, name).float()}), random_cameras(1, 7, 5), [0.7])
