import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference.geometry_quaternion import to_matrix

from diff4splat.gaussians import Gaussians, concatenate_gaussians, evaluate_harmonics


def random_gaussians(*batch, count=7, degree=1, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*batch, count, *shape, generator=draw, dtype=dtype)

    return Gaussians(
        means=normal(3),
        quaternions=normal(4),
        scales=normal(3).exp(),
        opacities=normal().sigmoid(),
        harmonics=normal((degree + 1) ** 2, 3),
    )


def test_properties():
    gaussians = random_gaussians(2, 3, count=5, degree=2)
    assert gaussians.num_gaussians == 5 and gaussians.batch_shape == (2, 3) and gaussians.sh_degree == 2
    assert gaussians.dtype == torch.float64 and gaussians.device == torch.device("cpu")
    single = gaussians.to(dtype=torch.float32)
    assert {tensor.dtype for tensor in vars(single).values()} == {torch.float32}
    gaussians.validate()


def test_detach_cuts_the_gradient():
    gaussians = random_gaussians()
    gaussians.means.requires_grad_()
    assert not gaussians.detach().means.requires_grad


@pytest.mark.parametrize(
    "name, shape, message",
    [
        ("means", (7, 2), "means must have shape"),
        ("quaternions", (7, 3), r"quaternions must have shape \[7, 4\] to match means, got \[7, 3\]"),
        ("scales", (5, 3), "scales must have shape"),
        ("opacities", (7, 1), "opacities must have shape"),
        ("harmonics", (7, 5, 3), "1, 4, 9, 16 or 25 coefficients"),
        ("harmonics", (7, 3), "harmonics must have shape"),
    ],
)
def test_wrong_shapes_are_refused(without_shape_checker, name, shape, message):
    tensors = {**vars(random_gaussians()), name: torch.ones(shape)}
    with pytest.raises(ValueError, match=message):
        Gaussians(**tensors)


@pytest.mark.parametrize(
    "name, index, value, message",
    [
        ("means", (3, 1), math.nan, "means must be finite"),
        ("harmonics", (3, 1), math.inf, "harmonics must be finite"),
        ("quaternions", 3, math.nan, "quaternions must be finite"),
        ("quaternions", 3, 0.0, "quaternions must have non-zero length"),
        ("scales", (3, 1), 0.0, "scales must be > 0, got 0"),
        ("opacities", 3, 1.5, r"opacities must lie in \[0, 1\]"),
        ("opacities", 3, -0.5, r"opacities must lie in \[0, 1\]"),
    ],
)
def test_validate_refuses_what_is_no_gaussian(name, index, value, message):
    gaussians = random_gaussians()
    getattr(gaussians, name)[index] = value
    with pytest.raises(ValueError, match=message):
        gaussians.validate()


def test_select_takes_the_same_gaussians_of_every_field():
    gaussians = random_gaussians(2, 3)
    mask = torch.tensor([True, False, True, True, False, False, True])
    for index, expected in (
        (mask, [0, 2, 3, 6]),
        (torch.tensor([5, 1, 1]), [5, 1, 1]),
        ([6, 0], [6, 0]),
        (slice(2, 4), [2, 3]),
        ([], []),
    ):
        chosen = gaussians.select(index)
        assert chosen.num_gaussians == len(expected)
        for name, tensor in vars(gaussians).items():
            assert torch.equal(getattr(chosen, name), tensor[:, :, expected])


def test_select_refuses_ragged_indices(without_shape_checker):
    gaussians = random_gaussians(2)
    with pytest.raises(ValueError, match="index must have one axis"):
        gaussians.select(torch.ones(2, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match="mask over 7 Gaussians, got length 5"):
        gaussians.select(torch.ones(5, dtype=torch.bool))


def test_prune_keeps_what_can_be_seen():
    gaussians = random_gaussians()
    gaussians.opacities[[1, 4]] = torch.tensor([0.004, 0.005], dtype=torch.float64)
    pruned = gaussians.prune()
    assert torch.equal(pruned.means, gaussians.means[[0, 2, 3, 4, 5, 6]])
    assert gaussians.prune(min_opacity=1.0).num_gaussians == 0
    with pytest.raises(ValueError, match=r"prune needs Gaussians without batch axes.*got batch shape \[2\]"):
        random_gaussians(2).prune()


def test_gradient_of_prune_reaches_what_is_kept_alone():
    gaussians = random_gaussians()
    gaussians.opacities[[1, 4]] = torch.tensor([0.004, 0.005], dtype=torch.float64)
    gaussians.means.requires_grad_()
    gaussians.prune().means.sum().backward()
    kept = torch.tensor([1.0, 0, 1, 1, 1, 1, 1], dtype=torch.float64)
    assert torch.equal(gaussians.means.grad, kept[:, None].expand(7, 3))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_covariances_match_the_loop(dtype, tolerance):
    gaussians = random_gaussians(2, 3, dtype=dtype)
    covariances = gaussians.covariances()
    assert covariances.shape == (2, 3, 7, 3, 3) and covariances.dtype == dtype
    for index in np.ndindex(2, 3, 7):
        rotation = to_matrix(gaussians.quaternions[index].double().numpy())
        expected = rotation @ np.diag(gaussians.scales[index].double().numpy() ** 2) @ rotation.T
        assert np.allclose(covariances[index].double(), expected, atol=tolerance, rtol=tolerance)


def test_opposite_quaternions_have_one_covariance():
    gaussians = random_gaussians()
    opposite = Gaussians(**{**vars(gaussians), "quaternions": -gaussians.quaternions})
    assert torch.equal(gaussians.covariances(), opposite.covariances())


def test_covariance_gradients():
    gaussians = random_gaussians(count=2)

    def covariances(quaternions, scales):
        return Gaussians(
            gaussians.means, quaternions, scales, gaussians.opacities, gaussians.harmonics
        ).covariances()

    inputs = (gaussians.quaternions.requires_grad_(), gaussians.scales.requires_grad_())
    assert torch.autograd.gradcheck(covariances, inputs)


def test_transform_gradients():
    """Along moves, turns and changes of size; in other directions a matrix is no similarity any more."""
    gaussians = random_gaussians(count=2, degree=1)
    base = torch.eye(4, dtype=torch.float64)
    base[:3, :3], base[:3, 3] = (
        1.7 * torch.tensor(to_matrix([0.3, -0.5, 0.2, 0.9])),
        torch.tensor([1.0, -2, 3]),
    )

    def transform(shift, turn, size, means, scales):
        zero = torch.zeros_like(size)
        x, y, z = turn
        rows = [torch.stack(row) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
        motion = torch.linalg.matrix_exp(torch.stack(rows)) * size.exp()
        upper = torch.cat((motion @ base[:3, :3], (base[:3, 3] + shift)[:, None]), dim=1)
        moved = replace(gaussians, means=means, scales=scales).transform(torch.cat((upper, base[3:])))
        return moved.means, moved.covariances(), moved.scales, moved.harmonics

    inputs = [torch.zeros(3), torch.zeros(3), torch.zeros(()), gaussians.means, gaussians.scales]
    assert torch.autograd.gradcheck(transform, [value.double().requires_grad_() for value in inputs])


def test_transform_moves_turns_and_scales():
    gaussians = random_gaussians(2, degree=3)
    rotation = torch.tensor(to_matrix([0.3, -0.5, 0.2, 0.9]))
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = 1.7 * rotation, torch.tensor([1.0, -2.0, 3.0])
    moved = gaussians.transform(matrix)
    assert torch.allclose(moved.means, 1.7 * gaussians.means @ rotation.T + matrix[:3, 3], atol=1e-12)
    expected = 1.7**2 * rotation @ gaussians.covariances() @ rotation.T
    assert torch.allclose(moved.covariances(), expected, atol=1e-11, rtol=1e-11)
    assert torch.equal(moved.opacities, gaussians.opacities)
    directions = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    before = evaluate_harmonics(gaussians.harmonics, directions)
    assert torch.allclose(evaluate_harmonics(moved.harmonics, directions @ rotation.T), before, atol=1e-11)


@pytest.mark.parametrize(
    "matrix",
    [
        torch.diag(torch.tensor([1.0, 2.0, 1.0, 1.0])),
        torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0])),
        torch.diag(torch.tensor([1.0, 1.0, 1.0, 2.0])),
        torch.zeros(4, 4),
        torch.full((4, 4), math.nan),
    ],
)
def test_transform_refuses_what_is_no_similarity(matrix):
    with pytest.raises(ValueError, match="matrix must be"):
        random_gaussians(dtype=torch.float32).transform(matrix)


def test_concatenation_keeps_order_and_pads_harmonics():
    first, second = random_gaussians(2, count=3, degree=0), random_gaussians(2, count=5, degree=2, seed=1)
    both = concatenate_gaussians([first, second])
    assert both.num_gaussians == 8 and both.sh_degree == 2
    for name in ("means", "quaternions", "scales", "opacities"):
        assert torch.equal(getattr(both, name)[:, :3], getattr(first, name))
        assert torch.equal(getattr(both, name)[:, 3:], getattr(second, name))
    assert torch.equal(both.harmonics[:, :3, :1], first.harmonics)
    assert torch.count_nonzero(both.harmonics[:, :3, 1:]) == 0
    assert torch.equal(both.harmonics[:, 3:], second.harmonics)


def test_concatenation_errors():
    with pytest.raises(ValueError, match="at least one"):
        concatenate_gaussians([])
    with pytest.raises(ValueError, match="equal batch shapes"):
        concatenate_gaussians([random_gaussians(2), random_gaussians(3)])


def test_batch_takes_sets_along_the_first_axis():
    gaussians = random_gaussians(2, 3)
    assert gaussians.batch(1).batch_shape == (3,) and gaussians.batch(slice(1, None)).batch_shape == (1, 3)
    for name, values in vars(gaussians).items():
        assert torch.equal(getattr(gaussians.batch(1), name), values[1])
        assert torch.equal(getattr(gaussians.batch(None), name), values[None])
    with pytest.raises(ValueError, match="batch needs Gaussians with a batch axis, got none"):
        random_gaussians().batch(0)
