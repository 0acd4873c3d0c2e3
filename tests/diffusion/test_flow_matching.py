"""Flow matching: path, loss, times and sampler against loops in float64."""

import math

import numpy as np
import pytest
import torch
from reference import diffusion_flow_matching as reference

from diff4splat.diffusion import (
    ConstantGuidance,
    CosineGuidance,
    SampleStep,
    euler_sample,
    euler_step,
    flow_matching_loss,
    flow_matching_weight,
    noise_interpolate,
    sample_times,
    shifted_times,
    velocity_target,
)

SHAPE = (2, 3, 5, 7, 11)


def latents(seed: int, shape=SHAPE, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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


def test_euler_step() -> None:
    z, v = latents(0), latents(1)
    torch.testing.assert_close(euler_step(z, v, 0.75, 0.5), z - 0.25 * v, atol=1e-15, rtol=0)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 29])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_sampler_is_exact_on_straight_paths(num_steps, shift) -> None:
    clean, noise = latents(0), latents(1)
    target = velocity_target(clean, noise)
    result = euler_sample(lambda z, t, conditional: target, noise, num_steps=num_steps, shift=shift)
    # rounding of at most 29 additions of values near 1
    torch.testing.assert_close(result, clean, atol=1e-13, rtol=0)


def test_sampler_on_a_curved_field_matches_reference() -> None:
    noise = latents(1)
    result = euler_sample(
        lambda z, t, conditional: torch.sin(z) + t.reshape(-1, 1, 1, 1, 1), noise, num_steps=7, shift=3.0
    )
    times = reference.shifted_times(7, 3.0)
    expected = reference.euler(lambda z, t: np.sin(z) + t, noise.numpy(), times)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-13)


def test_sampler_finds_the_mean_of_a_point_distribution() -> None:
    """With all data at one point c the exact velocity is (z - c) / t, which is straight."""
    point = latents(0)
    result = euler_sample(
        lambda z, t, conditional: (z - point) / t.reshape(-1, 1, 1, 1, 1), latents(1), num_steps=5
    )
    torch.testing.assert_close(result, point, atol=1e-13, rtol=0)


def test_sampler_guides_and_reports() -> None:
    noise, conditional, unconditional = latents(0), latents(1), latents(2)
    steps: list[SampleStep] = []
    result = euler_sample(
        lambda z, t, with_condition: conditional if with_condition else unconditional,
        noise,
        num_steps=5,
        guidance=ConstantGuidance(3.0),
        callback=steps.append,
    )
    guided = unconditional + 3 * (conditional - unconditional)
    torch.testing.assert_close(result, noise - guided, atol=1e-13, rtol=0)
    assert [step.step for step in steps] == [0, 1, 2, 3, 4]
    assert [step.num_passes for step in steps] == [2, 4, 6, 8, 10]
    assert [step.scale for step in steps] == [3.0] * 5
    assert steps[0].time == 1
    assert steps[-1].next_time == 0
    torch.testing.assert_close(steps[-1].latents, result)
    # every step points to the same clean sample on a straight path
    for step in steps:
        torch.testing.assert_close(step.latents - step.next_time * step.velocity, result, atol=1e-13, rtol=0)


@pytest.mark.parametrize(
    ("guidance", "unconditional_passes"),
    [(None, 0), (ConstantGuidance(1.0), 0), (ConstantGuidance(2.0), 30), (CosineGuidance(), 16)],
)
def test_sampler_skips_unconditional_passes(guidance, unconditional_passes) -> None:
    calls: list[bool] = []

    def velocity(z: torch.Tensor, t: torch.Tensor, conditional: bool) -> torch.Tensor:
        calls.append(conditional)
        return z

    euler_sample(velocity, latents(0, (2, 3)), num_steps=30, guidance=guidance)
    assert calls.count(True) == 30
    assert calls.count(False) == unconditional_passes


def test_network_sees_the_dtype_of_the_noise_and_one_time_per_sample() -> None:
    seen: list[tuple[torch.dtype, list[float]]] = []

    def velocity(z: torch.Tensor, t: torch.Tensor, conditional: bool) -> torch.Tensor:
        seen.append((z.dtype, t.tolist()))
        return z

    result = euler_sample(velocity, latents(0, (3, 5), torch.bfloat16), num_steps=2)
    assert result.dtype == torch.bfloat16
    assert seen == [(torch.bfloat16, [1.0] * 3), (torch.bfloat16, [0.5] * 3)]


def test_running_sample_is_wider_than_the_network() -> None:
    """In bfloat16 alone, 1 - 1/1024 rounds to 1 and a thousand steps would go nowhere."""
    ones = torch.ones(1, 3, dtype=torch.bfloat16)
    result = euler_sample(lambda z, t, conditional: ones, ones, num_steps=1024)
    torch.testing.assert_close(result, torch.zeros_like(ones), atol=1e-4, rtol=0)


def test_callback_may_replace_the_sample() -> None:
    known = latents(5, (2, 1, 5))

    def hold_first_frame(step: SampleStep) -> torch.Tensor:
        return torch.cat((known, step.latents[:, 1:]), dim=1)

    result = euler_sample(lambda z, t, c: z, latents(0, (2, 3, 5)), num_steps=3, callback=hold_first_frame)
    assert torch.equal(result[:, :1], known)


def test_sampler_is_differentiable() -> None:
    noise = latents(0, (2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda value: euler_sample(lambda z, t, c: torch.tanh(z), value, num_steps=3), noise
    )


def test_sampler_refuses_a_network_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"velocity must return shape \(2, 3\), got \(2, 2\)"):
        euler_sample(lambda z, t, c: z[:, :2], latents(0, (2, 3)), num_steps=1)
    with pytest.raises(ValueError, match=r"callback must return shape \(2, 3\), got \(2, 1\)"):
        euler_sample(
            lambda z, t, c: z, latents(0, (2, 3)), num_steps=1, callback=lambda step: step.latents[:, :1]
        )


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


def test_running_sample_keeps_its_type_whatever_is_returned() -> None:
    seen = []

    def widen(step: SampleStep) -> torch.Tensor:
        seen.append((step.latents.dtype, step.velocity.dtype))
        return step.latents.double()

    noise = latents(0, (2, 3, 5), dtype=torch.bfloat16)
    result = euler_sample(lambda z, t, c: z.double(), noise, num_steps=3, callback=widen)
    assert seen == [(torch.float32, torch.float32)] * 3 and result.dtype == torch.bfloat16
