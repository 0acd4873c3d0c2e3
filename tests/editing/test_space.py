"""Edits of where things are, and several fields in one."""

import math
from dataclasses import replace

import pytest
import torch
from editing.parts import (
    DELTAS,
    MOMENTS,
    assert_same_at,
    assert_same_bits,
    assert_same_pictures,
    cameras,
    copied,
    scene,
    tensors,
)
from gaussians.parts import TIMES, random_field

from diff4splat.editing import (
    convert_scale_space,
    merge_fields,
    resample_times,
    retime,
    similarity_matrix,
    transform_cameras,
    transform_part,
)
from diff4splat.gaussians import concatenate_gaussians

MOVE = {"axis": (1.0, 2.0, -0.5), "angle_deg": 40.0, "scale": 1.7, "translation": (0.1, -0.2, 0.3)}
MASK = torch.arange(7) % 3 != 1


def test_a_similarity_turns_grows_and_moves():
    center = torch.tensor([0.3, -1.0, 2.0]).double()
    matrix = similarity_matrix(**MOVE, center=center)
    moved = matrix @ torch.tensor([*center.tolist(), 1.0]).double()
    torch.testing.assert_close(moved[:3], center + torch.tensor(MOVE["translation"]).double())
    linear = matrix[:3, :3] / 1.7
    torch.testing.assert_close(linear.mT @ linear, torch.eye(3).double())
    axis = torch.tensor(MOVE["axis"]).double()
    torch.testing.assert_close(linear @ axis, axis)
    assert linear.trace().item() == pytest.approx(1 + 2 * math.cos(math.radians(40)))
    quarter = similarity_matrix(angle_deg=90.0)
    torch.testing.assert_close(
        quarter[:3, :3] @ torch.tensor([0, 0, 1.0]).double(), torch.tensor([1.0, 0, 0]).double()
    )
    assert torch.equal(similarity_matrix(), torch.eye(4).double())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 0.0}, "scale must be a finite number above 0"),
        ({"scale": math.nan}, "scale must be a finite number above 0"),
        ({"angle_deg": math.inf}, "angle_deg must be a finite number"),
        ({"axis": (0.0, 0.0, 0.0)}, "axis must not be zero"),
        ({"center": torch.zeros(0, 3).mean(dim=0)}, "center must be three finite numbers, got .nan"),
        ({"translation": (0.0, 1.0)}, "translation must be three finite numbers"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_similarities_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        similarity_matrix(**given)


def test_cameras_moved_with_the_world_see_the_same():
    field, path, times = scene(dtype=torch.float32), cameras(), torch.tensor([0.1, 0.45, 0.9])
    matrix = similarity_matrix(**MOVE)
    before = field.render(path, times, eps2d=0.0)
    along = transform_cameras(path, matrix)
    along.validate()
    after = field.transform(matrix).render(along, times, eps2d=0.0)
    torch.testing.assert_close(after.color, before.color, atol=2e-4, rtol=0)
    hit = before.alpha > 0.3
    torch.testing.assert_close(after.depth[hit], 1.7 * before.depth[hit], atol=2e-3, rtol=0)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    "matrix",
    [
        torch.eye(3),
        torch.diag(torch.tensor([1.0, 2.0, 1.0, 1.0])),
        -torch.eye(4),
        torch.full((4, 4), math.nan),
    ],
)
def test_cameras_are_moved_by_similarities_alone(matrix):
    with pytest.raises(ValueError, match="matrix must"):
        transform_cameras(cameras(), matrix)


@pytest.mark.parametrize("space", ["log", "linear"])
def test_one_matrix_moves_a_part_as_transform_moves_a_field(space):
    field = random_field(2, scale_space=space, metadata={"prompt": "a boat"})
    before, matrix = copied(field), similarity_matrix(**MOVE)
    changed = transform_part(field, MASK, matrix)
    assert_same_bits(changed.select(~MASK), field.select(~MASK))
    assert_same_bits(changed.select(MASK), field.select(MASK).transform(matrix))
    everyone = torch.ones(7, dtype=torch.bool)
    assert_same_bits(transform_part(field, everyone, matrix), field.transform(matrix))
    back = transform_part(changed, MASK, torch.linalg.inv(matrix))
    for time in MOMENTS:
        assert_same_at(back.at(time), field.at(time), atol=1e-9)
    assert_same_bits(field, before)
    assert changed.metadata == {"prompt": "a boat"}


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_matrix_per_time_drives_a_part(batch):
    field = random_field(*batch)
    matrices = torch.stack(
        [
            similarity_matrix(angle_deg=20.0 * i, scale=1 + 0.1 * i, translation=(0.1 * i, 0.0, 0.2))
            for i in range(5)
        ]
    )
    changed = transform_part(field, MASK, matrices)
    assert_same_bits(changed.select(~MASK), field.select(~MASK))
    for time, matrix in zip(TIMES, matrices, strict=True):
        expected = field.select(MASK).at(time).transform(matrix)
        expected = replace(
            expected, harmonics=field.select(MASK).canonical.harmonics
        )  # do not change over time
        assert_same_at(changed.select(MASK).at(time), expected)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("mask", "matrix", "message"),
    [
        (MASK[:6], torch.eye(4), "mask must have one entry for each of 7 Gaussians"),
        (MASK & False, torch.eye(4), "mask must hold for at least one Gaussian, got 0 of 7"),
        (MASK, torch.eye(3), "matrix must have shape"),
        (MASK, torch.eye(4).expand(4, 4, 4), "matrix must have shape"),
        (MASK, torch.diag(torch.tensor([1.0, 2.0, 1.0, 1.0])), "matrix must be a rotation times a scale"),
        (MASK, torch.full((4, 4), math.nan), "matrix must be finite"),
    ],
)
def test_parts_and_matrices_that_are_none_are_refused(mask, matrix, message):
    with pytest.raises(ValueError, match=message):
        transform_part(random_field(), mask, matrix)


def test_gradients_of_a_moved_part():
    field = random_field(count=3, times=(0.2, 0.6))
    mask, matrices = torch.tensor([True, False, True]), torch.stack([similarity_matrix(**MOVE)] * 2)

    def states(means, delta_means, delta_quaternions, delta_scales):
        changed = replace(field.canonical, means=means)
        deltas = {"delta_means": delta_means, "delta_quaternions": delta_quaternions}
        whole = replace(field, canonical=changed, **deltas, delta_scales=delta_scales)
        found = [transform_part(whole, mask, matrix).at(0.5) for matrix in (matrices, matrices[0])]
        return tuple(getattr(state, name) for state in found for name in ("means", "quaternions", "scales"))

    inputs = (field.canonical.means, *(getattr(field, name) for name in DELTAS))
    assert torch.autograd.gradcheck(states, [values.clone().requires_grad_() for values in inputs])


@pytest.mark.parametrize("space", ["log", "linear"])
def test_another_scale_space_is_exact_at_stored_times(space):
    field = random_field(2, scale_space=space)
    other = convert_scale_space(field, "linear" if space == "log" else "log")
    assert other.scale_space != space
    for time in TIMES:
        assert_same_at(other.at(time), field.at(time), atol=1e-9)
    assert (other.at(0.5).scales - field.at(0.5).scales).abs().max() > 1e-4, "in between it is another path"
    assert convert_scale_space(field, space) is field


@pytest.mark.usefixtures("without_shape_checker")
def test_a_scale_space_that_is_none_is_refused():
    with pytest.raises(ValueError, match="scale_space must be 'log' or 'linear', got 'cubic'"):
        convert_scale_space(random_field(), "cubic")


def test_a_field_taken_apart_and_merged_is_the_field():
    field = scene(dtype=torch.float32, metadata={"fps": 12, "prompt": "a boat"})
    mask = torch.arange(field.num_gaussians) % 3 == 0
    merged = merge_fields([field.select(mask), field.select(~mask)])
    order = torch.cat((mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]))
    assert_same_bits(merged, field.select(order))
    assert_same_pictures(merged, field)
    assert merged.metadata == {"fps": 12, "prompt": "a boat"}


@pytest.mark.parametrize("batch", [(), (2,)])
def test_fields_of_other_times_are_merged_without_change(batch):
    first = random_field(*batch)
    second = random_field(*batch, count=5, times=(0.0, 0.25, 0.4, 0.95))
    before = copied(first), copied(second)
    merged = merge_fields([first, second])
    assert merged.num_gaussians == 12
    assert merged.times.tolist() == sorted({*TIMES, 0.0, 0.25, 0.4, 0.95})
    for time in MOMENTS:
        assert_same_at(merged.at(time), concatenate_gaussians([first.at(time), second.at(time)]), atol=1e-9)
    assert_same_bits(first, before[0])
    assert_same_bits(second, before[1])


def test_copies_moved_rigidly_are_merged():
    field = random_field()
    matrix = similarity_matrix(angle_deg=70.0, translation=(2.0, 0.0, 1.0))
    later = retime(field, (0.0, 1.0), (0.3, 1.0))
    merged = merge_fields([field, later.transform(matrix)])
    for time in MOMENTS:
        moved = later.at(time).transform(matrix)
        assert_same_at(merged.at(time), concatenate_gaussians([field.at(time), moved]), atol=1e-8)


def test_types_degrees_and_one_field():
    coarse = random_field(dtype=torch.float32)
    fine = random_field(count=3)
    plain = replace(fine, canonical=replace(fine.canonical, harmonics=fine.canonical.harmonics[:, :1]))
    merged = merge_fields([coarse, plain])
    assert merged.dtype == torch.float64 and merged.canonical.sh_degree == 1
    assert (merged.canonical.harmonics[7:, 1:] == 0).all()
    assert merged.num_times == len(TIMES), "0.1 in float32 and in float64 is one moment"
    merged.validate()
    assert merge_fields([fine]) is fine


def test_times_of_one_field_are_never_taken_for_one():
    near = random_field(times=(0.5, 0.5 + 5e-7, 0.9))
    merged = merge_fields([random_field(count=3, times=(0.0, 0.5)), near])
    merged.validate()
    assert_same_at(merged.select(slice(3, None)).at(0.7), near.at(0.7))


def test_metadata_of_both_are_kept():
    first = random_field(metadata={"fps": 12, "prompt": "a boat", "image": "boat.jpg"})
    second = random_field(metadata={"fps": 12, "prompt": "a sea"})
    merged = merge_fields([first, second])
    assert merged.metadata == {"fps": 12, "merged_from": [dict(first.metadata), dict(second.metadata)]}
    assert first.metadata == {"fps": 12, "prompt": "a boat", "image": "boat.jpg"}


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([random_field(2)], "fields must have one batch_shape, got \\(\\), \\(2,\\)"),
        ([random_field(scale_space="linear")], "one scale_space, got log, linear; see convert_scale_space"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(others, message):
    with pytest.raises(ValueError, match=message):
        merge_fields([random_field(), *others])
    with pytest.raises(ValueError, match="fields must hold at least one field"):
        merge_fields([])


def test_gradients_of_a_merge_reach_both():
    first = random_field(count=2, times=(0.2, 0.6))
    second = random_field(count=3, times=(0.4, 0.9))
    leaves = [field.delta_means.requires_grad_() for field in (first, second)]
    merge_fields([first, second]).at(0.5).means.square().sum().backward()
    assert all(leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_everything_ends_in_one_field():
    """Edits one after the other: the result is sound, of the same type, and the input is as it was."""
    field = scene(dtype=torch.float32)
    before = copied(field)
    mask = field.canonical.means[:, 0] > 0
    center = field.canonical.means[mask].mean(dim=0)
    spin = torch.stack([similarity_matrix(angle_deg=30.0 * i, center=center) for i in range(3)])
    steady = resample_times(field, (0.0, 0.5, 1.0))
    edited = merge_fields([transform_part(steady, mask, spin), retime(steady, (1.0, 0.0)).select(~mask)])
    edited.validate()
    assert all(values.dtype == torch.float32 for values in tensors(edited).values())
    assert edited.num_gaussians == field.num_gaussians + int((~mask).sum())
    assert_same_bits(field, before)
