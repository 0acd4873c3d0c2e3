import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.gaussians import Gaussians
from diff4splat.rendering import render

BACKENDS = ["cpu", "reference"]


def test_counts_and_strongest_equal_the_reference():
    gaussians, cameras = random_gaussians(), random_cameras()
    seen, expected = (render(gaussians, cameras, backend=name, details=True) for name in BACKENDS)
    assert seen.num_contributing.shape == seen.strongest.shape == (2, 1, 61, 67)
    assert seen.num_contributing.dtype == seen.strongest.dtype == torch.int32
    # a threshold, or two weights that are almost the same, may flip in float32
    assert (seen.num_contributing != expected.num_contributing).sum() <= 3
    assert (seen.strongest != expected.strongest).sum() <= 3
    assert (expected.num_contributing > 5).any() and (expected.strongest >= 0).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_strongest_is_the_one_whose_colour_counts_most(backend):
    gaussians, cameras = random_gaussians(23, seed=6), random_cameras(1, 19, 17)
    seen = render(gaussians, cameras, backend=backend, details=True)
    weights = []
    for index in range(23):
        colors = torch.zeros(23, 1, 3, dtype=torch.float64) - 10  # clamped to black
        colors[index] = 1.0
        painted = Gaussians(
            gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities, colors
        )
        weights.append(render(painted, cameras, backend="reference").color[0, 0])
    weights = torch.stack(weights)
    covered = weights.amax(dim=0) > 0
    assert torch.equal(seen.strongest[0, 0][covered], weights.argmax(dim=0)[covered].int())
    assert torch.equal(seen.num_contributing[0, 0], (weights > 0).sum(dim=0).int())
    assert (seen.strongest[0, 0][~covered] == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_holes(backend):
    nothing = random_gaussians().select(slice(0, 0))
    seen = render(nothing, random_cameras(2, 5, 7), backend=backend, details=True)
    assert (seen.num_contributing == 0).all() and (seen.strongest == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_no_sets(backend):
    seen = render(
        random_gaussians(5, batch=(0,)), random_cameras(2, 5, 7, batch=(0,)), backend=backend, details=True
    )
    assert seen.num_contributing.shape == seen.strongest.shape == seen.alpha.shape == (0, 2, 1, 5, 7)


def test_details_cost_nothing_unless_asked_for_and_change_no_gradient():
    gaussians, cameras = random_gaussians(31), random_cameras(1, 11, 13)
    assert render(gaussians, cameras).num_contributing is None is render(gaussians, cameras).strongest
    grads = []
    for details in (False, True):
        means = gaussians.means.clone().requires_grad_()
        moved = Gaussians(
            means, gaussians.quaternions, gaussians.scales, gaussians.opacities, gaussians.harmonics
        )
        render(moved, cameras, details=details).color.sum().backward()
        grads.append(means.grad)
    assert torch.equal(*grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_straight_colour_does_not_depend_on_the_background(backend):
    gaussians, cameras = random_gaussians(17), random_cameras(1, 11, 13)
    black = render(gaussians, cameras, backend=backend)
    grey = render(gaussians, cameras, backend=backend, background=[0.2, 0.4, 0.8])
    assert (black.alpha == 0).any() and (black.alpha > 0.5).any()
    covered = (black.alpha > 0.01).expand_as(black.color)
    torch.testing.assert_close(grey.straight_color[covered], black.straight_color[covered], rtol=0, atol=3e-5)
    torch.testing.assert_close(black.straight_color * black.alpha, black.color, rtol=0, atol=1e-6)
    assert (black.straight_color[(black.alpha == 0).expand_as(black.color)] == 0).all()
