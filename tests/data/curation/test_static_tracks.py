"""Points that rest are drawn where nothing moves, and seen where depth agrees."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.data.curation import static_tracks
from diff4splat.geometry import project


def draw(one, num: int = 97, seed: int = 0, **options):
    return static_tracks(one, num, generator=torch.Generator().manual_seed(seed), **options)


def test_points_lie_on_what_rests_and_are_seen_where_the_depth_says() -> None:
    one = recording()
    tracks, visible = draw(one)
    assert tracks.shape == (97, 13, 3) and (tracks == tracks[:, :1]).all()
    assert (visible.sum(1) >= 2).all()
    pixels, z = project(tracks.transpose(0, 1), one.cameras.camera_to_world, one.cameras.intrinsics)
    for track, frame in visible.nonzero().tolist():
        column, row = pixels[frame, track].floor().long().tolist()
        assert 0 <= column < one.width and 0 <= row < one.height
        assert not one.dynamic_mask[frame, row, column]
        assert abs(z[frame, track] / one.depth[frame, row, column] - 1) < 0.06  # of the pixel, not between
    hidden = 0
    for track, frame in (~visible).nonzero().tolist():
        column, row = pixels[frame, track].floor().long().tolist()
        if z[frame, track] > 0 and 1 <= column < one.width - 1 and 1 <= row < one.height - 1:
            around = (slice(row - 1, row + 2), slice(column - 1, column + 2))
            agrees = (z[frame, track] / one.depth[frame][around] - 1).abs().amax() < 0.02
            moves = one.dynamic_mask[frame][around].any()
            assert not agrees or moves, "hidden, at an edge, or where something moves"
            hidden += 1
    assert hidden > 0


def test_no_point_is_drawn_beside_a_step_of_depth() -> None:
    one = recording()
    depth = torch.full_like(one.depth, 4.0)
    depth[:, :, 71:] = 5.0
    still = replace(one, cameras=one.cameras.at_rest(), depth=depth, dynamic_mask=None)
    tracks, _ = draw(still, num=5000)
    pixels, _ = project(
        tracks.transpose(0, 1)[:1], still.cameras.camera_to_world[:1], still.cameras.intrinsics[:1]
    )
    columns = set(pixels[0, :, 0].floor().long().tolist())
    assert {69, 72} <= columns and not columns & {70, 71}


def test_points_are_drawn_in_the_frames_that_are_named() -> None:
    one = recording()
    unlike = torch.zeros_like(one.dynamic_mask)
    unlike[[0, 4]] = True  # nothing rests there
    covered = replace(one, dynamic_mask=unlike)
    assert len(draw(covered, sources=[0, 4])[0]) == 0
    tracks, visible = draw(covered, sources=[0, 8])
    assert len(tracks) == 97 and visible[:, 8].all() and not visible[:, [0, 4]].any()
    still = replace(covered, static=True)
    assert draw(still, sources=[4])[1][:, 4].all(), "a static recording rests whatever a mask says"


def test_draws_follow_the_generator() -> None:
    one = recording()
    first, again, other = draw(one), draw(one), draw(one, seed=1)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_there_are_no_more_than_can_be_seen() -> None:
    one = recording()
    moving = torch.ones_like(one.dynamic_mask)
    assert len(draw(replace(one, dynamic_mask=moving))[0]) == 0
    moving[:, 40:47, 60:71] = False
    few, visible = draw(replace(one, dynamic_mask=moving), num=10_000)
    assert 0 < len(few) <= 8 * 77 and visible.any(1).all()
    assert len(draw(one.select([3]), min_frames=1)[0]) == 97
    assert len(draw(one.select([3]))[0]) == 0, "one frame is not two"


def test_what_cannot_be_is_refused() -> None:
    one = recording()
    with pytest.raises(ValueError, match="cameras and depth, got one without"):
        draw(replace(one, depth=None, depth_mask=None))
    with pytest.raises(ValueError, match="num and min_frames must be at least 1, got 0"):
        draw(one, num=0)
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        draw(one, tolerance=0.0)
