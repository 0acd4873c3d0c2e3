"""Flow matching: path, loss and times against loops in float64."""

import math

import numpy as np
import pytest
import torch
from diffusion.parts import SHAPE, latents
from reference import diffusion_flow_matching as reference

from diff4splat.diffusion import (
    euler_sample,
    flow_matching_loss,
    flow_matching_weight,
    noise_interpolate,
    sample_times,
    shifted_times,
    velocity_target,
)


def test_interpolation_matches_reference() -> None:
    clean, noise, time = latents(0), latents(1), torch.tensor([0.3, 0.9], dtype=torch.float64)
    expected = reference.noise_interpolate(clean.numpy(), noise.numpy(), time.numpy())
    # float64 rounding of three operations
    np.testing.assert_allclose(noise_interpolate(clean, noise, time).numpy(), expected, atol=1e-14)


def test_interpolation_is_exact_at_both_ends() -> None:
    clean, noise = latents(0, dtype=torch.float32), latents(1, dtype=torch.float32)
    assert torch.equal(noise_interpolate(clean, noise, torch.zeros(2)), clean)
    assert torch.equal(noise_interpolate(clean, noise, torch.ones(2)), noise)


@pytest.mark.parametrize("time_shape", [(), (2,), (2, 3), SHAPE])
def test_time_broadcasts_over_trailing_axes(time_shape) -> None:
    clean, noise = latents(0), latents(1)
    time = torch.rand(time_shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    result = noise_interpolate(clean, noise, time)
    index = (1, 2, 4, 6, 10)
    t = time[index[: len(time_shape)]]
    assert result[index].item() == pytest.approx(
        ((1 - t) * clean[index] + t * noise[index]).item(), abs=1e-14
    )


def test_time_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time must have the leading axes .*\(2, 3, 5, 7, 11\), got \(3,\)"):
        noise_interpolate(latents(0), latents(1), torch.zeros(3, dtype=torch.float64))


def test_velocity_is_the_derivative_of_the_path() -> None:
    clean, noise = latents(0), latents(1)
    low, high = torch.full((2,), 0.25, dtype=torch.float64), torch.full((2,), 0.75, dtype=torch.float64)
    slope = (noise_interpolate(clean, noise, high) - noise_interpolate(clean, noise, low)) / 0.5
    torch.testing.assert_close(slope, velocity_target(clean, noise), atol=1e-13, rtol=0)


def test_loss_matches_reference() -> None:
    prediction, clean, noise = latents(0), latents(1), latents(2)
    weight = torch.tensor([0.5, 3.0], dtype=torch.float64)
    expected = reference.flow_matching_loss(prediction.numpy(), clean.numpy(), noise.numpy(), weight.numpy())
    result = flow_matching_loss(prediction, clean, noise, weight=weight)
    assert result.shape == (2,)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)
    unweighted = flow_matching_loss(prediction, clean, noise)
    np.testing.assert_allclose((unweighted * weight).numpy(), expected, rtol=1e-12)


def test_loss_is_zero_only_at_the_target() -> None:
    clean, noise = latents(1), latents(2)
    target = velocity_target(clean, noise)
    assert torch.equal(flow_matching_loss(target, clean, noise), torch.zeros(2, dtype=torch.float64))
    assert (flow_matching_loss(-target, clean, noise) > 0.1).all()


def test_weight_per_frame_leaves_given_frames_out() -> None:
    clean, noise = latents(1), latents(2)
    prediction = latents(0).requires_grad_()
    weight = torch.ones(2, 3, dtype=torch.float64)
    weight[:, 0] = 0
    flow_matching_loss(prediction, clean, noise, weight=weight).sum().backward()
    assert prediction.grad is not None
    assert (prediction.grad[:, 0] == 0).all()
    assert (prediction.grad[:, 1:] != 0).all()


def test_weight_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="weight must have the leading axes"):
        flow_matching_loss(latents(0), latents(1), latents(2), weight=torch.ones(5, dtype=torch.float64))


def test_loss_gradient() -> None:
    shape = (2, 3, 5)
    prediction = latents(0, shape).requires_grad_()
    weight = torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda value: flow_matching_loss(value, latents(1, shape), latents(2, shape), weight=weight),
        prediction,
    )


def test_loss_of_half_precision_is_summed_in_float32() -> None:
    # 4,099 equal errors of 16: a float16 sum would overflow beyond 65,504.
    prediction = torch.full((1, 4099), 4.0, dtype=torch.float16)
    zero = torch.zeros_like(prediction)
    result = flow_matching_loss(prediction, zero, zero)
    assert result.dtype == torch.float16
    assert result.item() == 16.0


def test_weight_schemes() -> None:
    time = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert torch.equal(flow_matching_weight(time), torch.ones_like(time))
    cosmap = flow_matching_weight(time, scheme="cosmap")
    np.testing.assert_allclose(
        cosmap.numpy(), [reference.cosmap_weight(t) for t in time.tolist()], rtol=1e-13
    )
    density = flow_matching_weight(time, scheme="logit_normal", mean=0.3, std=0.8)
    np.testing.assert_allclose(
        density.numpy(), [reference.logit_normal_weight(t, 0.3, 0.8) for t in time.tolist()], rtol=1e-10
    )
    for weight in (cosmap, density):
        # the trapezoid rule on 1,000 intervals is good to about 1e-7 here
        assert torch.trapezoid(weight, time).item() == pytest.approx(1.0, abs=1e-6)
    own = flow_matching_weight(time, scheme=lambda t: 3 * t)
    assert torch.equal(own, 3 * time)


@pytest.mark.parametrize("scheme", ["uniform", "logit_normal", "cosmap", torch.exp])
def test_weights_have_finite_gradients_up_to_the_ends(scheme) -> None:
    time = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    weight = flow_matching_weight(time, scheme=scheme)
    if weight.requires_grad:
        weight.sum().backward()
        assert time.grad is not None and torch.isfinite(time.grad).all()
    inner = torch.tensor([0.2, 0.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: flow_matching_weight(t, scheme=scheme) + 0 * t, (inner,))


def test_weight_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scheme must return shape \(3,\), got \(\)"):
        flow_matching_weight(torch.ones(3), scheme=torch.mean)
    with pytest.raises(TypeError, match=r"scheme must return a tensor of shape \(3,\), got 0.5"):
        flow_matching_weight(torch.ones(3), scheme=lambda time: 0.5)
    with pytest.raises(ValueError, match="std must be > 0, got 0"):
        flow_matching_weight(torch.ones(3), scheme="logit_normal", std=0.0)


def test_sampled_times_follow_seed_and_distribution() -> None:
    draw = [sample_times(7, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(draw[0], draw[1])
    count = 20_011
    uniform = sample_times(count, generator=torch.Generator().manual_seed(0))
    normal = sample_times(count, distribution="logit_normal", generator=torch.Generator().manual_seed(0))
    for times in (uniform, normal):
        assert times.min() >= 0
        assert times.max() <= 1
        # standard error of the mean is at most 0.29 / sqrt(20011) = 0.002
        assert times.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.005)
    # logit of the draw is standard normal
    assert torch.logit(normal).std().item() == pytest.approx(1.0, abs=0.02)
    assert torch.logit(normal).mean().item() == pytest.approx(0.0, abs=0.03)


def test_shift_moves_sampled_times_towards_noise() -> None:
    plain = sample_times(13, generator=torch.Generator().manual_seed(0))
    shifted = sample_times(13, shift=3.0, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))
    assert (shifted > plain).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": -1}, "batch must be >= 0, got -1"),
        ({"batch": 2, "shift": 0.0}, "shift must be finite and > 0, got 0.0"),
        ({"batch": 2, "distribution": "logit_normal", "std": 0.0}, "std must be > 0, got 0.0"),
    ],
)
def test_sampled_times_refuse(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        sample_times(**options)


@pytest.mark.parametrize(("num_steps", "shift"), [(1, 1.0), (7, 1.0), (30, 3.0), (13, 0.5)])
def test_shifted_times_match_reference(num_steps, shift) -> None:
    times = shifted_times(num_steps, shift, dtype=torch.float64)
    np.testing.assert_allclose(times.numpy(), reference.shifted_times(num_steps, shift), atol=1e-15)
    assert times[0] == 1
    assert times[-1] == 0
    assert (times.diff() < 0).all()


@pytest.mark.parametrize(("num_steps", "shift"), [(0, 1.0), (3, 0.0), (3, -1.0), (3, math.inf)])
def test_shifted_times_refuse(num_steps, shift) -> None:
    with pytest.raises(ValueError, match="num_steps must be|shift must be"):
        shifted_times(num_steps, shift)


def test_shapes_that_would_broadcast_are_refused(without_shape_checker: None) -> None:
    clean, noise = torch.zeros(2, 3, 5), torch.zeros(3, 5)
    with pytest.raises(ValueError, match=r"noise must have the shape of clean \(2, 3, 5\), got \(3, 5\)"):
        noise_interpolate(clean, noise, torch.zeros(2))
    with pytest.raises(ValueError, match="noise must have the shape of clean"):
        velocity_target(clean, noise)
    with pytest.raises(ValueError, match="prediction must have the shape of clean"):
        flow_matching_loss(noise, clean, clean)


def test_gradients_of_path_target_and_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = (
        torch.randn(2, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    time = torch.rand(2, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(noise_interpolate, (clean, noise, time))
    assert torch.autograd.gradcheck(velocity_target, (clean, noise))
    assert torch.autograd.gradcheck(lambda t: flow_matching_weight(t, scheme="cosmap"), (time,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_interpolation_keeps_the_type_of_the_data(dtype) -> None:
    clean, noise, time = latents(0, dtype=dtype), latents(1, dtype=dtype), torch.tensor([0.3, 0.9])
    noisy = noise_interpolate(clean, noise, time)
    assert noisy.dtype == dtype
    exact = noise_interpolate(clean.double(), noise.double(), time.double())
    # computed in float32 or wider, then rounded once; float32 steps of the times at float64
    torch.testing.assert_close(noisy.double(), exact, atol=1e-7, rtol=torch.finfo(dtype).eps)


def test_frames_of_weight_zero_may_hold_anything() -> None:
    weight = torch.ones(2, 3, dtype=torch.float64)
    weight[0, 1] = 0
    left_out = (weight == 0)[..., None, None, None]
    values = []
    for fill in (0.0, float("nan"), float("inf")):
        prediction = torch.where(left_out, fill, latents(0)).requires_grad_()
        noise = torch.where(left_out, fill, latents(1))
        loss = flow_matching_loss(prediction, latents(2), noise, weight=weight)
        loss.sum().backward()
        assert prediction.grad is not None
        values.append((loss.detach(), prediction.grad))
    for loss, gradient in values[1:]:
        assert torch.equal(loss, values[0][0]) and torch.equal(gradient, values[0][1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weight_of_half_precision_times_has_a_finite_gradient(dtype) -> None:
    time = torch.tensor([0.0, 1e-7, 1e-3, 0.5, 1.0], dtype=dtype, requires_grad=True)
    weight = flow_matching_weight(time, scheme="logit_normal")
    weight.sum().backward()
    assert weight.dtype == dtype and weight.isfinite().all()
    assert time.grad is not None and time.grad.isfinite().all()


def test_what_is_no_sample_is_refused(without_shape_checker: None) -> None:
    whole = torch.ones(2, 3, dtype=torch.long)
    with pytest.raises(TypeError, match=r"noise must be floating point, got torch\.int64"):
        euler_sample(lambda sample, time, conditional: sample, whole, num_steps=2)
    with pytest.raises(TypeError, match=r"clean must be floating point, got torch\.int64"):
        noise_interpolate(whole, whole, torch.zeros(2))
    with pytest.raises(TypeError, match=r"prediction must be floating point, got torch\.int64"):
        flow_matching_loss(whole, whole, whole)
    with pytest.raises(TypeError, match=r"time must be a tensor, got 0\.5"):
        noise_interpolate(latents(0), latents(1), 0.5)
    with pytest.raises(TypeError, match=r"weight must be a tensor, got 2\.0"):
        flow_matching_loss(latents(0), latents(1), latents(2), weight=2.0)
