import math

import pytest
import torch
from pictures.scenes import looking, make_field, wall_and_ball
from reference.pictures import flow_color, pixel_of

from diff4splat.pictures import flow_picture, flow_to_color, motion_video, pixel_flow
from diff4splat.pictures.depth_scale import stripes


def test_colours_match_the_wheel_written_out():
    flow = 8 * torch.randn(2, 7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flow[:, 0, :4] = torch.tensor([[5.0, -5, 0, 0], [0.0, 0, 5, -5]], dtype=torch.float64)
    color = flow_to_color(flow, largest=9.0)
    for row in range(7):
        for column in range(11):
            expected = flow_color(*flow[:, row, column].tolist(), largest=9.0)
            assert color[:, row, column].tolist() == pytest.approx(expected, abs=1e-6)


def test_rest_is_white_and_directions_have_their_hues():
    right, down, left, up = torch.tensor([[[1.0, 0, -1, 0]], [[0.0, 1, 0, -1]]]).movedim(2, 0)
    assert (flow_to_color(torch.zeros(2, 3, 5), largest=1.0) == 1).all()
    assert flow_to_color(right[..., None], largest=1.0)[:, 0, 0].tolist() == [1, 0, 0]
    red, green, blue = flow_to_color(down[..., None], largest=1.0)[:, 0, 0].tolist()
    assert red > 0.9 and green > 0.8 and blue == 0  # yellow
    red, green, blue = flow_to_color(left[..., None], largest=1.0)[:, 0, 0].tolist()
    assert red == 0 and green > 0.5 and blue > 0.9  # between cyan and blue
    red, green, blue = flow_to_color(up[..., None], largest=1.0)[:, 0, 0].tolist()
    assert blue > 0.9 and red > green  # between blue and magenta
    half = flow_to_color(0.5 * right[..., None], largest=1.0)[:, 0, 0]
    assert half.tolist() == [1, 0.5, 0.5]
    assert torch.equal(flow_to_color(5 * right[..., None], largest=1.0)[:, 0, 0], torch.tensor([1.0, 0, 0]))


def test_unknown_is_striped():
    flow = torch.zeros(4, 2, 9, 13)
    flow[:, 0, 3] = math.nan
    color = flow_to_color(flow, largest=1.0)
    assert color.shape == (4, 3, 9, 13)
    assert (color[:, :, 3] == stripes(9, 13)[3]).all() and (color[:, :, 4] == 1).all()


def test_flow_is_the_difference_of_projections():
    field, camera = make_field([[0.0, 0, 2]], [[[0.0] * 3], [[0.3, -0.2, 0.4]]], scale=0.3), looking()
    pose, lens = camera.camera_to_world[0].tolist(), camera.intrinsics[0].tolist()
    before, after = pixel_of([0.0, 0, 2], pose, lens), pixel_of([0.3, -0.2, 2.4], pose, lens)
    flow = pixel_flow(field, camera)
    known = torch.isfinite(flow[0])
    assert 10 < known.sum() < known.numel()
    for axis in range(2):
        found = flow[axis][known]
        assert found.mean().item() == pytest.approx(after[axis] - before[axis], abs=1e-3)
        assert found.std() < 1e-3
    assert known[int(before[1]), int(before[0])]
    back = pixel_flow(field, camera, start=1.0, end=0.0)
    assert back[:, int(after[1]), int(after[0])].tolist() == pytest.approx(
        [before[0] - after[0], before[1] - after[1]], abs=1e-3
    )


def test_the_picture_says_how_far_the_rim_is_and_where_nothing_moves():
    camera = looking(height=43, width=211)
    moving, still = flow_picture(wall_and_ball(), camera), flow_picture(wall_and_ball(moves=False), camera)
    assert moving.shape[2] == still.shape[2] == 211 and moving.shape[1] > still.shape[1] > 43
    known = torch.isfinite(pixel_flow(wall_and_ball(moves=False), camera)[0])
    torch.testing.assert_close(still[:, :43][:, known], torch.ones(3, int(known.sum())), rtol=0, atol=1e-4)
    flow = pixel_flow(wall_and_ball(), camera)
    assert torch.equal(
        flow_picture(wall_and_ball(), camera, largest=7.0)[:, :43], flow_to_color(flow, largest=7.0)
    )


def test_video_shows_each_step_on_one_scale():
    field, cameras = wall_and_ball(), looking(frames=5)
    steps = []
    video = motion_video(field, cameras, largest=3.0, callback=lambda *numbers: steps.append(numbers))
    assert video.shape == (5, 3, 43, 61) and steps == [(i, 5) for i in range(1, 6)]
    first = pixel_flow(field, cameras.select([0]), start=0.0, end=0.25)
    assert torch.equal(video[0], flow_to_color(first, largest=3.0))
    last = -pixel_flow(field, cameras.select([4]), start=1.0, end=0.75)
    assert torch.equal(video[4], flow_to_color(last, largest=3.0))
    held = motion_video(field, cameras, torch.full((5,), 0.5))
    assert held.shape == (5, 3, 43, 61)


def test_nothing_seen_one_pixel_and_behind_the_camera():
    behind = make_field([[0.0, 0, -2]], [[[0.0] * 3], [[0.3, 0, 0]]])
    camera = looking()
    assert pixel_flow(behind, camera).isnan().all()
    assert torch.equal(flow_picture(behind, camera)[:, :43], stripes(43, 61).expand(3, -1, -1))
    assert flow_picture(make_field([[0.0, 0, 2]], [[[0.0] * 3]]), looking(height=1, width=1)).shape[2] == 1
    through = make_field([[0.0, 0, 2]], [[[0.0] * 3], [[0.0, 0, -2.2]]], scale=0.3)
    flow = pixel_flow(through, camera)
    assert torch.isfinite(flow[:, torch.isfinite(flow[0])]).all() and flow.nan_to_num().abs().max() <= 61.1


def test_errors():
    field, camera = wall_and_ball(), looking()
    for largest in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="largest must be a positive number of pixels"):
            flow_to_color(torch.zeros(2, 3, 5), largest=largest)
    with pytest.raises(ValueError, match=r"camera must be one camera .* got \[3\]"):
        pixel_flow(field, looking(frames=3))
    with pytest.raises(ValueError, match=r"without batch axes, got batch axes \[1\]"):
        pixel_flow(field.batch(None), camera)
    with pytest.raises(ValueError, match="cameras must be two or more, got 1"):
        motion_video(field, camera)
    with pytest.raises(ValueError, match="one entry per camera, expected 3, got 2"):
        motion_video(field, looking(frames=3), torch.zeros(2))
