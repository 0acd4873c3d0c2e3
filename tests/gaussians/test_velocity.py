import numpy as np
import pytest
import torch
from gaussians.parts import TIMES, normal, random_field
from reference import gaussians_deformation as reference
from reference.geometry_quaternion import multiply, rotation_vector

from diff4splat.gaussians import DeformableGaussianField, gaussian_velocities
from diff4splat.geometry import quaternion_normalize


@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize(("time", "interval"), [(0.1, 0), (0.27, 1), (0.3, 2), (0.61, 2), (0.9, 3)])
def test_rates_match_the_loop(scale_space, time, interval):
    field = random_field(2, scale_space=scale_space)
    rates = gaussian_velocities(field, time)
    ends = slice(interval, interval + 2)
    for batch, number in np.ndindex(2, 7):
        expected = reference.velocity(
            field.canonical.quaternions[batch, number].numpy(),
            TIMES[interval + 1] - TIMES[interval],
            *(
                values[batch, ends, number].numpy()
                for values in (field.delta_means, field.delta_quaternions, field.delta_scales)
            ),
        )
        for actual, value in zip((rates.linear, rates.angular, rates.scale), expected, strict=True):
            np.testing.assert_allclose(actual[batch, number].numpy(), value, atol=1e-10)


def test_rates_are_the_derivatives_of_the_field():
    field = random_field()
    step = 1e-6
    for time in (0.17, 0.5, 0.8):
        rates = gaussian_velocities(field, time)
        before, after = field.at(time - step), field.at(time + step)
        torch.testing.assert_close(
            rates.linear, (after.means - before.means) / (2 * step), atol=1e-7, rtol=1e-6
        )
        growth = (after.scales.log() - before.scales.log()) / (2 * step)
        torch.testing.assert_close(rates.scale, growth, atol=1e-7, rtol=1e-6)
        for number in range(7):
            turn = multiply(
                after.quaternions[number].numpy(),
                before.quaternions[number].numpy() * np.array([1, -1, -1, -1]),
            )
            spin = rotation_vector(turn) / (2 * step)
            np.testing.assert_allclose(rates.angular[number].numpy(), spin, atol=1e-5)


def test_a_time_may_be_a_tensor():
    field = random_field()
    rates, expected = gaussian_velocities(field, torch.tensor(0.17)), gaussian_velocities(field, 0.17)
    assert torch.equal(rates.linear, expected.linear) and torch.equal(rates.angular, expected.angular)


def test_a_field_rests_outside_its_times():
    field = random_field()
    for resting, time in ((field, 0.05), (field, 0.95), (random_field(times=(0.4,)), 0.4)):
        rates = gaussian_velocities(resting, time)
        assert not any(value.any() for value in (rates.linear, rates.angular, rates.scale))


def test_gradients_reach_the_deltas():
    field = random_field(count=2, times=(0.0, 0.5))
    leaves = [v.clone().requires_grad_() for v in (field.delta_means, field.delta_quaternions)]

    def rates(means, quaternions):
        moved = DeformableGaussianField(field.canonical, field.times, means, quaternions, field.delta_scales)
        result = gaussian_velocities(moved, 0.25)
        return result.linear, result.angular

    assert torch.autograd.gradcheck(rates, leaves)


def test_the_sign_of_quaternions_means_nothing():
    field = random_field()
    flipped = DeformableGaussianField(
        field.canonical,
        field.times,
        field.delta_means,
        field.delta_quaternions * torch.where(normal(5, 7, 1) < 0, -1.0, 1.0),
        field.delta_scales,
    )
    torch.testing.assert_close(
        gaussian_velocities(flipped, 0.5).angular, gaussian_velocities(field, 0.5).angular
    )
    assert quaternion_normalize(flipped.delta_quaternions).isfinite().all()


@pytest.mark.parametrize("time", [-0.1, 1.1, float("nan")])
def test_times_outside_the_clip_are_refused(time):
    with pytest.raises(ValueError, match=r"time must lie in \[0, 1\]"):
        gaussian_velocities(random_field(), time)


def test_a_stored_time_is_met_in_any_precision():
    # 0.1 is above and 0.9 below its value in float32, so a comparison in float64 would miss both ends
    field = random_field(times=(0.1, 0.9), dtype=torch.float32)
    for time in (0.1, 0.9):
        rates = gaussian_velocities(field, time)
        expected = (field.delta_means[1] - field.delta_means[0]) / 0.8
        torch.testing.assert_close(rates.linear, expected)
