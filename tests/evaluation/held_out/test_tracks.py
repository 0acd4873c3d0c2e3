"""Tracks of surface points: a point by hand, the truth against itself, and what can be seen."""

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.evaluation.held_out.scenes import held_out_scenes, pixel_motion
from diff4splat.evaluation.held_out.tracks import surface_tracks

SIZE = 23


@pytest.fixture(scope="module")
def truth():
    scenes = held_out_scenes([5, 11], num_frames=3, height=SIZE, width=SIZE, num_novel=1, supersample=1)
    motion, _ = pixel_motion(
        scenes.scenes, scenes.frames, scenes.cameras, 0, torch.zeros(2), scenes.times[1:]
    )
    return scenes, motion


def test_the_truth_has_no_error_and_scale_does_not_count(truth) -> None:
    scenes, motion = truth
    depth = scenes.frames.depth
    same = surface_tracks(depth[:, 0], motion, depth, motion, scenes.cameras)
    assert same.points.shape == (2, SIZE * SIZE, 2, 3) and 0.3 < same.visible.double().mean() < 1
    torch.testing.assert_close(same.scores()["track_apd"], torch.ones(2).double())
    torch.testing.assert_close(same.scores()["track_epe3d"], torch.zeros(2).double())
    still = surface_tracks(depth[:, 0], torch.zeros_like(motion), depth, motion, scenes.cameras).scores()
    assert (still["track_apd"] < 1).all() and (still["track_epe3d"] > 0).all()


def test_a_point_by_hand() -> None:
    poses = torch.eye(4).repeat(1, 2, 1, 1)
    poses[0, 1, 0, 3] = 1.0  # the camera has gone one unit to the right
    lens = torch.tensor([[10.0, 0, 1.5], [0, 10.0, 1.5], [0, 0, 1]])
    cameras = Cameras(poses, lens.expand(1, 2, 3, 3), 3, 3)
    depth = torch.full((1, 3, 3), 2.0)
    moved = torch.zeros(1, 1, 3, 3, 3)
    moved[..., 0] = 1.0  # and everything with it
    true_depth = torch.full((1, 2, 3, 3), 2.0)
    true_depth[0, 1, 1, 1] = 1.0  # but something stands in front of the middle
    found = surface_tracks(depth + 0.1, moved, true_depth, moved, cameras)
    middle = 4
    torch.testing.assert_close(found.target[0, middle, 0], torch.tensor([0.0, 0.0, 2.0]))
    torch.testing.assert_close(found.points[0, middle, 0], torch.tensor([0.0, 0.0, 2.1]))
    expected = torch.ones(9, dtype=torch.bool)
    expected[middle] = False
    assert found.visible[0, :, 0].tolist() == expected.tolist()
    gone = surface_tracks(depth, 0 * moved, true_depth, 0 * moved, cameras)
    assert not gone.visible.any(), "five pixels to the left is outside"


def test_a_camera_that_has_turned_sees_the_point_ahead() -> None:
    """Pitfall: lengths do not notice axes that are turned the wrong way, depths and their thresholds do."""
    poses = torch.eye(4).repeat(1, 2, 1, 1)
    poses[0, 1, :3, :3] = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # right is z, ahead is -x
    poses[0, 1, :3, 3] = torch.tensor([3.0, 0, 2])
    lens = torch.tensor([[10.0, 0, 1.5], [0, 10.0, 1.5], [0, 0, 1]])
    cameras = Cameras(poses, lens.expand(1, 2, 3, 3), 3, 3)
    true_depth = torch.tensor([2.0, 3.0])[None, :, None, None].expand(1, 2, 3, 3)
    still = torch.zeros(1, 1, 3, 3, 3)
    found = surface_tracks(torch.full((1, 3, 3), 2.1), still, true_depth, still, cameras)
    middle = 4
    torch.testing.assert_close(found.target[0, middle, 0], torch.tensor([0.0, 0.0, 3.0]))
    torch.testing.assert_close(found.points[0, middle, 0], torch.tensor([0.1, 0.0, 3.0]))
    assert found.visible[0, middle, 0]
