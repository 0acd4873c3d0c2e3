"""Depth carried from frame to frame: exact scenes agree, a plane by hand, movers are left out."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.cameras import Cameras
from diff4splat.data import Recording
from diff4splat.data.checking import reproject, view_from


def wall(depth: float = 5.0, *, step: float = 0.5, ahead: float = 0.0) -> Recording:
    """A wall seen by two cameras, the second `step` to the right and `ahead` nearer."""
    height, width = 17, 23
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 0, 3], poses[1, 2, 3] = step, ahead
    lens = torch.tensor([[20.0, 0, 11.5], [0, 20.0, 8.5], [0, 0, 1]]).expand(2, 3, 3)
    maps = torch.full((2, height, width), depth)
    maps[1] -= ahead
    columns = (10 * torch.arange(width)).expand(2, 3, height, width).to(torch.uint8)
    shifted = columns.clone()
    shifted[1] += round(10 * 20 * step / depth)
    return Recording(
        "wall",
        "none",
        "none",
        shifted,
        cameras=Cameras(poses, lens, height, width),
        depth=maps,
        depth_mask=torch.ones_like(maps, dtype=torch.bool),
    )


def test_a_wall_by_hand() -> None:
    # the wall moves left by f * step / z = 20 * 0.5 / 5 = 2 pixels: 21 of 23 columns stay in the frame
    found = reproject(wall(), 0, 1)
    assert found.landed_share == pytest.approx(21 / 23)
    assert found.error == pytest.approx(0, abs=1e-7) and found.pixel_error == pytest.approx(0, abs=1e-5)
    assert found.color_error == pytest.approx(0, abs=1e-6)
    assert found.color_error_unmoved == pytest.approx(20 / 255)
    assert reproject(wall(ahead=1.0), 0, 1).error == pytest.approx(0, abs=1e-6)


def test_depth_that_is_a_tenth_too_large_is_off_by_a_tenth() -> None:
    one = wall(ahead=1.0)
    depth = one.depth.clone()
    depth[1] *= 1.1  # 4.4 instead of 4
    found = reproject(replace(one, depth=depth), 0, 1)
    assert found.error == pytest.approx(1 - 4 / 4.4, abs=1e-6) and found.inlier_share == 0


def test_nothing_is_compared_across_an_edge_or_where_depth_is_unknown() -> None:
    one = wall(step=0.6)  # 2.4 pixels: every pixel lands between two
    depth, mask = one.depth.clone(), one.depth_mask.clone()
    depth[1, :, 10:] = 5.5
    edge = reproject(replace(one, depth=depth), 0, 1)
    whole = reproject(one, 0, 1)
    assert whole.num_pixels - edge.num_pixels == 16, "one column of pixels lands on the edge"
    mask[1, :, 10] = False
    assert whole.num_pixels - reproject(replace(one, depth_mask=mask), 0, 1).num_pixels == 2 * 16
    assert reproject(replace(one, depth_mask=mask & False), 0, 1).num_pixels == 0


def test_exact_scenes_agree_and_the_mask_leaves_movers_out() -> None:
    one = recording()
    found = reproject(one, 0, 9)
    assert found.error < 1e-4 and found.inlier_share > 0.95 and found.color_error < 0.01
    moved = one.depth.clone()
    moved[one.dynamic_mask] *= 3  # what moves is somewhere else altogether
    assert reproject(replace(one, depth=moved), 0, 9) == found
    unmasked = reproject(replace(one, depth=moved, dynamic_mask=None), 0, 9)
    assert unmasked.inlier_share < found.inlier_share - 0.02


def test_fewer_pixels_tell_the_same() -> None:
    few, all_of_them = reproject(recording(), 0, 9, max_pixels=997), reproject(recording(), 0, 9)
    assert few.num_pixels < 997 < all_of_them.num_pixels
    assert few.landed_share == pytest.approx(all_of_them.landed_share, abs=0.05)


def test_a_view_is_what_the_other_camera_sees() -> None:
    view = view_from(wall(), 0, 1)
    assert view.seen.float().mean() == pytest.approx(21 / 23)
    assert (view.warped - view.target).abs()[:, view.seen].max() < 1e-3
    with pytest.raises(ValueError, match="recording must have cameras and depth, got one without"):
        view_from(replace(wall(), depth=None), 0, 1)
    with pytest.raises(ValueError, match="recording must have cameras and depth, got one without"):
        reproject(replace(wall(), cameras=None), 0, 1)
