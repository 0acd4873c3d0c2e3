import math

import pytest
import torch

from diff4splat.cameras.curves import at_constant_speed, catmull_rom, squad


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
