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


def forward(harmonics, means):
    out = np.full_like(means, np.nan)
    cpu_harmonics.harmonics_forward(harmonics, means, CENTER, out)
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
        cpu_harmonics.harmonics_backward(harmonics, means, CENTER, grad_colors, *grads)
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
    cpu_harmonics.harmonics_backward(harmonics, means, CENTER, grad_colors, *grads)
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


def test_same_bits_for_every_number_of_threads():
    harmonics, means, grad_colors = inputs(3)
    before, results = numba.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            grads = [np.zeros_like(v) for v in (harmonics, means, CENTER)]
            cpu_harmonics.harmonics_backward(harmonics, means, CENTER, grad_colors, *grads)
            results.append([forward(harmonics, means), *grads])
    finally:
        numba.set_num_threads(before)
    for result in results[1:]:
        assert all(np.array_equal(one, other) for one, other in zip(result, results[0], strict=True))


def test_no_gaussians():
    harmonics, means, _ = inputs(3)
    assert forward(harmonics[:0], means[:0]).shape == (0, 3)
