"""Masks over the Gaussians: by box, by image, by motion, by what hangs before the lens, by shape."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from editing.parts import assert_same_bits, assert_same_pictures, cameras, copied, scene
from gaussians.parts import normal, random_field

from diff4splat.editing import (
    floaters,
    gaussians_in_box,
    gaussians_in_mask,
    gaussians_near_cameras,
    moving_gaussians,
    needles,
    travel_distances,
)
from diff4splat.geometry import quaternion_normalize, quaternion_to_matrix

LOW, HIGH = (-0.4, -0.7, -1.1), (0.6, 0.9, 0.8)


def rigid(dtype=torch.float64):
    matrix = torch.eye(4, dtype=dtype)
    matrix[:3, :3] = quaternion_to_matrix(quaternion_normalize(normal(4, seed=9, dtype=dtype)))
    matrix[:3, 3] = torch.tensor([0.1, -0.2, 0.3], dtype=dtype)
    return matrix


def inside(point, low=LOW, high=HIGH):
    return all(a <= x <= b for a, x, b in zip(low, point, high, strict=True))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_box_matches_the_loop(batch):
    field = random_field(*batch, count=13)
    turn = rigid()
    back = np.linalg.inv(turn.numpy())
    for time, states in {
        None: [field.canonical],
        0.47: [field.at(0.47)],
        "any": [field.at(time) for time in field.times],
        "all": [field.at(time) for time in field.times],
    }.items():
        combine = all if time == "all" else any
        for pose in (None, turn):
            mask = gaussians_in_box(field, LOW, HIGH, box_to_world=pose, time=time)
            assert mask.shape == (*batch, 13) and mask.dtype == torch.bool
            for index in np.ndindex(*batch, 13):
                points = [state.means[index].numpy() for state in states]
                if pose is not None:
                    points = [(back @ np.append(point, 1))[:3] for point in points]
                assert mask[index].item() == combine(inside(point) for point in points)


def test_faces_belong_to_a_box_and_sides_may_be_open():
    field = random_field(count=3)
    means = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0 + 1e-9], [-50.0, 60.0, -70.0]], dtype=torch.float64)
    field = replace(field, canonical=replace(field.canonical, means=means))
    everything = (-math.inf, -math.inf, -math.inf)
    mask = gaussians_in_box(field, everything, (math.inf, math.inf, 1.0))
    assert mask.tolist() == [True, False, True]


def test_a_box_with_all_times_holds_between_them():
    field = random_field(count=97)
    mask = gaussians_in_box(field, (-2.0, -2.0, -2.0), (2.0, 2.0, 2.0), time="all")
    assert 0 < mask.sum() < 97
    for time in torch.linspace(0, 1, 29):
        assert gaussians_in_box(field.select(mask), (-2.0,) * 3, (2.0,) * 3, time=time.item()).all()


def test_complementary_crops_make_the_whole_and_change_nothing():
    field = scene(dtype=torch.float32)
    before = copied(field)
    mask = gaussians_in_box(field, (-9.0, -9.0, -9.0), (0.1, 9.0, 9.0))
    assert 0 < mask.sum() < field.num_gaussians
    both = torch.cat((mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]))
    assert_same_pictures(field.select(both), field)
    assert_same_bits(field.select(both).select(both.argsort()), field)
    assert_same_bits(field, before)


@pytest.mark.parametrize(
    ("low", "high", "options", "message"),
    [
        ((0.0, 0.0, math.nan), (1.0, 1.0, 1.0), {}, "low must be three numbers"),
        ((0.0, 0.0), (1.0, 1.0, 1.0), {}, "low must be three numbers"),
        ((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), {}, "low must be below high along every axis"),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), {"time": "never"}, "time must be a number in"),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), {"time": 1.5}, "time must lie in"),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), {"box_to_world": torch.eye(3)}, "box_to_world must have"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_box_refuses(low, high, options, message):
    with pytest.raises(ValueError, match=message):
        gaussians_in_box(random_field(), low, high, **options)


def halves(path):
    """Masks of the left part of each image."""
    mask = torch.zeros(path.num_frames, path.height, path.width, dtype=torch.bool)
    mask[:, :, : path.width // 2 + 1] = True
    return mask


def test_mask_matches_the_loop():
    field, path, times = scene(97), cameras(5, dtype=torch.float64), torch.tensor([0.0, 0.2, 0.4, 0.8, 1.0])
    mask = torch.rand(5, 23, 31, generator=torch.Generator().manual_seed(1)) < 0.5
    far = 4 + 2 * torch.rand(5, 23, 31, generator=torch.Generator().manual_seed(2)).double()
    chosen = gaussians_in_mask(field, mask, path, times, near=3.5, far=far, share=0.6)
    for index in range(97):
        agreeing = counting = 0
        for frame in range(5):
            point = field.at(times[frame]).means[index].numpy()
            local = np.linalg.inv(path.camera_to_world[frame].numpy()) @ np.append(point, 1)
            x, y, _ = path.intrinsics[frame].numpy() @ (local[:3] / local[2])
            if not (local[2] > 0 and 0 <= x < 31 and 0 <= y < 23):
                continue
            if 3.5 <= local[2] <= far[frame, int(y), int(x)]:
                counting += 1
                agreeing += mask[frame, int(y), int(x)].item()
        assert chosen[index].item() == (counting > 0 and agreeing >= 0.6 * counting)
    assert 10 < chosen.sum() < 80


def test_one_view_chooses_what_is_in_the_mask_and_depth_tells_front_from_back():
    field = random_field(count=4)
    means = torch.tensor([[-0.5, 0, 3], [-0.5, 0, 6], [0.5, 0, 3], [-0.5, 0, -3]]).double()
    still = replace(field, canonical=replace(field.canonical, means=means), delta_means=0 * field.delta_means)
    path, time = cameras(1), torch.tensor([0.3])
    path = replace(path, camera_to_world=torch.eye(4)[None])
    assert gaussians_in_mask(still, halves(path), path, time).tolist() == [True, True, False, False]
    assert gaussians_in_mask(still, halves(path), path, time, far=4.0).tolist() == [True, False, False, False]
    assert gaussians_in_mask(still, halves(path), path, time, near=4.0).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_a_mask_with_rendered_depth_takes_what_can_be_seen():
    """Two walls, one before the other: the mask of everything, with depth, takes the front one."""
    field = scene(90, dtype=torch.float32)
    x, y = torch.meshgrid(torch.linspace(-4, 4, 9), torch.linspace(-3, 3, 5), indexing="ij")
    wall = torch.stack((x.flatten(), y.flatten(), torch.full((45,), 4.0)), dim=-1)
    means = torch.cat((wall, wall + torch.tensor([0.0, 0.0, 2.0])))
    canonical = replace(
        field.canonical, means=means, scales=torch.full((90, 3), 0.7), opacities=torch.full((90,), 0.99)
    )
    still = replace(
        field, canonical=canonical, delta_means=0 * field.delta_means, delta_scales=0 * field.delta_scales
    )
    path, times = cameras(1), torch.tensor([0.0])
    depth = still.render(path, times).depth[:, 0]
    everything = torch.ones(1, path.height, path.width, dtype=torch.bool)
    seen = gaussians_in_mask(still, everything, path, times, far=depth + 1.0)
    assert seen[:45].sum() > 5 and not seen[45:].any()
    assert gaussians_in_mask(still, everything, path, times)[45:].sum() > 5


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": torch.ones(1, 22, 31, dtype=torch.bool)}, "mask must be boolean of shape"),
        ({"mask": torch.ones(1, 23, 31)}, "mask must be boolean of shape"),
        ({"times": torch.tensor([0.0, 1.0])}, "times must have one entry per camera, 1, got 2"),
        ({"times": torch.tensor([math.nan])}, "times must lie in"),
        ({"near": math.nan}, "near must be a finite number"),
        ({"near": 3.0, "far": 2.0}, "far must be above near"),
        ({"far": torch.full((1, 23, 31), math.nan)}, "far must be above near"),
        ({"far": torch.ones(23, 31)}, "far must be one number or have shape"),
        ({"share": 0.0}, "share must lie in"),
        ({"share": math.nan}, "share must lie in"),
        ({"field": random_field(2)}, "cameras must have the batch axes of field"),
    ],
)
def test_mask_refuses(change, message):
    path = cameras(1)
    given = {"field": scene(), "mask": torch.ones(1, 23, 31, dtype=torch.bool), "times": torch.zeros(1)}
    given |= change
    with pytest.raises(ValueError, match=message):
        gaussians_in_mask(given.pop("field"), given.pop("mask"), path, given.pop("times"), **given)


def test_travel_matches_the_loop_and_is_never_exceeded():
    field = random_field(2, count=5)
    travel = travel_distances(field)
    for i, j in np.ndindex(2, 5):
        places = field.delta_means[i, :, j].numpy()
        assert travel[i, j].item() == pytest.approx(max(np.linalg.norm(p - places[0]) for p in places))
    first = field.at(0).means
    for time in torch.linspace(0, 1, 31):
        assert ((field.at(time).means - first).norm(dim=-1) <= travel + 1e-12).all()


def test_moving_and_static_parts():
    field = random_field(count=11)
    still = torch.arange(11) % 3 == 0
    field = replace(field, delta_means=torch.where(still[:, None], field.delta_means[:1], field.delta_means))
    assert torch.equal(moving_gaussians(field, 0.0), ~still)
    assert not moving_gaussians(field, 1e6).any()
    for threshold in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="threshold must be a finite number of at least 0"):
            moving_gaussians(field, threshold)


def test_near_cameras_matches_the_loop():
    field, path = scene(53), cameras(4, dtype=torch.float64)
    mask = gaussians_near_cameras(field, path, 4.2)
    for index in range(53):
        gaps = [
            torch.dist(field.at(frame / 3).means[index], path.camera_to_world[frame, :3, 3]) < 4.2
            for frame in range(4)
        ]
        assert mask[index].item() == any(gaps)
    assert 0 < mask.sum() < 53
    times = torch.full((4,), 0.5)
    eye = path.positions[:, None]
    expected = ((field.at(0.5).means - eye).norm(dim=-1) < 4.2).any(dim=0)
    assert torch.equal(gaussians_near_cameras(field, path, 4.2, times=times), expected)


@pytest.mark.parametrize(
    ("distance", "times", "message"),
    [
        (0.0, None, "distance must be a finite number above 0"),
        (math.nan, None, "distance must be a finite number above 0"),
        (1.0, torch.zeros(2), "times must have one entry per camera, 3, got 2"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_near_cameras_refuses(distance, times, message):
    with pytest.raises(ValueError, match=message):
        gaussians_near_cameras(scene(), cameras(3), distance, times=times)


def test_needles_are_spikes_and_not_discs():
    field = random_field(count=9, times=(0.0, 1.0))
    scales = torch.ones(9, 3).double()
    scales[1, 0] = 30  # a spike
    scales[2, :2] = 30  # a disc
    scales[3] = torch.tensor([0.02, 1e-4, 1e-4])  # a spike too short to be seen
    field = replace(
        field, canonical=replace(field.canonical, scales=scales), delta_scales=0 * field.delta_scales
    )
    assert needles(field).nonzero().flatten().tolist() == [1]
    assert not needles(field, aspect=40.0).any()
    assert needles(field, length=0.01).nonzero().flatten().tolist() == [1, 3]
    grown = field.delta_scales.clone()
    grown[1, 4, 0] = math.log(50)
    field = replace(field, delta_scales=grown)
    assert needles(field, time=1.0).nonzero().flatten().tolist() == [1, 4]
    assert needles(field, time="any")[4] and not needles(field, time="all")[4]
    for wrong in ({"aspect": 0.5}, {"length": 0.0}, {"aspect": math.nan}):
        with pytest.raises(ValueError, match="must be a finite number"):
            needles(field, **wrong)


def test_floaters_are_the_union_of_their_kinds():
    """A plane of 20 x 20, a small group, and one of each kind of debris."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 20), indexing="ij")
    plane = torch.stack((x, y, torch.full_like(x, 5.0)), dim=-1).reshape(-1, 3)
    jitter = 0.02 * normal(400, 3, seed=3, dtype=torch.float32)
    group = torch.tensor([3.0, 0.0, 4.0]) + 0.02 * normal(6, 3, seed=4, dtype=torch.float32)
    debris = torch.tensor([[0.0, 0.0, 4.0], [0.5, 0.5, 5.0], [0.1, 0.1, 5.0], [0.0, 0.0, 0.05]])
    means = torch.cat((plane + jitter, group, debris))
    count = len(means)
    field = random_field(count=count, times=(0.0, 1.0), dtype=torch.float32)
    scales, opacities = torch.full((count, 3), 0.05), torch.full((count,), 0.9)
    scales[407, 0] = 2.0  # a spike
    opacities[408] = 0.001  # faint
    canonical = replace(field.canonical, means=means, scales=scales, opacities=opacities)
    zeros = torch.zeros_like(field.delta_means)
    field = replace(field, canonical=canonical, delta_means=zeros, delta_scales=zeros)
    before = copied(field)
    mask = floaters(field)
    # 406 and 409 are alone, the group of six is small, and all else is the plane.
    assert mask.nonzero()[:, 0].tolist() == list(range(400, 410))
    path = replace(cameras(1), camera_to_world=torch.eye(4)[None])
    plain = {"ratio": 1e6, "min_size": 2, "reach": 1e6}
    assert floaters(field, **plain).nonzero()[:, 0].tolist() == [407, 408]
    assert floaters(field, **plain, cameras=path).nonzero()[:, 0].tolist() == [407, 408, 409]
    assert_same_bits(field, before)
    assert torch.equal(mask, floaters(field)), "the same every time"
    faint = replace(field, canonical=replace(canonical, opacities=0 * opacities))
    assert floaters(faint).all()
    assert not floaters(field.select([0])).any()


def test_floaters_refuse():
    with pytest.raises(ValueError, match="floaters needs one field without batch axes"):
        floaters(random_field(2))
    with pytest.raises(ValueError, match="min_opacity must be a finite number of at least 0"):
        floaters(random_field(), min_opacity=math.nan)
    field = random_field()
    field.canonical.means[0, 0] = math.nan
    with pytest.raises(ValueError, match="points must be finite"):
        floaters(field)
