import math

import numpy as np
import pytest
import torch
from reference import gaussians_harmonics as reference
from reference.geometry_quaternion import to_matrix

from diff4splat.gaussians import (
    evaluate_harmonics,
    harmonics_to_rgb,
    rgb_to_harmonics,
    rotate_harmonics,
)


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_values_match_the_definition(degree, dtype, tolerance):
    harmonics, directions = normal(2, 11, (degree + 1) ** 2, 3, dtype=dtype), normal(2, 11, 3, dtype=dtype)
    rgb = evaluate_harmonics(harmonics, directions)
    assert rgb.shape == (2, 11, 3) and rgb.dtype == dtype
    for index in np.ndindex(2, 11):
        basis = reference.basis(directions[index].double().numpy(), degree)
        expected = 0.5 + basis @ harmonics[index].double().numpy()
        assert np.allclose(rgb[index].double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_signs_and_order_are_those_of_gsplat(degree):
    torch_impl = pytest.importorskip("gsplat.cuda._torch_impl")
    harmonics, directions = normal(11, (degree + 1) ** 2, 3, seed=1), normal(11, 3, seed=2)
    expected = torch_impl._spherical_harmonics(degree, directions, harmonics) + 0.5
    # gsplat writes its constants with seven to sixteen digits.
    assert torch.allclose(evaluate_harmonics(harmonics, directions), expected, atol=1e-6)


def test_basis_is_orthonormal_on_the_sphere():
    # Gauss-Legendre in z times a uniform grid in azimuth integrates products of degree 4 exactly.
    nodes, weights = np.polynomial.legendre.leggauss(7)
    azimuth = np.arange(11) * 2 * math.pi / 11
    z, phi = (torch.tensor(grid) for grid in np.meshgrid(nodes, azimuth, indexing="ij"))
    radius = (1 - z**2).sqrt()
    directions = torch.stack((radius * phi.cos(), radius * phi.sin(), z), dim=-1)
    unit = torch.eye(25, dtype=torch.float64)[:, None, None, :, None].expand(25, 7, 11, 25, 3)
    values = evaluate_harmonics(unit, directions)[..., 0] - 0.5
    area = torch.tensor(weights)[:, None] * 2 * math.pi / 11
    gram = torch.einsum("ipq,jpq,pq->ij", values, values, area.expand(7, 11))
    assert torch.allclose(gram, torch.eye(25, dtype=torch.float64), atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_no_direction_gives_a_finite_colour(dtype):
    rgb = evaluate_harmonics(normal(5, 16, 3, dtype=dtype), torch.zeros(5, 3, dtype=dtype))
    assert rgb.dtype == dtype and torch.isfinite(rgb).all()


def test_length_of_the_direction_does_not_matter():
    harmonics, directions = normal(5, 9, 3), normal(5, 3)
    one, other = (evaluate_harmonics(harmonics, factor * directions) for factor in (1.0, 7.0))
    assert torch.allclose(one, other, atol=1e-13)


def test_leading_axes_broadcast():
    harmonics, directions = normal(1, 5, 9, 3), normal(3, 5, 3)
    expected = evaluate_harmonics(harmonics.expand(3, 5, 9, 3), directions)
    assert torch.equal(evaluate_harmonics(harmonics, directions), expected)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_constant_colour(dtype, tolerance):
    rgb = torch.rand(5, 7, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    constant = rgb_to_harmonics(rgb)
    assert torch.allclose(harmonics_to_rgb(constant), rgb, atol=tolerance)
    seen = evaluate_harmonics(constant[..., None, :], normal(5, 7, 3, dtype=dtype))
    assert torch.allclose(seen, rgb, atol=1e-6)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_rotated_colour_is_seen_along_rotated_directions(degree, dtype, tolerance):
    rotation = torch.tensor(to_matrix([0.7, -0.2, 0.5, 0.4]), dtype=dtype)
    harmonics, directions = normal(2, 7, (degree + 1) ** 2, 3, dtype=dtype), normal(2, 7, 3, dtype=dtype)
    rotated = rotate_harmonics(harmonics, rotation)
    assert rotated.shape == harmonics.shape and rotated.dtype == dtype
    seen = evaluate_harmonics(rotated, directions @ rotation.T)
    assert torch.allclose(seen, evaluate_harmonics(harmonics, directions), atol=tolerance)


def test_rotations_compose_and_broadcast():
    first, second = (torch.tensor(to_matrix(q)) for q in ([0.7, -0.2, 0.5, 0.4], [0.1, 0.9, -0.5, 0.3]))
    harmonics = normal(7, 16, 3)
    twice = rotate_harmonics(rotate_harmonics(harmonics, first), second)
    assert torch.allclose(twice, rotate_harmonics(harmonics, second @ first), atol=1e-12)
    each = rotate_harmonics(harmonics, torch.stack([first, second])[:, None])
    assert each.shape == (2, 7, 16, 3)
    assert torch.allclose(each[1], rotate_harmonics(harmonics, second), atol=1e-13)


def test_gradients():
    harmonics, directions = normal(2, 25, 3).requires_grad_(), normal(2, 3, seed=1).requires_grad_()
    rotation = torch.tensor(to_matrix([0.7, -0.2, 0.5, 0.4]))
    assert torch.autograd.gradcheck(evaluate_harmonics, (harmonics, directions))
    assert torch.autograd.gradcheck(lambda h: rotate_harmonics(h, rotation), (harmonics,))
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    evaluate_harmonics(harmonics, zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_directions_whose_squares_leave_the_range_of_float32(length):
    harmonics, directions = normal(5, 9, 3).float(), normal(5, 3).float()
    expected = evaluate_harmonics(harmonics, directions)
    scaled = (length * directions).requires_grad_()
    actual = evaluate_harmonics(harmonics, scaled)
    assert torch.allclose(actual, expected, atol=1e-5)
    actual.sum().backward()
    assert torch.isfinite(scaled.grad).all() and scaled.grad.abs().max() > 0


@pytest.mark.parametrize("count", [2, 36])
def test_wrong_numbers_of_coefficients_are_refused(count):
    with pytest.raises(ValueError, match=f"1, 4, 9, 16 or 25 coefficients, got {count}"):
        evaluate_harmonics(torch.zeros(5, count, 3), torch.ones(5, 3))
    with pytest.raises(ValueError, match="coefficients"):
        rotate_harmonics(torch.zeros(5, count, 3), torch.eye(3))
