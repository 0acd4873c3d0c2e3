import math
from dataclasses import replace

import pytest
import torch
from pictures.scenes import looking, make_field, wall_and_ball
from reference.pictures import mean_at, pixel_of

from diff4splat.pictures import find_trails, motion_trails
from diff4splat.pictures.trails import time_bar, time_to_color
from diff4splat.rendering import render


def test_trails_go_where_the_loop_projects_the_gaussians():
    field, camera = wall_and_ball(), looking()
    trails = find_trails(field, camera, num_times=7, min_motion=2.0)
    ball = field.num_gaussians - 1
    assert trails.indices.tolist() == [ball]  # the wall rests
    pose, lens = camera.camera_to_world[0].tolist(), camera.intrinsics[0].tolist()
    start = field.canonical.means[ball].tolist()
    for index, time in enumerate(trails.times.tolist()):
        place = mean_at(start, field.times.tolist(), field.delta_means[:, ball].tolist(), time)
        x, y, z = pixel_of(place, pose, lens)
        assert trails.pixels[0, index].tolist() == pytest.approx([x, y], abs=1e-5)
        assert trails.depth[0, index].item() == pytest.approx(z, abs=1e-6)
    assert trails.times.tolist() == pytest.approx([i / 6 for i in range(7)])


def test_the_picture_has_the_colours_of_time_on_the_pixels_of_the_trail():
    field, camera = wall_and_ball(), looking(height=86, width=122)
    camera = type(camera)(
        camera.camera_to_world, camera.intrinsics * torch.tensor([[2.0], [2], [1]]), 86, 122
    )
    trails = find_trails(field, camera)
    picture, still = motion_trails(field, camera), motion_trails(wall_and_ball(moves=False), camera)
    assert len(trails.indices) == 1
    for index in range(0, 30, 3):
        x, y = trails.pixels[0, index].tolist()
        expected = time_to_color(trails.times[index].float())
        found = picture[:, int(y), int(x)]
        # a thin line covers a third of the pixel that it crosses, or more
        assert (found - expected).norm() < 0.45, index
        assert (still[:, int(y), int(x)] - expected).norm() > (found - expected).norm()
    changed = (picture[:, :86] - still[:, :86]).abs().amax(dim=0) > 0
    far = torch.cdist(changed.nonzero().double() + 0.5, trails.pixels[0].flip(-1)).amin(dim=1)
    shown = render(field.at(1.0), camera).color, render(wall_and_ball(moves=False).at(1.0), camera).color
    other = ((shown[0] - shown[1]).abs().amax(dim=1)[0] > 0)[changed]
    assert (far[~other] < 4).all()  # elsewhere the picture is as it was


def test_nothing_moves_is_said_in_words():
    still = wall_and_ball(moves=False)
    camera = looking(width=301, height=101)
    assert len(find_trails(still, camera).indices) == 0
    words = motion_trails(still, camera)[:, 101:]
    assert words.min() < 0.5 and not torch.equal(words, time_bar(301, text_size=11))
    assert torch.equal(motion_trails(wall_and_ball(), camera)[:, 101:], time_bar(301, text_size=11))
    assert len(find_trails(wall_and_ball(), camera, min_motion=1e4).indices) == 0


def test_what_a_surface_hides_is_faint_or_has_no_trail():
    # a large still Gaussian at depth 2; one passes behind it and comes out, one stays behind it
    still, passes, stays = [0.0, 0, 2], [-1.9, 0.0, 4.0], [-0.1, 0.0, 4.0]
    field = make_field(
        [still, passes, stays], [[[0.0] * 3] * 3, [[0.0] * 3, [3.8, 0, 0], [0.2, 0, 0]]], scale=0.15
    )
    camera = looking(height=41, width=121)
    pose = torch.eye(4)[None]
    lens = torch.tensor([[[60.0, 0, 60.5], [0, 60, 20.5], [0, 0, 1]]])
    camera = type(camera)(pose, lens, 41, 121)
    trails = find_trails(field, camera, min_motion=1.0, num_times=33)
    assert trails.indices.tolist() == [1]
    middle = (trails.pixels[0, :, 0] - 60.5).abs() < 3
    assert trails.hidden[0, middle].all() and middle.any()
    assert not trails.hidden[0, [0, -1]].any()


def test_trails_are_thinned_by_importance_and_spread():
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(500, 3, generator=generator) * torch.tensor([1.6, 1.0, 0.2]) + torch.tensor(
        [-0.8, -0.5, 2.0]
    )
    field = make_field(places.tolist(), [[[0.0] * 3] * 500, [[0.3, 0.1, 0.0]] * 500], scale=0.03)
    trails = find_trails(field, looking(), max_trails=12)
    assert 6 <= len(trails.indices) <= 12
    apart = torch.cdist(trails.pixels[:, -1], trails.pixels[:, -1]).fill_diagonal_(100).min()
    assert apart > 0.75 * (43 * 61 / 24) ** 0.5 - 1e-6
    few = find_trails(field, looking(), max_trails=0)
    assert len(few.indices) == 0
    again = find_trails(field, looking(), max_trails=12)
    assert torch.equal(again.indices, trails.indices)


def test_importance_matches_the_loop():
    """Gaussians far from each other, so that none gives way to another: the order is that of importance."""
    means = [[-0.7, -0.4, 2.0], [0.5, -0.4, 2.2], [-0.7, 0.5, 2.4], [0.4, 0.5, 1.9]]
    ways = [[0.30, 0.0, 0.0], [0.0, 0.22, 0.0], [0.2, 0.2, 0.1], [-0.2, 0.0, 0.0]]
    scales = [[0.05, 0.02, 0.08], [0.06, 0.07, 0.01], [0.09, 0.03, 0.09], [0.04, 0.04, 0.04]]
    opacities = [0.5, 0.9, 0.7, 0.95]
    field = make_field(means, [[[0.0] * 3] * 4, ways])
    shape = {"scales": torch.tensor(scales), "opacities": torch.tensor(opacities)}
    field = replace(field, canonical=replace(field.canonical, **shape))
    camera = looking()
    pose, lens = camera.camera_to_world[0].tolist(), camera.intrinsics[0].tolist()
    weights = []
    for mean, way, scale, opacity in zip(means, ways, scales, opacities, strict=True):
        steps = [[m + w * i / 8 for m, w in zip(mean, way, strict=True)] for i in range(9)]
        pixels = [pixel_of(step, pose, lens) for step in steps]
        length = sum(math.dist(a[:2], b[:2]) for a, b in zip(pixels, pixels[1:], strict=False))
        largest, second, _ = sorted(scale, reverse=True)
        weights.append(opacity * largest * second / pixels[-1][2] ** 2 * length)
    expected = sorted(range(4), key=lambda index: -weights[index])
    assert find_trails(field, camera, max_trails=99, min_motion=0.1).indices.tolist() == expected
    assert find_trails(field, camera, max_trails=99, min_motion=0.1).indices.tolist() != [0, 1, 2, 3]


def test_what_hardly_moves_beside_the_rest_has_no_trail():
    means = [[-0.5, 0.0, 2.0], [0.5, 0.0, 2.0]]
    field = make_field(means, [[[0.0] * 3] * 2, [[0.5, 0.3, 0], [0.03, 0, 0]]])
    assert find_trails(field, looking()).indices.tolist() == [0]
    assert sorted(find_trails(field, looking(), min_motion=0.5).indices.tolist()) == [0, 1]


def test_one_time_one_pixel_and_behind_the_camera():
    one = make_field([[0.0, 0, 2]], [[[0.0, 0, 0]]])
    assert motion_trails(one, looking(height=1, width=1)).shape == (3, 1, 1)
    through = make_field([[0.0, 0, 2]], [[[0.0, 0.0, -4.0]], [[0.1, 0, 0]]])
    trails = find_trails(through, looking(), min_motion=0.1)
    assert trails.indices.tolist() == [0] and trails.pixels[0, 0].isnan().all()
    assert torch.isfinite(motion_trails(through, looking(), min_motion=0.1)).all()
    behind = make_field([[0.0, 0, -2]], [[[0.0] * 3], [[0.3, 0, 0]]])
    assert len(find_trails(behind, looking()).indices) == 0


def test_sizes_are_exact_and_values_are_colours():
    for height, width in ((43, 61), (97, 31)):
        picture = motion_trails(wall_and_ball(), looking(height=height, width=width))
        assert picture.shape == (3, height + time_bar(width, text_size=11).shape[1], width)
        assert picture.min() >= 0 and picture.max() <= 1


def test_field_in_half_precision_and_with_gradients():
    field = wall_and_ball()
    field.canonical.means.requires_grad_()
    assert not motion_trails(field, looking()).requires_grad
    half = motion_trails(wall_and_ball().to(dtype=torch.bfloat16), looking())
    assert half.dtype == torch.float32


def test_errors():
    field, camera = wall_and_ball(), looking()
    with pytest.raises(ValueError, match=r"camera must be one camera .* got \[3\]"):
        find_trails(field, looking(frames=3))
    with pytest.raises(ValueError, match=r"camera must be one camera .* got \[1, 1\]"):
        find_trails(field, camera.batch(None))
    with pytest.raises(ValueError, match=r"field must be one scene without batch axes, got batch axes \[1\]"):
        find_trails(field.batch(None), camera)
    with pytest.raises(ValueError, match="max_trails must be at least 0, got -1"):
        find_trails(field, camera, max_trails=-1)
    with pytest.raises(ValueError, match="num_times must be at least 2, got 1"):
        find_trails(field, camera, num_times=1)
    with pytest.raises(ValueError, match="min_motion must be a positive number of pixels, got 0"):
        find_trails(field, camera, min_motion=0.0)
    with pytest.raises(ValueError, match="time must lie in"):
        find_trails(field, camera, time=1.5)
