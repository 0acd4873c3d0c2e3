"""Euler sampling against loops in float64."""

import numpy as np
import pytest
import torch
from diffusion.parts import latents
from reference import diffusion_flow_matching as reference

from diff4splat.diffusion import (
    ConstantGuidance,
    CosineGuidance,
    SampleStep,
    euler_sample,
    euler_step,
    velocity_target,
)


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


def test_running_sample_keeps_its_type_whatever_is_returned() -> None:
    seen = []

    def widen(step: SampleStep) -> torch.Tensor:
        seen.append((step.latents.dtype, step.velocity.dtype))
        return step.latents.double()

    noise = latents(0, (2, 3, 5), dtype=torch.bfloat16)
    result = euler_sample(lambda z, t, c: z.double(), noise, num_steps=3, callback=widen)
    assert seen == [(torch.float32, torch.float32)] * 3 and result.dtype == torch.bfloat16
