import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussians.parts import normal, random_gaussians
from reference import gaussians_deformation as reference

from diff4splat.gaussians import Gaussians, deform_gaussians
from diff4splat.geometry import quaternion_normalize


@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_deformation_follows_equation_7(scale_space, dtype, tolerance):
    gaussians = random_gaussians(2, 3, dtype=dtype)
    deltas = [normal(2, 3, 7, size, seed=size, dtype=dtype) for size in (3, 4)] + [
        normal(2, 3, 7, 3).to(dtype)
    ]
    deformed = deform_gaussians(gaussians, *deltas, scale_space=scale_space)
    assert deformed.dtype == dtype
    for index in np.ndindex(2, 3, 7):
        tensors = (gaussians.means, gaussians.quaternions, gaussians.scales, *deltas)
        expected = reference.deform(*(tensor[index].double().numpy() for tensor in tensors), scale_space)
        for actual, value in zip(
            (deformed.means, deformed.quaternions, deformed.scales), expected, strict=True
        ):
            assert np.allclose(actual[index].double(), value, atol=tolerance, rtol=tolerance)
    assert (deformed.scales > 0).all()
    assert deformed.opacities is gaussians.opacities and deformed.harmonics is gaussians.harmonics


@pytest.mark.parametrize("scale_space", ["log", "linear"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_deltas_change_nothing(scale_space, dtype):
    gaussians = random_gaussians(2, dtype=dtype)
    gaussians.scales[0, 0] = 1e-8  # a floor on linear scales must not lift small Gaussians
    zeros = torch.zeros(2, 7, 3, dtype=dtype)
    identity = torch.tensor([1.0, 0, 0, 0], dtype=dtype).expand(2, 7, 4)
    same = deform_gaussians(gaussians, zeros, identity, zeros, scale_space=scale_space)
    assert torch.equal(same.means, gaussians.means) and torch.equal(same.scales, gaussians.scales)
    assert torch.equal(same.quaternions, quaternion_normalize(gaussians.quaternions))


def test_rotations_are_about_the_axes_of_the_gaussian():
    # A Gaussian turned by 90 degrees about z, then by dq about its own x axis, which is the world's y axis.
    half = math.sqrt(0.5)
    turned = Gaussians(
        torch.zeros(1, 3),
        torch.tensor([[half, 0, 0, half]]),
        torch.tensor([[1.0, 2.0, 3.0]]),
        torch.ones(1),
        torch.zeros(1, 1, 3),
    )
    about_x = torch.tensor([[half, half, 0.0, 0.0]])
    zeros = torch.zeros(1, 3)
    covariance = deform_gaussians(turned, zeros, about_x, zeros).covariances()[0]
    # Own axes (1, 2, 3) lie along world y, z, -x after both turns.
    assert torch.allclose(covariance, torch.diag(torch.tensor([9.0, 1.0, 4.0])), atol=1e-5)


def test_deformation_errors(without_shape_checker):
    gaussians, zeros = random_gaussians(), torch.zeros(7, 3, dtype=torch.float64)
    identity = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(7, 4)
    with pytest.raises(ValueError, match=r"delta_means must have shape \[7, 3\], got \[5, 3\]"):
        deform_gaussians(gaussians, zeros[:5], identity, zeros)
    with pytest.raises(ValueError, match="delta_quaternions must have shape"):
        deform_gaussians(gaussians, zeros, zeros, zeros)
    with pytest.raises(ValueError, match="scale_space must be 'log' or 'linear', got 'cubic'"):
        deform_gaussians(gaussians, zeros, identity, zeros, scale_space="cubic")


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_gradients_of_equation_7(scale_space):
    gaussians = random_gaussians(count=2)

    def deform(means, quaternions, scales, *deltas):
        canonical = replace(gaussians, means=means, quaternions=quaternions, scales=scales)
        moved = deform_gaussians(canonical, *deltas, scale_space=scale_space)
        return moved.means, moved.quaternions, moved.scales

    deltas = (normal(2, 3, seed=3), normal(2, 4, seed=4), 0.1 * normal(2, 3, seed=5))
    inputs = (gaussians.means, gaussians.quaternions, gaussians.scales, *deltas)
    assert torch.autograd.gradcheck(deform, [value.requires_grad_() for value in inputs])
