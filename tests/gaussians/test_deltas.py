import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussians.parts import normal, random_field, random_gaussians
from reference import gaussians_deformation as reference

from diff4splat.gaussians import (
    Deltas,
    Gaussians,
    compose_deltas,
    deform_gaussians,
    deltas_between,
    interpolate_deltas,
    invert_deltas,
)
from diff4splat.geometry import quaternion_normalize


def random_deltas(seed: int, *batch: int, count: int = 7) -> Deltas:
    return Deltas(
        normal(*batch, count, 3, seed=10 * seed + 1),
        quaternion_normalize(normal(*batch, count, 4, seed=10 * seed + 2)),
        # small enough that no scale of `random_gaussians` meets its lower bound in linear space
        0.01 * normal(*batch, count, 3, seed=10 * seed + 3),
    )


def other_gaussians(*batch: int) -> Gaussians:
    return deform_gaussians(random_gaussians(*batch), *random_deltas(9, *batch))


def assert_same_set(actual: Gaussians, expected: Gaussians) -> None:
    """Equal up to the sign of quaternions, which means nothing."""
    torch.testing.assert_close(actual.means, expected.means, atol=1e-12, rtol=0)
    torch.testing.assert_close(actual.scales, expected.scales, atol=1e-12, rtol=1e-12)
    cosine = (actual.quaternions * expected.quaternions).sum(-1).abs()
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_difference_matches_the_loop(scale_space):
    start, end = random_gaussians(2), other_gaussians(2)
    deltas = deltas_between(start, end, scale_space=scale_space)
    for index in np.ndindex(2, 7):
        values = (
            getattr(side, name)[index].numpy()
            for side in (start, end)
            for name in ("means", "quaternions", "scales")
        )
        expected = reference.between(*values, scale_space)
        for actual, value in zip(deltas, expected, strict=True):
            np.testing.assert_allclose(actual[index].numpy(), value, atol=1e-13)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_difference_is_what_deforms_one_set_into_the_other(scale_space, batch):
    start, end = random_gaussians(*batch), other_gaussians(*batch)
    deltas = deltas_between(start, end, scale_space=scale_space)
    assert_same_set(deform_gaussians(start, *deltas, scale_space=scale_space), end)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_inverse_undoes(scale_space):
    gaussians, deltas = random_gaussians(3), random_deltas(1, 3)
    there = deform_gaussians(gaussians, *deltas, scale_space=scale_space)
    assert_same_set(deform_gaussians(there, *invert_deltas(deltas), scale_space=scale_space), gaussians)
    nothing = compose_deltas(deltas, invert_deltas(deltas))
    assert_same_set(deform_gaussians(gaussians, *nothing, scale_space=scale_space), gaussians)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_composition_is_one_after_the_other(scale_space):
    gaussians, first, second = random_gaussians(3), random_deltas(1, 3), random_deltas(2, 3)
    one_by_one = deform_gaussians(
        deform_gaussians(gaussians, *first, scale_space=scale_space), *second, scale_space=scale_space
    )
    at_once = deform_gaussians(gaussians, *compose_deltas(first, second), scale_space=scale_space)
    assert_same_set(at_once, one_by_one)
    swapped = deform_gaussians(gaussians, *compose_deltas(second, first), scale_space=scale_space)
    assert (swapped.quaternions - at_once.quaternions).abs().max() > 0.1, "order matters"


def test_interpolation_is_that_of_the_field():
    field = random_field()
    start, end = (
        Deltas(*(v[i] for v in (field.delta_means, field.delta_quaternions, field.delta_scales)))
        for i in (1, 2)
    )
    for share in (0.0, 0.3, 1.0):
        time = float(field.times[1] + share * (field.times[2] - field.times[1]))
        between = interpolate_deltas(start, end, share)
        assert_same_set(deform_gaussians(field.canonical, *between), field.at(time))


def test_interpolation_takes_a_share_per_gaussian():
    start, end = random_deltas(1), random_deltas(2)
    shares = torch.linspace(0, 1, 7, dtype=torch.float64)
    mixed = interpolate_deltas(start, end, shares)
    for index in range(7):
        single = interpolate_deltas(start, end, float(shares[index]))
        for actual, expected in zip(mixed, single, strict=True):
            torch.testing.assert_close(actual[index], expected[index])


def test_gradients():
    start, first, second = random_gaussians(count=2), random_deltas(1, count=2), random_deltas(2, count=2)

    def difference(means, quaternions, scales):
        end = Gaussians(means, quaternions, scales, start.opacities, start.harmonics)
        return tuple(deltas_between(start, end))

    end = deform_gaussians(start, *first)
    inputs = tuple(v.clone().requires_grad_() for v in (end.means, end.quaternions, end.scales))
    assert torch.autograd.gradcheck(difference, inputs)

    leaves = tuple(v.clone().requires_grad_() for v in (*first, *second))
    share = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def both(*values):
        left, right = Deltas(*values[:3]), Deltas(*values[3:6])
        mixed = interpolate_deltas(invert_deltas(left), right, values[6])
        return tuple(compose_deltas(left, mixed))

    assert torch.autograd.gradcheck(both, (*leaves, share))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"end must have the shape of start \[7\], got \[5\]"):
        deltas_between(random_gaussians(), random_gaussians(count=5))
    with pytest.raises(ValueError, match=r"second\.means must have the shape of first\.means \[7, 3\]"):
        compose_deltas(random_deltas(1), random_deltas(2, count=5))
    with pytest.raises(ValueError, match=r"end\.means must have the shape of start\.means \[7, 3\]"):
        interpolate_deltas(random_deltas(1), random_deltas(2, count=5), 0.5)
    for shape in ((5,), (2, 7)):
        with pytest.raises(ValueError, match=r"fraction must be one number or have shape \[7\], got shape"):
            inspect.unwrap(interpolate_deltas)(random_deltas(1), random_deltas(2), torch.zeros(shape))


@pytest.mark.parametrize(("dtype", "length"), [(torch.float16, 300.0), (torch.float32, 1e20)])
def test_length_of_the_quaternions_does_not_matter(dtype, length):
    """Gaussians hold quaternions that are unit up to scale; two such lengths leave the type's range."""
    start, end = random_gaussians(dtype=dtype), random_gaussians(dtype=dtype)
    end = replace(end, quaternions=normal(7, 4, seed=8, dtype=torch.float64).to(dtype))
    expected = deltas_between(start, end).quaternions
    longer = [replace(side, quaternions=length * side.quaternions) for side in (start, end)]
    torch.testing.assert_close(deltas_between(*longer).quaternions, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("length", [1e-3, 7.0])
def test_deltas_of_any_length_give_unit_quaternions(length):
    """As a network's raw output, or a product of many, would have it."""
    first, second = random_deltas(1), random_deltas(2)
    longer = [deltas._replace(quaternions=length * deltas.quaternions) for deltas in (first, second)]
    for function in (
        compose_deltas,
        lambda a, b: interpolate_deltas(a, b, 0.3),
        lambda a, b: invert_deltas(a),
    ):
        torch.testing.assert_close(function(*longer).quaternions, function(first, second).quaternions)
