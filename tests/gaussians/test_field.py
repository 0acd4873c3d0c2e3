import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussians.parts import FIELDS, TIMES, random_field, random_gaussians
from reference import gaussians_deformation as reference
from reference.geometry_quaternion import to_matrix

from diff4splat.cameras import trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians, deform_gaussians, gaussian_velocities
from diff4splat.geometry import quaternion_normalize


@pytest.mark.parametrize("time", [0.0, 0.1, 0.2, 0.27, 0.55, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_at_matches_the_loop(time, dtype, tolerance):
    field = random_field(2, 3, dtype=dtype)
    gaussians = field.at(time)
    assert gaussians.batch_shape == (2, 3) and gaussians.dtype == dtype
    canonical = field.canonical
    for i, j, k in np.ndindex(2, 3, 7):
        deltas = (
            tensor[i, j, :, k].double().numpy()
            for tensor in (field.delta_means, field.delta_quaternions, field.delta_scales)
        )
        start = (
            tensor[i, j, k].double().numpy()
            for tensor in (canonical.means, canonical.quaternions, canonical.scales)
        )
        expected = reference.deform(*start, *reference.interpolate(TIMES, *deltas, time), "log")
        sign = np.sign(expected[1] @ gaussians.quaternions[i, j, k].double().numpy())
        assert np.allclose(gaussians.means[i, j, k].double(), expected[0], atol=tolerance)
        assert np.allclose(
            sign * gaussians.quaternions[i, j, k].double().numpy(), expected[1], atol=tolerance
        )
        assert np.allclose(gaussians.scales[i, j, k].double(), expected[2], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("time", [0.2, 0.27, 0.55, 0.69])
def test_lengths_of_delta_quaternions_do_not_matter(time):
    field = random_field(dtype=torch.float64)
    lengths = torch.tensor([0.01, 3.0, 50.0, 0.2, 7.0], dtype=torch.float64)[: field.num_times, None, None]
    lengths = lengths * (1 + torch.arange(field.num_gaussians)[:, None])
    stretched = replace(field, delta_quaternions=lengths * field.delta_quaternions)
    gaussians = stretched.at(time)
    for k in range(field.num_gaussians):
        # The reference is given the unit quaternions.
        deltas = (v[:, k].numpy() for v in (field.delta_means, field.delta_quaternions, field.delta_scales))
        canonical = field.canonical
        start = (v[k].numpy() for v in (canonical.means, canonical.quaternions, canonical.scales))
        _, turn, _ = reference.deform(*start, *reference.interpolate(TIMES, *deltas, time), "log")
        assert abs(abs(turn @ gaussians.quaternions[k].numpy()) - 1) < 1e-12
    at_rates = (gaussian_velocities(one, time).angular for one in (field, stretched))
    torch.testing.assert_close(*at_rates)


def test_gradients_of_delta_quaternions_of_any_length_are_across_them():
    field = random_field(dtype=torch.float64)
    turns = (2.5 * field.delta_quaternions).requires_grad_()
    weights = torch.randn(field.num_gaussians, 4, generator=torch.Generator().manual_seed(5)).double()
    quaternions = replace(field, delta_quaternions=turns).at(0.27).quaternions
    (gradient,) = torch.autograd.grad((quaternions * weights).sum(), turns)
    assert gradient.abs().max() > 0.01
    torch.testing.assert_close((gradient * turns).sum(-1), torch.zeros(turns.shape[:-1]).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_at_a_stored_time_is_exact(dtype, scale_space):
    field = random_field(3, dtype=dtype, scale_space=scale_space)
    for index, time in enumerate(TIMES):
        stored = (field.delta_means, field.delta_quaternions, field.delta_scales)
        expected = deform_gaussians(
            field.canonical, *(tensor[:, index] for tensor in stored), scale_space=scale_space
        )
        for asked in (time, torch.tensor(time, dtype=dtype)):
            there = field.at(asked)
            for name in FIELDS:
                if name != "quaternions":
                    assert torch.equal(getattr(there, name), getattr(expected, name))
            sign = (there.quaternions * expected.quaternions).sum(-1, keepdim=True).sign()
            assert torch.equal(sign * there.quaternions, expected.quaternions)


def test_signs_of_stored_quaternions_do_not_matter():
    field = random_field()
    flipped = field.delta_quaternions.clone()
    flipped[::2] *= -1
    other = replace(field, delta_quaternions=flipped)
    for time in (0.1, 0.2, 0.28, 0.5, 0.8):
        assert torch.allclose(field.at(time).covariances(), other.at(time).covariances(), atol=1e-12)


def test_motion_is_continuous_at_stored_times():
    field = random_field()
    for time in TIMES:
        before, after = field.at(time - 1e-9), field.at(time + 1e-9)
        assert torch.allclose(before.means, after.means, atol=1e-6)
        assert torch.allclose(before.covariances(), after.covariances(), atol=1e-5)


def test_quaternions_never_jump_whatever_the_signs_of_the_stored_ones():
    field = random_field(3, count=31)
    for time in (*TIMES, 0.5):
        before, here, after = (
            field.at(min(max(time + step, 0.0), 1.0)).quaternions for step in (-1e-7, 0, 1e-7)
        )
        torch.testing.assert_close(before, here, atol=1e-4, rtol=0)
        torch.testing.assert_close(here, after, atol=1e-4, rtol=0)


def test_a_field_of_one_time_never_moves():
    field = random_field(2, times=(0.4,))
    expected = deform_gaussians(
        field.canonical, field.delta_means[:, 0], field.delta_quaternions[:, 0], field.delta_scales[:, 0]
    )
    for time in (0, 0.4, 0.41, 1):
        assert torch.equal(field.at(time).means, expected.means)
        assert torch.equal(field.at(time).quaternions, expected.quaternions)


@pytest.mark.parametrize("time", [-0.01, 1.01, math.nan, torch.tensor(1.5)])
def test_times_outside_the_clip_are_refused(time):
    with pytest.raises(ValueError, match=r"time must lie in \[0, 1\]"):
        random_field().at(time)


def test_gradients():
    field = random_field(count=2, times=(0.2, 0.6, 0.9))

    def at(time, delta_means, delta_quaternions, delta_scales):
        moved = replace(
            field, delta_means=delta_means, delta_quaternions=delta_quaternions, delta_scales=delta_scales
        ).at(time)
        return moved.means, moved.quaternions, moved.scales

    time = torch.tensor(0.47, dtype=torch.float64, requires_grad=True)
    deltas = [
        tensor.requires_grad_() for tensor in (field.delta_means, field.delta_quaternions, field.delta_scales)
    ]
    assert torch.autograd.gradcheck(at, (time, *deltas))


@pytest.mark.parametrize("stored", [0.2, 0.6])
def test_time_has_a_gradient_at_a_stored_time(stored):
    field = random_field(count=2, times=(0.2, 0.6, 0.9))
    time = torch.tensor(stored, dtype=torch.float64, requires_grad=True)
    field.at(time).means.sum().backward()
    step = 1e-6
    slope = (field.at(stored + step).means.sum() - field.at(stored).means.sum()) / step
    assert time.grad.item() == pytest.approx(slope.item(), rel=1e-6) and abs(slope) > 0.1


def test_identity_field_has_finite_gradients():
    field = DeformableGaussianField.from_gaussians(random_gaussians(), torch.tensor([0.0, 0.5, 1.0]).double())
    field.delta_quaternions.requires_grad_()
    field.at(0.3).covariances().sum().backward()
    assert torch.isfinite(field.delta_quaternions.grad).all()
    assert field.delta_quaternions.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_field_holds_still(dtype):
    gaussians = random_gaussians(2, dtype=dtype)
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 0.5, 1.0]))
    field.validate()
    for time in (0.0, 0.3, 1.0):
        moved = field.at(time)
        assert torch.equal(moved.means, gaussians.means) and torch.equal(moved.scales, gaussians.scales)
        assert torch.equal(moved.quaternions, quaternion_normalize(gaussians.quaternions))


def test_select_and_prune_act_on_all_times():
    field = random_field(metadata={"prompt": "a boat"})
    chosen = field.select([4, 1])
    assert torch.equal(chosen.at(0.5).means, field.at(0.5).means[[4, 1]])
    assert chosen.metadata == {"prompt": "a boat"}
    field.canonical.opacities[2] = 0.001
    assert torch.equal(field.prune().at(0.5).means, field.at(0.5).means[[0, 1, 3, 4, 5, 6]])


def test_limit_keeps_the_most_important_in_order():
    field = random_field()
    scales = field.canonical.scales.sort(dim=-1).values.numpy()
    importance = field.canonical.opacities.numpy() * scales[:, 1] * scales[:, 2]
    kept = sorted(np.argsort(-importance)[:3].tolist())
    assert torch.equal(field.limit(3).canonical.means, field.canonical.means[kept])
    assert field.limit(11).num_gaussians == 7
    with pytest.raises(ValueError, match="num_gaussians must be at least 1, got 0"):
        field.limit(0)


def test_limit_keeps_what_fills_the_views_of_a_path():
    """A wall, something larger behind it, something small beside it, and something behind the camera."""
    gaussians = Gaussians(
        means=torch.tensor([[0.0, 0, 2], [0, 0, 9], [0.6, 0, 2], [0, 0, -2]]),
        quaternions=torch.tensor([1.0, 0, 0, 0]).expand(4, 4),
        scales=torch.tensor([0.3, 0.4, 0.03, 5.0])[:, None].expand(4, 3) * torch.tensor([1.0, 1.0, 0.01]),
        opacities=torch.ones(4),
        harmonics=torch.zeros(4, 1, 3),
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    static = trajectory.static(2, height=23, width=29)
    sideways = static.camera_to_world.clone()
    sideways[1, 0, 3] = 4.0
    moving = replace(static, camera_to_world=sideways)

    def kept(count, cameras=None):
        chosen = field.limit(count, cameras=cameras).canonical.means
        return [field.canonical.means.tolist().index(mean) for mean in chosen.tolist()]

    assert kept(2) == [1, 3], "without cameras, the largest"
    assert kept(2, static) == [0, 2]
    assert kept(2, moving) == [0, 1], "the second view shows what the wall hid"
    assert kept(3, moving) == [0, 1, 2]


def test_prune_and_limit_refuse_batches():
    for method in (lambda field: field.prune(), lambda field: field.limit(3)):
        with pytest.raises(ValueError, match=r"without batch axes.*got batch shape \[2\]"):
            method(random_field(2))


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_transform_commutes_with_time(scale_space):
    field = random_field(2, scale_space=scale_space)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = 0.6 * torch.tensor(to_matrix([0.3, -0.5, 0.2, 0.9]))
    matrix[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    for time in (0.0, 0.42, 0.9):
        moved, expected = field.transform(matrix).at(time), field.at(time).transform(matrix)
        assert torch.allclose(moved.means, expected.means, atol=1e-12)
        assert torch.allclose(moved.covariances(), expected.covariances(), atol=1e-11)


def test_properties_and_conversion():
    field = random_field(2, count=5)
    assert (field.num_gaussians, field.num_times, field.batch_shape) == (5, 5, (2,))
    half = field.to(dtype=torch.float16)
    assert half.dtype == half.delta_means.dtype == torch.float16
    assert half.times.dtype == torch.float64  # stored times stay apart
    assert random_field(dtype=torch.float32).to(dtype=torch.float64).times.dtype == torch.float64
    field.delta_means.requires_grad_()
    assert not field.detach().delta_means.requires_grad
    field.validate()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"times": torch.zeros(3)}, r"delta_means must have shape \[3, 7, 3\]"),
        ({"times": torch.zeros(0)}, "at least one time"),
        ({"delta_quaternions": torch.zeros(5, 7, 3)}, "delta_quaternions must have shape"),
        ({"delta_scales": torch.zeros(5, 6, 3)}, "delta_scales must have shape"),
        ({"scale_space": "cubic"}, "scale_space"),
    ],
)
def test_wrong_shapes_are_refused(without_shape_checker, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(random_field(), **changes)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("times", [0.1, 0.2, 0.2, 0.3, 0.4], "ascend strictly"),
        ("times", [0.1, 0.2, 0.3, 0.4, 1.1], "ascend strictly"),
        ("times", [-0.1, 0.2, 0.3, 0.4, 0.5], "ascend strictly"),
        ("times", [0.1, math.nan, 0.3, 0.4, 0.5], "times must be finite"),
        ("delta_means", math.nan, "delta_means must be finite"),
        ("delta_scales", math.inf, "delta_scales must be finite"),
        ("delta_quaternions", 0.0, "delta_quaternions must have non-zero length"),
    ],
)
def test_validate_refuses_what_is_no_field(name, value, message):
    field = random_field()
    tensor = getattr(field, name)
    tensor.copy_(torch.as_tensor(value, dtype=tensor.dtype).expand_as(tensor))
    with pytest.raises(ValueError, match=message):
        field.validate()


def test_validate_looks_at_the_canonical_gaussians():
    field = random_field()
    field.canonical.scales[0] = -1.0
    with pytest.raises(ValueError, match="scales must be > 0"):
        field.validate()


def test_save_load_and_render_are_those_of_the_other_parts(tmp_path):
    field = random_field(dtype=torch.float32)
    field.save(tmp_path / "field.safetensors")
    loaded = DeformableGaussianField.load(tmp_path / "field.safetensors")
    assert torch.allclose(loaded.at(0.5).means, field.at(0.5).means, atol=1e-2)
    cameras = trajectory.backward(2, height=11, width=13, amplitude=4.0)
    rendering = field.render(cameras, torch.tensor([0.2, 0.8]), backend="reference")
    assert rendering.color.shape == (2, 3, 11, 13)


def test_batch_takes_fields_along_the_first_axis():
    field = random_field(2, metadata={"prompt": "a boat"})
    one = field.batch(1)
    for time in (0.1, 0.42):
        for name in FIELDS:
            assert torch.equal(getattr(one.at(time), name), getattr(field.at(time), name)[1])
    assert one.metadata == {"prompt": "a boat"} and one.batch(None).batch_shape == (1,)
    with pytest.raises(ValueError, match="batch axis, got none"):
        one.batch(slice(0, 1))


def test_times_and_matrices_of_another_kind_are_refused(without_shape_checker):
    # with whole-number times every time between two would be cut to the one before
    with pytest.raises(TypeError, match=r"times must be floating point, got torch\.int64"):
        DeformableGaussianField.from_gaussians(random_gaussians(), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"times must have one axis of at least one time, got shape \[\]"):
        DeformableGaussianField.from_gaussians(random_gaussians(), torch.tensor(0.0))
    for moved in (random_field(), random_gaussians()):
        with pytest.raises(ValueError, match=r"matrix must have shape \[4, 4\], got \[3, 3\]"):
            moved.transform(torch.eye(3))


def test_pruning_keeps_what_is_just_opaque_enough():
    field = random_field()
    smallest = float(field.canonical.opacities.min())
    assert field.prune(smallest).num_gaussians == field.num_gaussians
