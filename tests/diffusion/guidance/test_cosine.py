"""The paper's schedule against Eq. 6 and its printed values."""

import math

import numpy as np
import pytest
import torch
from reference import diffusion_guidance as reference

from diff4splat.diffusion import CosineGuidance, euler_sample


def test_published_values() -> None:
    scales = [CosineGuidance().scale(step, 30) for step in range(30)]
    expected = "8.50 8.06 7.03 5.80 4.62 3.61 2.82 2.23 1.80 1.51 1.32 1.19 1.11 1.06 1.03 1.02 1.01"
    # half a unit of the second digit, the precision of the list
    np.testing.assert_allclose(scales[:17], [float(word) for word in expected.split()], atol=0.005)
    assert scales[29] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("num_steps", "maximum", "exponent"), [(30, 7.5, 5.0), (7, 3.0, 2.0), (1, 5.0, 1.0)])
def test_scale_matches_reference(num_steps, maximum, exponent) -> None:
    guidance = CosineGuidance(maximum=maximum, exponent=exponent)
    for step in range(num_steps):
        expected = reference.cosine_scale(step, num_steps, maximum, exponent)
        assert guidance.scale(step, num_steps) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("num_steps", [2, 30, 31, 101])
def test_scale_falls_from_one_plus_maximum_to_one(num_steps) -> None:
    scales = [CosineGuidance(maximum=3.0).scale(step, num_steps) for step in range(num_steps)]
    assert scales[0] == 4.0
    # in exact numbers it falls at every step; the last steps of many are 1 in floats
    assert all(
        before > after or before == after == 1 for before, after in zip(scales[:-1], scales[1:], strict=True)
    )
    assert 1 <= scales[-1] < 1.02


def test_scale_counts_steps_and_not_the_timesteps_of_training() -> None:
    """The bug of other libraries: the same formula, with the timestep of training in place of the step.

    Their t falls from 999 and N is the number of *sampling* steps, so that (N - t) / N starts near -32; the
    cosine of its fifth power is as good as random, and the scale jumps up and down between 1 and 8.5.
    """
    timesteps = [round(1000 * (30 - step) / 30) - 1 for step in range(30)]
    jumping = [reference.cosine_scale(timestep, 30, 7.5, 5.0) for timestep in timesteps]
    assert [round(scale, 2) for scale in jumping[:8]] == [8.49, 4.42, 6.66, 4.62, 6.22, 2.03, 2.34, 8.0]

    falling: list[float] = []
    euler_sample(
        lambda latents, time, conditional: latents,
        torch.ones(2, 3),
        num_steps=30,
        guidance=CosineGuidance(skip_below=1.0),
        callback=lambda state: falling.append(state.scale),
    )
    assert falling == [CosineGuidance().scale(step, 30) for step in range(30)]
    assert np.all(np.diff(falling) < 0)
    with pytest.raises(ValueError, match=r"step must be in \[0, 30\), got 999"):
        CosineGuidance().scale(timesteps[0], 30)


@pytest.mark.parametrize(("skip_below", "skipped"), [(1.01, 14), (1.05, 16), (1.0, 0), (0.0, 0), (9.0, 30)])
def test_weak_steps_are_skipped(skip_below, skipped) -> None:
    guidance = CosineGuidance(skip_below=skip_below)
    assert [guidance.needs_unconditional(step, 30) for step in range(30)].count(False) == skipped


def test_without_maximum_no_second_pass_is_needed() -> None:
    guidance = CosineGuidance(maximum=0.0, skip_below=1.0)
    assert not any(guidance.needs_unconditional(step, 7) for step in range(7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maximum": -1.0}, "maximum must be finite and >= 0, got -1.0"),
        ({"maximum": math.inf}, "maximum must be finite and >= 0, got inf"),
        ({"exponent": 0.0}, "exponent must be finite and > 0, got 0.0"),
        ({"exponent": math.nan}, "exponent must be finite and > 0, got nan"),
        ({"skip_below": math.nan}, "skip_below must be finite, got nan"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        CosineGuidance(**options)
