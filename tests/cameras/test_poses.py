import pytest
import torch
from models.parts import path

from diff4splat.cameras import Cameras, pose_maps, pose_vectors


def test_rotation_row_by_row_then_the_centre():
    cameras = path(2, 3, 5, 7)
    vectors = pose_vectors(cameras)
    assert vectors.shape == (2, 3, 12)
    for batch in range(2):
        for frame in range(3):
            pose = cameras.camera_to_world[batch, frame].tolist()
            expected = [*pose[0][:3], *pose[1][:3], *pose[2][:3], pose[0][3], pose[1][3], pose[2][3]]
            assert vectors[batch, frame].tolist() == expected


def test_maps_are_the_same_everywhere():
    cameras = path(2, 3, 5, 7)
    maps = pose_maps(cameras, height=11, width=13)
    assert maps.shape == (2, 3, 12, 11, 13)
    assert torch.equal(maps, pose_vectors(cameras)[..., None, None].expand_as(maps))


@pytest.mark.parametrize("side", ["height", "width"])
def test_a_grid_without_places_is_refused(side):
    with pytest.raises(ValueError, match=f"{side} must be at least 1, got 0"):
        pose_maps(path(1, 2, 5, 7), **{"height": 1, "width": 1, side: 0})


def test_gradients_reach_the_poses():
    cameras = path(1, 2, 5, 7)
    poses = cameras.camera_to_world.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda leaf: pose_maps(Cameras(leaf, cameras.intrinsics, 5, 7), height=1, width=2), (poses,)
    )
