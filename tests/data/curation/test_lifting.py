"""Points followed in the image come to lie where they are in the world, or nowhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.checking.scenes import recording
from data.readers.truth import make_truth

from diff4splat.cameras import Cameras
from diff4splat.data import procedural_sample
from diff4splat.data.curation import lift_tracks
from diff4splat.geometry import project


def wall(
    depths: list[float], height: int = 11, width: int = 13
) -> tuple[torch.Tensor, torch.Tensor, Cameras]:
    """Walls before one camera that rests, one for each frame."""
    frames = len(depths)
    depth = torch.tensor(depths)[:, None, None].expand(-1, height, width).clone()
    lens = torch.tensor([[10.0, 0, 6.5], [0, 10.0, 5.5], [0, 0, 1]]).repeat(frames, 1, 1)
    cameras = Cameras(torch.eye(4).repeat(frames, 1, 1), lens, height, width)
    return depth, torch.ones_like(depth, dtype=torch.bool), cameras


def test_tracks_of_a_known_scene_are_the_truth() -> None:
    truth = make_truth(height=66, width=102, focal=(90.0, 90.0))
    cameras = Cameras(
        torch.from_numpy(truth.camera_to_world),
        torch.from_numpy(np.tile(truth.intrinsics, (5, 1, 1))),
        truth.height,
        truth.width,
    )
    depth = torch.from_numpy(truth.depth)
    pixels = torch.from_numpy(truth.pixels).transpose(0, 1)
    visible = torch.from_numpy(truth.visible).T
    tracks, found = lift_tracks(pixels, visible, depth, depth > 0, cameras)
    expected = torch.from_numpy(truth.points).transpose(0, 1)
    assert not (found & ~visible).any() and found.sum() / visible.sum() > 0.9
    assert found[12:].any(), "points on the panel that slides"
    torch.testing.assert_close(tracks[found], expected[found], rtol=0, atol=1e-9)
    assert torch.isnan(tracks[~found]).all()


def test_tracks_of_a_procedural_scene_are_the_truth_within_its_depth() -> None:
    sample = procedural_sample(5, num_frames=7, height=96, width=144, num_tracks=101)
    truth, visible = sample["tracks"][0].transpose(0, 1), sample["track_visibility"][0].T
    cameras, depth = sample["cameras"].batch(0), sample["depth"][0]
    pixels = project(truth.transpose(0, 1), cameras.camera_to_world, cameras.intrinsics)[0].transpose(0, 1)
    tracks, found = lift_tracks(pixels, visible, depth, depth > 0, cameras)
    near = (truth - cameras.positions).norm(dim=-1)
    errors = ((tracks - truth).norm(dim=-1) / near)[found]
    assert found.sum() / visible.sum() > 0.8
    assert errors.median() < 1e-3 and errors.quantile(0.98) < 0.03


def test_where_the_camera_is_does_not_matter() -> None:
    one = recording()
    tracks, found = lift_tracks(one.track_pixels, one.visible, one.depth, one.depth_mask, one.cameras)
    again = one.relative_to_first()
    moved, also = lift_tracks(one.track_pixels, one.visible, one.depth, one.depth_mask, again.cameras)
    assert torch.equal(found, also) and found.sum() > 1000
    from_first = one.cameras.camera_to_world[0]
    back = moved[found] @ from_first[:3, :3].T + from_first[:3, 3]
    torch.testing.assert_close(back, tracks[found], rtol=0, atol=1e-3)


def test_edges_holes_and_what_is_outside_give_nothing() -> None:
    depth, mask, cameras = wall([2.0])
    depth[0, :, 7:] = 3.0
    mask[0, 2, 2] = False
    depth[0, 8, 2] = torch.inf
    places = [(7.0, 5.0), (3.1, 5.2), (2.2, 2.2), (2.2, 8.2), (-0.1, 5.0), (13.0, 5.0), (torch.nan, 5.0)]
    pixels = torch.tensor(places)[:, None]
    visible = torch.ones(len(places), 1, dtype=torch.bool)
    tracks, found = lift_tracks(pixels, visible, depth, mask, cameras)
    assert found[:, 0].tolist() == [False, True, False, False, False, False, False]
    assert tracks[1, 0].tolist() == pytest.approx([(3.1 - 6.5) / 5, (5.2 - 5.5) / 5, 2.0])
    assert torch.isnan(tracks[~found]).all()
    none = lift_tracks(pixels, torch.zeros_like(visible), depth, mask, cameras)
    assert not none[1].any() and torch.isnan(none[0]).all()


def test_depth_that_jumps_for_one_frame_is_given_up() -> None:
    depth, mask, cameras = wall([2.0, 2.02, 2.5, 2.06, 2.08])
    pixels = torch.full((1, 5, 2), 4.3)
    visible = torch.ones(1, 5, dtype=torch.bool)
    assert lift_tracks(pixels, visible, depth, mask, cameras)[1].tolist() == [[True, True, False, True, True]]
    assert lift_tracks(pixels, visible, depth, mask, cameras, max_jump=None)[1].all()
    assert lift_tracks(pixels, visible, depth, mask, cameras, max_jump=0.3)[1].all()


def test_a_camera_that_drives_forward_gives_up_nothing() -> None:
    depth, mask, cameras = wall([8.0, 6.0, 4.0, 3.0, 2.0])
    poses = cameras.camera_to_world.clone()
    poses[:, 2, 3] = 8 - depth[:, 0, 0]
    cameras = replace(cameras, camera_to_world=poses)
    pixels = torch.full((1, 5, 2), 5.5)
    tracks, found = lift_tracks(pixels, torch.ones(1, 5, dtype=torch.bool), depth, mask, cameras)
    assert found.all() and tracks[0, :, 2].tolist() == pytest.approx([8.0] * 5)


def test_a_point_that_is_seen_once_or_twice_is_kept() -> None:
    depth, mask, cameras = wall([2.0, 3.0, 4.0])
    visible = torch.tensor([[True, True, False], [False, True, False]])
    assert torch.equal(lift_tracks(torch.full((2, 3, 2), 4.3), visible, depth, mask, cameras)[1], visible)
    nobody = lift_tracks(torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool), depth, mask, cameras)
    assert nobody[0].shape == (0, 3, 3)


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_is_refused() -> None:
    depth, mask, cameras = wall([2.0, 2.0])
    pixels, visible = torch.zeros(3, 2, 2), torch.ones(3, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"depth must have shape \[2, 11, 13\], got \[1, 11, 13\]"):
        lift_tracks(pixels, visible, depth[:1], mask, cameras)
    with pytest.raises(ValueError, match="pixels and visible must have 2 frames"):
        lift_tracks(pixels[:, :1], visible[:, :1], depth, mask, cameras)
    with pytest.raises(ValueError, match="cameras must have no batch axes"):
        lift_tracks(pixels, visible, depth, mask, cameras.batch(None))
    for options in ({"agree": 0.2}, {"max_jump": 0.0}, {"window": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            lift_tracks(pixels, visible, depth, mask, cameras, **options)
