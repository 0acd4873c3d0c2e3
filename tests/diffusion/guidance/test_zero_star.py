"""CFG-Zero* against the loop."""

import numpy as np
import torch
from reference import diffusion_guidance as reference

from diff4splat.diffusion import ConstantGuidance, SampleStep, ZeroStarGuidance, euler_sample

GUIDANCE = ZeroStarGuidance(ConstantGuidance(4.0))


def test_prediction_matches_reference(predictions) -> None:
    conditional, unconditional = predictions
    expected = reference.zero_star(conditional.numpy(), unconditional.numpy(), 4.0)
    np.testing.assert_allclose(GUIDANCE.combine(*predictions, 4.0).numpy(), expected, atol=1e-12)


def test_narrow_types_are_rounded_once(predictions) -> None:
    narrow = [value.bfloat16() for value in predictions]
    expected = reference.zero_star(*(value.double().numpy() for value in narrow), 4.0)
    result = GUIDANCE.combine(*narrow, 4.0).double().numpy()
    np.testing.assert_allclose(result, expected, rtol=2**-8, atol=1e-5)  # half a unit of bfloat16


def test_length_of_the_unconditional_prediction_does_not_matter(predictions) -> None:
    conditional, unconditional = predictions
    torch.testing.assert_close(
        GUIDANCE.combine(conditional, 17 * unconditional, 4.0),
        GUIDANCE.combine(conditional, unconditional, 4.0),
        atol=1e-11,
        rtol=0,
    )


def test_an_unconditional_prediction_of_zeros_is_finite(predictions) -> None:
    conditional, unconditional = predictions
    torch.testing.assert_close(GUIDANCE.combine(conditional, 0 * unconditional, 4.0), 4 * conditional)


def test_first_steps_are_zeroed_by_a_callback_of_the_sampler(predictions) -> None:
    """The other half of CFG-Zero*, as the docstring has it: the first predictions count as zero."""
    noise, target = predictions

    def velocity(latents: torch.Tensor, time: torch.Tensor, conditional: bool) -> torch.Tensor:
        return (latents - target if conditional else latents) / time[:, None, None, None]

    def hold(state: SampleStep) -> torch.Tensor | None:
        return noise if state.step < 2 else None

    result = euler_sample(velocity, noise, num_steps=5, guidance=GUIDANCE, callback=hold)
    expected = noise.numpy()
    for step in range(5):
        time = 1 - step / 5
        conditional, unconditional = (expected - target.numpy()) / time, expected / time
        guided = reference.zero_star(conditional, unconditional, 4.0)
        expected = expected - (0 * guided if step < 2 else guided) / 5
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)
