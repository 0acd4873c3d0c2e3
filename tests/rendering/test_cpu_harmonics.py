import numpy as np
import pytest
import torch

from diff4splat.gaussians import evaluate_harmonics

numba = pytest.importorskip("numba")
cpu_harmonics = pytest.importorskip("diff4splat.rendering.cpu_harmonics")

COUNT = 373
CENTER = np.array([0.25, -0.5, 1.75])  # exact in float32


def inputs(degree, seed=0):
    generator = np.random.default_rng(seed)
    harmonics = generator.normal(size=(COUNT, (degree + 1) ** 2, 3)).astype(np.float32)
    means = (CENTER + 3 * generator.normal(size=(COUNT, 3))).astype(np.float32)
    means[5] = CENTER + [0, 0, 2]  # along an axis
    means[7] = CENTER + [1e-6, 0, 0]
    grad_colors = generator.normal(size=(COUNT, 3)).astype(np.float32)
    grad_colors[11:31] = 0  # out of sight
    return harmonics, means, grad_colors


@numba.njit
def run_forward(harmonics, means, center, out):
    count = means.shape[0]
    for first, last in ((0, count // 3), (count // 3, count)):  # ranges, as the kernels have them
        harmonics_forward(first, last, harmonics, means, 0, center, out[first:last])


@numba.njit
def run_backward(harmonics, means, center, grad_colors, grad_harmonics, grad_means, grad_center):
    """The second part with means of its own, as a set that was deformed has them."""
    middle, count = means.shape[0] // 3, means.shape[0]
    one = harmonics_backward(
        0, middle, harmonics, means, 0, center, grad_colors[:middle], grad_harmonics, grad_means
    )
    two = harmonics_backward(
        middle, count, harmonics, means[middle:], middle, center, grad_colors[middle:], grad_harmonics,
        grad_means[middle:],
    )  # fmt: skip
    for i in range(3):
        grad_center[i] += one[i] + two[i]


harmonics_forward, harmonics_backward = cpu_harmonics.harmonics_forward, cpu_harmonics.harmonics_backward


def forward(harmonics, means):
    out = np.full_like(means, np.nan)
    run_forward(harmonics, means, CENTER, out)
    return out


@pytest.mark.parametrize("degree", range(5))
def test_values_and_gradients_equal_the_torch_function(degree):
    harmonics, means, grad_colors = inputs(degree)
    leaves = [torch.from_numpy(v).double().requires_grad_() for v in (harmonics, means, CENTER)]
    expected = evaluate_harmonics(leaves[0], leaves[1] - leaves[2])
    actual = forward(harmonics, means)
    assert np.abs(actual - expected.detach().numpy()).max() <= 1e-6 * expected.abs().max()
    expected.backward(torch.from_numpy(grad_colors).double())
    grads = [np.zeros_like(v) for v in (harmonics, means, CENTER)]
    for times in (1, 2):  # gradients are added to what is there
        run_backward(harmonics, means, CENTER, grad_colors, *grads)
        for name, grad, leaf in zip(("harmonics", "means", "center"), grads, leaves, strict=True):
            wanted = times * (np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy())
            assert np.linalg.norm(grad - wanted) <= 1e-6 * np.linalg.norm(wanted), name
            assert name == "harmonics" or degree == 0 or np.linalg.norm(wanted) > 0


@pytest.mark.parametrize("degree", [1, 4])
def test_a_gaussian_at_the_centre_has_the_colour_of_no_direction_and_no_gradient_of_it(degree):
    harmonics, means, grad_colors = inputs(degree)
    means[3] = CENTER
    expected = evaluate_harmonics(
        torch.from_numpy(harmonics[3]).double(), torch.zeros(3, dtype=torch.float64)
    )
    assert np.abs(forward(harmonics, means)[3] - expected.numpy()).max() < 1e-6
    grads = [np.zeros_like(v) for v in (harmonics, means, CENTER)]
    run_backward(harmonics, means, CENTER, grad_colors, *grads)
    assert (grads[1][3] == 0).all() and all(np.isfinite(v).all() for v in grads)
    assert np.abs(grads[0][3]).max() > 0


def test_bad_values_spoil_their_own_gaussian_only():
    harmonics, means, _ = inputs(2)
    good = forward(harmonics, means)
    harmonics[3, 4, 1], means[17, 2], means[19, 0] = np.nan, np.inf, np.nan
    bad = forward(harmonics, means)
    rows = [3, 17, 19]
    assert not np.isfinite(bad[rows]).all(axis=1).any()
    assert np.array_equal(np.delete(good, rows, axis=0), np.delete(bad, rows, axis=0))


def test_no_gaussians():
    harmonics, means, _ = inputs(3)
    assert forward(harmonics[:0], means[:0]).shape == (0, 3)
