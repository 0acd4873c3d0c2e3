import math

import numpy as np
import pytest
import torch
from reference import geometry_quaternion as reference

from diff4splat.geometry import (
    matrix_to_quaternion,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    quaternion_slerp,
    quaternion_to_matrix,
    quaternion_to_rotation_vector,
)

# Units in the last place of a few dozen operations on values near one.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


def random_unit(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, 4, generator=generator, dtype=dtype)
    return values / values.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multiply_follows_hamiltons_table(dtype):
    left, right = random_unit(3, 5, dtype=dtype), 2 * random_unit(5, dtype=dtype, seed=1)
    product = quaternion_multiply(left, right)
    assert product.shape == (3, 5, 4) and product.dtype == dtype
    for i in range(3):
        for j in range(5):
            expected = reference.multiply(left[i, j].double().numpy(), right[j].double().numpy())
            assert np.allclose(product[i, j].double(), expected, atol=TOLERANCE[dtype])


def test_multiplying_by_the_identity_is_exact():
    quaternions = random_unit(7, dtype=torch.float32)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert torch.equal(quaternion_multiply(quaternions, identity), quaternions)
    assert torch.equal(quaternion_multiply(identity, quaternions), quaternions)


def test_product_applies_the_right_factor_first():
    left, right, vector = random_unit(5), random_unit(5, seed=1), torch.randn(5, 3, dtype=torch.float64)
    together = quaternion_rotate(quaternion_multiply(left, right), vector)
    assert torch.allclose(together, quaternion_rotate(left, quaternion_rotate(right, vector)), atol=1e-13)


def test_conjugate_undoes_the_rotation():
    quaternions = random_unit(5)
    product = quaternion_multiply(quaternions, quaternion_conjugate(quaternions))
    assert torch.allclose(product, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(5, 4), atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_follow_rodrigues(dtype):
    quaternions = 3 * random_unit(2, 11, dtype=dtype)
    matrices = quaternion_to_matrix(quaternions)
    assert matrices.shape == (2, 11, 3, 3) and matrices.dtype == dtype
    expected = [[reference.to_matrix(q.double().numpy()) for q in row] for row in quaternions]
    assert np.allclose(matrices.double(), expected, atol=TOLERANCE[dtype])


def test_opposite_quaternions_are_one_rotation():
    quaternions, vectors = random_unit(7), torch.randn(7, 3, dtype=torch.float64)
    assert torch.equal(quaternion_to_matrix(quaternions), quaternion_to_matrix(-quaternions))
    assert torch.allclose(
        quaternion_rotate(quaternions, vectors), quaternion_rotate(-quaternions, vectors), atol=1e-15
    )


def test_rotation_of_vectors_is_the_matrix_product():
    quaternions, vectors = 5 * random_unit(3, 1, seed=2), torch.randn(7, 3, dtype=torch.float64)
    expected = torch.einsum("bxij,nj->bni", quaternion_to_matrix(quaternions), vectors)
    assert torch.allclose(quaternion_rotate(quaternions, vectors), expected, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrix_round_trip_gives_the_sign_with_positive_real_part(dtype):
    half_turns = torch.eye(4, dtype=dtype)  # identity and the half turns about the axes: the hard cases
    quaternions = torch.cat((random_unit(13, dtype=dtype), half_turns))
    back = matrix_to_quaternion(quaternion_to_matrix(quaternions))
    assert (back[:, 0] >= 0).all()
    sign = torch.where((back * quaternions).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(dtype)
    assert torch.allclose(sign * back, quaternions, atol=TOLERANCE[dtype])


def test_normalize_keeps_direction_and_maps_zero_to_the_identity():
    quaternions = torch.tensor([[0.0, 3.0, 0.0, -4.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    unit = quaternion_normalize(quaternions)
    assert torch.allclose(unit, torch.tensor([[0.0, 0.6, 0.0, -0.8], [1.0, 0.0, 0.0, 0.0]]))
    unit.square().sum().backward()
    assert torch.isfinite(quaternions.grad).all() and (quaternions.grad[1] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "length"),
    [(torch.float16, 300.0), (torch.float32, 1e25), (torch.float32, 1e-30), (torch.float16, 5e-3)],
)
def test_normalize_takes_lengths_whose_square_has_no_number(dtype, length):
    quaternions = (length * torch.tensor([1.0, 0.0, -1.0, 0.0])).to(dtype)
    expected = torch.tensor([0.5**0.5, 0.0, -(0.5**0.5), 0.0], dtype=dtype)
    torch.testing.assert_close(quaternion_normalize(quaternions), expected)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_follows_the_shorter_arc(dtype, fraction):
    start, end = random_unit(3, 7, dtype=dtype), random_unit(3, 7, dtype=dtype, seed=1)
    middle = quaternion_slerp(start, end, fraction)
    for i in range(3):
        for j in range(7):
            expected = reference.slerp(start[i, j].double().numpy(), end[i, j].double().numpy(), fraction)
            assert np.allclose(middle[i, j].double(), expected, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_is_exact_at_the_ends(dtype):
    start, end = random_unit(17, dtype=dtype), random_unit(17, dtype=dtype, seed=1)
    assert torch.equal(quaternion_slerp(start, end, 0), start)
    reached = quaternion_slerp(start, end, 1)
    torch.testing.assert_close(reached.abs(), end.abs(), rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(
        quaternion_to_matrix(reached), quaternion_to_matrix(end), rtol=0, atol=TOLERANCE[dtype]
    )
    torch.testing.assert_close(quaternion_slerp(start, start, 0.3), start, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("lengths", [(7.0, 0.01), (0.3, -1.0), (1.0, 50.0)])
def test_slerp_does_not_depend_on_lengths(lengths):
    start, end = random_unit(17), random_unit(17, seed=1)
    long = quaternion_slerp(lengths[0] * start, lengths[1] * end, 0.3)
    torch.testing.assert_close(long, lengths[0] * quaternion_slerp(start, end, 0.3))


def test_slerp_turns_at_constant_speed_and_takes_one_fraction_per_rotation():
    start = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    end = torch.tensor([math.cos(0.5), math.sin(0.5), 0.0, 0.0], dtype=torch.float64)
    fraction = torch.linspace(0, 1, 11, dtype=torch.float64)
    angle = 2 * torch.atan2(*quaternion_slerp(start, end, fraction)[:, :2].flip(-1).unbind(-1))
    assert torch.allclose(angle, fraction, atol=1e-14)


@pytest.mark.parametrize("separation", [0.0, 1e-12, 1e-8, 1e-5, 3e-4, 1e-2])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slerp_is_accurate_and_smooth_for_nearly_equal_rotations(separation, sign):
    start = torch.tensor([1.0, 0.0, 0.0, 0.0])
    end = sign * torch.tensor([math.cos(separation), 0.0, math.sin(separation), 0.0])
    start.requires_grad_(), end.requires_grad_()
    fraction = torch.tensor(0.25, requires_grad=True)
    middle = quaternion_slerp(start, end, fraction)
    assert abs(middle[2].item() - math.sin(0.25 * separation)) <= 1e-6 * separation
    middle[2].backward()
    for gradient in (start.grad, end.grad, fraction.grad):
        assert torch.isfinite(gradient).all()
    # Near the identity the third component is the lerp of the third components.
    assert abs(start.grad[2].item() - 0.75) < 1e-3
    assert abs(end.grad[2].item() - sign * 0.25) < 1e-3
    assert abs(fraction.grad.item() - separation) <= 1e-3 * separation


def test_gradients():
    # Quaternions of any length go in, so that finite differences may leave the unit sphere.
    left, right = random_unit(3).requires_grad_(), random_unit(3, seed=1).requires_grad_()
    vectors = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    fraction = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quaternion_multiply, (left, right))
    assert torch.autograd.gradcheck(quaternion_normalize, (3 * left,))
    assert torch.autograd.gradcheck(quaternion_rotate, (left, vectors))
    assert torch.autograd.gradcheck(quaternion_to_matrix, (left,))
    assert torch.autograd.gradcheck(quaternion_slerp, (left, right, fraction))
    assert torch.autograd.gradcheck(lambda q: matrix_to_quaternion(quaternion_to_matrix(q)), (left,))


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        quaternion_multiply(torch.ones(3, 4), torch.ones(5, 4))


def test_rotation_vector_matches_the_definition():
    quaternions = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = np.stack([reference.rotation_vector(q) for q in quaternions.numpy()])
    for scale in (1, -1, 1e6):
        vectors = quaternion_to_rotation_vector(scale * quaternions)
        np.testing.assert_allclose(vectors.numpy(), expected, atol=1e-12)
    torch.autograd.gradcheck(quaternion_to_rotation_vector, (quaternions.clone().requires_grad_(),))


def test_rotation_vector_is_smooth_at_the_identity():
    tiny = torch.tensor([1.0, 1e-9, -2e-9, 0.0], dtype=torch.float64, requires_grad=True)
    vector = quaternion_to_rotation_vector(tiny)
    torch.testing.assert_close(vector, 2 * tiny[1:], atol=1e-16, rtol=1e-6)
    for value in (tiny, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64, requires_grad=True)):
        jacobian = torch.autograd.functional.jacobian(quaternion_to_rotation_vector, value)
        torch.testing.assert_close(jacobian[:, 1:], 2 * torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
