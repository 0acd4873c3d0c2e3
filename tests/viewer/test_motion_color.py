import math

import pytest
import torch
from viewer.scenes import rolling_ball

from diff4splat.gaussians import gaussian_velocities
from diff4splat.viewer import motion_full_speed, motion_to_color


def test_what_rests_is_grey_and_opposite_directions_are_complementary() -> None:
    generator = torch.Generator().manual_seed(3)
    velocities = torch.randn(7, 3, generator=generator)
    colors = motion_to_color(velocities, full_speed=1.5)
    torch.testing.assert_close(motion_to_color(-velocities, full_speed=1.5), 1 - colors)
    assert torch.equal(motion_to_color(torch.zeros(5, 3), full_speed=2.0), torch.full((5, 3), 0.5))
    assert colors.min() >= 0 and colors.max() <= 1


def test_colour_grows_with_speed_up_to_the_full_speed() -> None:
    right = torch.tensor([[0.5, 0, 0], [1, 0, 0], [2, 0, 0], [200.0, 0, 0]])
    assert motion_to_color(right, full_speed=2)[:, 0].tolist() == [0.625, 0.75, 1.0, 1.0]
    axes = motion_to_color(torch.eye(3), full_speed=1)
    assert torch.equal(axes, 0.5 + 0.5 * torch.eye(3))  # right is red, down green, forward blue


def test_without_a_full_speed_only_directions_show() -> None:
    slow = torch.tensor([[1e-6, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert motion_to_color(slow, full_speed=0).tolist() == [[1.0, 0.5, 0.5], [0.5, 0.5, 0.5]]


@pytest.mark.parametrize("speed", [-1.0, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="full_speed must be a number from 0 on"):
        motion_to_color(torch.zeros(2, 3), full_speed=speed)


def test_the_full_speed_is_that_of_nearly_all_that_moves() -> None:
    field = rolling_ball(num_ground=400, num_ball=101)
    middles = (field.times[1:] + field.times[:-1]) / 2
    speeds = torch.stack([gaussian_velocities(field, time).linear.norm(dim=-1) for time in middles])
    fastest = speeds.amax(dim=0)
    full = motion_full_speed(field)
    moving = fastest > 0
    assert moving.sum() == 101
    assert (fastest[moving] > full * (1 + 1e-5)).sum() == 1  # 1 of 101
    still = field.from_gaussians(field.canonical, field.times)
    assert motion_full_speed(still) == 0
    assert motion_full_speed(field.from_gaussians(field.canonical, field.times[:1])) == 0


def test_gradients_match_finite_differences() -> None:
    generator = torch.Generator().manual_seed(5)
    velocities = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: motion_to_color(v, full_speed=1.0), (velocities,))
