import math

import pytest
import torch

from diff4splat.cameras.curves import at_constant_speed, catmull_rom, pose_curve, squad


def test_constant_speed_on_a_circle_sampled_unevenly():
    angle = torch.linspace(0, 1, 4001, dtype=torch.float64).square() * math.pi
    circle = torch.stack((angle.cos(), angle.sin(), torch.zeros_like(angle)), dim=-1)
    fractions = torch.linspace(0, 1, 13, dtype=torch.float64)
    points = at_constant_speed(circle, fractions)
    assert torch.allclose(torch.atan2(points[:, 1], points[:, 0]).abs(), fractions * math.pi, atol=1e-6)


def test_constant_speed_on_a_point():
    point = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).expand(5, 3)
    assert torch.equal(at_constant_speed(point, torch.tensor([0.0, 0.5, 1.0]).double()), point[:3])


@pytest.mark.parametrize("key", [0, 1, 2])
def test_catmull_rom_is_a_straight_line_through_points_on_one(key):
    points = torch.tensor([[0.0, 0, 0], [1, 2, 3], [2, 4, 6], [3, 6, 9]], dtype=torch.float64)
    fraction = torch.linspace(0, 1, 7, dtype=torch.float64)
    curve = catmull_rom(points, torch.full((7,), key), fraction)
    assert torch.allclose(curve, (key + fraction)[:, None] * points[1], atol=1e-14)


def test_squad_turns_evenly_through_even_turns():
    angle = torch.tensor([0.0, 0.4, 0.8, 1.2], dtype=torch.float64)
    zero = torch.zeros_like(angle)
    keys = torch.stack((angle.cos(), zero, angle.sin(), zero), dim=-1)
    keys[2] *= -1  # the same rotation
    fraction = torch.linspace(0, 1, 7, dtype=torch.float64)
    curve = squad(keys, torch.full((7,), 1), fraction)
    assert torch.allclose(torch.atan2(curve[:, 2], curve[:, 0]), 0.4 + 0.4 * fraction, atol=1e-13)


def poses(angles_deg, places):
    """Turns about y at places along x."""
    angle = torch.tensor(angles_deg, dtype=torch.float64).deg2rad()
    matrices = torch.eye(4, dtype=torch.float64).repeat(len(angle), 1, 1)
    matrices[:, 0, 0] = matrices[:, 2, 2] = angle.cos()
    matrices[:, 0, 2], matrices[:, 2, 0] = angle.sin(), -angle.sin()
    matrices[:, 0, 3] = torch.tensor(places, dtype=torch.float64)
    return matrices


def test_straight_pose_curve_at_uneven_times():
    keys, times = poses([0.0, 60, 0], [0.0, 1, 4]), torch.tensor([2.0, 3, 6], dtype=torch.float64)
    at = torch.tensor([1.0, 2, 2.5, 3, 4, 6, 7], dtype=torch.float64)
    expected = poses([0.0, 0, 30, 60, 40, 0, 0], [0.0, 0, 0.5, 1, 2, 4, 4])
    assert torch.allclose(pose_curve(keys, times, at, interpolation="linear"), expected, atol=1e-14)


@pytest.mark.parametrize("interpolation", ["smooth", "linear"])
def test_pose_curve_passes_its_keys(interpolation):
    keys, times = poses([0.0, 60, 10, 30], [0.0, 1, 4, 3]), torch.tensor([0.0, 1, 5, 6], dtype=torch.float64)
    assert torch.allclose(pose_curve(keys, times, times, interpolation=interpolation), keys, atol=1e-14)
    one = pose_curve(keys[:1], times[:1], times, interpolation=interpolation)
    assert torch.allclose(one, keys[:1].expand(4, 4, 4), atol=1e-14)


def test_smooth_positions_have_one_speed_at_a_key_of_uneven_times():
    keys, times = poses([0.0] * 4, [0.0, 1, 4, 3]), torch.tensor([0.0, 1, 5, 6], dtype=torch.float64)
    step = 1e-6
    for key in (1.0, 5.0):
        at = torch.tensor([key - step, key, key + step], dtype=torch.float64)
        before, after = pose_curve(keys, times, at)[:, 0, 3].diff() / step
        assert before == pytest.approx(float(after), abs=1e-4)


def test_smooth_positions_are_exact_for_parabolas_inside():
    times = torch.tensor([0.0, 1, 3, 4], dtype=torch.float64)
    keys = poses([0.0] * 4, times.square().tolist())
    at = torch.linspace(1, 3, 13, dtype=torch.float64)  # both ends of this piece have two neighbours
    assert torch.allclose(pose_curve(keys, times, at)[:, 0, 3], at.square(), atol=1e-12)


def test_pose_curve_refuses_times_that_do_not_ascend():
    with pytest.raises(ValueError, match="times must ascend"):
        pose_curve(poses([0.0, 1], [0.0, 1]), torch.zeros(2).double(), torch.zeros(1).double())
