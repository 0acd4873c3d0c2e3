import numpy as np
import pytest
import torch

from diff4splat.gaussians import DeformableGaussianField, Gaussians, deform_gaussians
from diff4splat.geometry import quaternion_slerp

numba = pytest.importorskip("numba")
cpu_deformation = pytest.importorskip("diff4splat.rendering.cpu_deformation")
cpu_frames = pytest.importorskip("diff4splat.rendering.cpu_frames")

COUNT = 367
NAMES = [f"{which} {what}" for which in ("", "lower", "upper") for what in ("means", "turns", "scales")]
TURNS = ("any", "near", "equal", "opposite", "almost opposite", "half turn")


def inputs(seed=0):
    """Canonical means, quaternions and scales, then deltas before and after, float32; turns of every kind."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.normal(size=(COUNT, *shape))

    start = normal(4)
    end = {
        "any": normal(4),
        "near": start + 1e-5 * normal(4),
        "equal": start,
        "opposite": -1.5 * start,
        "almost opposite": -0.2 * (start + 1e-4 * normal(4)),
        "half turn": start[:, [1, 0, 3, 2]] * [1, -1, 1, -1],  # cosine 0: both ways are as long
    }
    kinds = [TURNS[i % len(TURNS)] for i in range(COUNT)]
    end = np.stack([end[kind][i] for i, kind in enumerate(kinds)])
    scales = np.exp(0.5 * normal(3))
    values = (
        normal(3),
        normal(4),
        scales,
        normal(3),
        start,
        0.6 * normal(3),
        normal(3),
        end,
        0.6 * normal(3),
    )
    return [v.astype(np.float32) for v in values]


@numba.njit
def run_forward(scene, motion, fraction, linear, means, quaternions, scales):
    count = means.shape[0]
    for first, last in ((0, count // 3), (count // 3, count)):  # ranges, as the kernels have them
        out = means[first:last], quaternions[first:last], scales[first:last]
        cpu_deformation_forward(first, last, scene, motion, 0, 1, fraction, linear, out[0], out[1], out[2])


@numba.njit
def run_backward(
    scene, motion, fraction, linear, moving, means, quaternions, scales, grad_scene, grad_motion
):
    count, total = means.shape[0], 0.0
    for first, last in ((0, count // 3), (count // 3, count)):
        out = means[first:last], quaternions[first:last], scales[first:last]
        total += cpu_deformation_backward(
            first, last, scene, motion, 0, 1, fraction, linear, moving, out[0], out[1], out[2], grad_scene,
            grad_motion,
        )  # fmt: skip
    return total


cpu_deformation_forward = cpu_deformation.deform_forward
cpu_deformation_backward = cpu_deformation.deform_backward


def structs(values):
    """Nine arrays as the canonical set and two stored times; copies."""
    means, quaternions, scales = values[:3]
    scene = cpu_frames.Scene(means, quaternions, scales, means[:, 0].copy(), means[:, None].copy())
    return scene, cpu_frames.Motion(*(np.stack([values[3 + i], values[6 + i]]) for i in range(3)))


def forward(values, fraction, linear):
    outputs = [np.full_like(v, np.nan) for v in values[:3]]
    run_forward(*structs(values), fraction, linear, *outputs)
    return outputs


def backward(values, fraction, linear, moving, weights, grads):
    """Add to `grads`, in the order of `values`, and return the gradient of the fraction."""
    scene, motion = structs(grads)
    slope = run_backward(*structs(values), fraction, linear, moving, *weights, scene, motion)
    for i in range(3):
        grads[3 + i][:], grads[6 + i][:] = motion[i]
    return slope


def reference(values, fraction, linear):
    means, quaternions, scales, *deltas = values
    canonical = Gaussians(means, quaternions, scales, means[:, 0], means[:, None])
    deformed = deform_gaussians(
        canonical,
        torch.lerp(deltas[0], deltas[3], fraction),
        quaternion_slerp(deltas[1], deltas[4], fraction),
        torch.lerp(deltas[2], deltas[5], fraction),
        scale_space="linear" if linear else "log",
    )
    return deformed.means, deformed.quaternions, deformed.scales


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.97, 1.0])
def test_values_and_gradients_equal_the_torch_functions(fraction, linear):
    values = inputs()
    leaves = [torch.from_numpy(v).double().requires_grad_() for v in values]
    share = torch.tensor(fraction, dtype=torch.float64, requires_grad=True)
    expected = reference(leaves, share, linear)
    outputs = forward(values, fraction, linear)
    for actual, wanted in zip(outputs, expected, strict=True):
        assert np.abs(actual - wanted.detach().numpy()).max() <= 1e-6 * wanted.abs().max()
    if linear:
        smallest = expected[2] == 1e-3 * leaves[2]
        assert 10 < smallest.sum() < smallest.numel() - 10

    generator = np.random.default_rng(1)
    weights = [generator.normal(size=v.shape).astype(np.float32) for v in outputs]
    torch.autograd.backward(expected, [torch.from_numpy(v).double() for v in weights])
    grads = [np.zeros_like(v) for v in values]
    for times in (1, 2):  # gradients are added to what is there
        slope = backward(values, fraction, linear, True, weights, grads)
        for name, actual, leaf in zip(NAMES, grads, leaves, strict=True):
            wanted = times * leaf.grad.numpy()
            # 1e-12: at either end of the way, the gradient of the other end is rounding alone
            assert np.linalg.norm(actual - wanted) <= 1e-6 * np.linalg.norm(wanted) + 1e-12, name
        assert slope == pytest.approx(share.grad.item(), rel=1e-6)


@pytest.mark.parametrize("kind", TURNS)
def test_gradients_of_every_kind_of_turn(kind):
    chosen = np.arange(COUNT) % len(TURNS) == TURNS.index(kind)
    values = [v[chosen] for v in inputs(seed=2)]
    leaves = [torch.from_numpy(v).double().requires_grad_() for v in values]
    _, turned, _ = reference(leaves, torch.tensor(0.4, dtype=torch.float64), False)
    weights = [np.ones_like(v) * [1, -2, 3, -4][: v.shape[1]] for v in values[:3]]
    weights = [v.astype(np.float32) for v in weights]
    (turned * torch.from_numpy(weights[1])).sum().backward()
    grads = [np.zeros_like(v) for v in values]
    backward(values, 0.4, False, False, weights, grads)
    for index in (1, 4, 7):
        expected = leaves[index].grad.numpy()
        assert np.linalg.norm(grads[index] - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_equals_the_field_at_any_time_but_for_signs_of_quaternions(scale_space):
    first, second, third = inputs(), inputs(seed=3), inputs(seed=4)
    deltas = [np.stack([first[i], first[i + 3], second[i], third[i]]) for i in (3, 4, 5)]
    means, quaternions, scales = (torch.from_numpy(v).double() for v in first[:3])
    field = DeformableGaussianField(
        Gaussians(means, quaternions, scales, means[:, 0], means[:, None]),
        torch.tensor([0.1, 0.35, 0.6, 0.85], dtype=torch.float64),
        *(torch.from_numpy(v).double() for v in deltas),
        scale_space=scale_space,
    )
    for time, lower, upper, fraction in (
        (0.0, 0, 0, 0.0),
        (0.1, 0, 1, 0.0),
        (0.2, 0, 1, 0.4),
        (0.5, 1, 2, 0.6),
        (0.8, 2, 3, 0.8),
        (1.0, 3, 3, 0.0),
    ):
        ends = [v[i] for i in (lower, upper) for v in deltas]
        actual = forward([*first[:3], *ends], fraction, scale_space == "linear")
        expected = field.at(time)
        assert np.abs(actual[0] - expected.means.numpy()).max() < 1e-5
        assert np.abs(actual[2] / expected.scales.numpy() - 1).max() < 1e-6
        cosines = (actual[1] * expected.quaternions.numpy()).sum(axis=-1)
        assert np.abs(np.abs(cosines) - 1).max() < 1e-6


def test_at_fraction_0_what_comes_after_does_not_count():
    values = inputs()
    expected = forward(values, 0.0, False)
    values[6:] = [np.full_like(v, np.nan) for v in values[6:]]
    assert all(np.array_equal(a, b) for a, b in zip(forward(values, 0.0, False), expected, strict=True))
    grads = [np.ones_like(v) for v in values]
    assert backward(values, 0.0, False, False, expected, grads) == 0.0
    assert all((v == 1).all() for v in grads[6:])
    assert all(np.isfinite(v).all() and (v != 1).any() for v in grads[:6])


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_bad_deltas_spoil_their_own_gaussian_only(fraction):
    values = inputs()
    good = forward(values, fraction, False)
    values[3][7], values[4][11], values[4][13], values[5][17] = np.nan, 0.0, np.inf, np.inf
    bad = forward(values, fraction, False)
    rows = [7, 11, 13, 17]
    assert not any(all(np.isfinite(v[row]).all() for v in bad) for row in rows)
    for one, other in zip(good, bad, strict=True):
        assert np.array_equal(np.delete(one, rows, axis=0), np.delete(other, rows, axis=0))


def test_no_gaussians():
    values = [v[:0] for v in inputs()]
    assert [v.shape for v in forward(values, 0.5, False)] == [(0, 3), (0, 4), (0, 3)]
