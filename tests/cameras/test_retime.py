import pytest
import torch

from diff4splat.cameras import Cameras, retime_path, trajectory


def stop_and_go():
    """Along x: two frames at rest, a short step, a long one."""
    cameras = trajectory.static(4, height=20, width=30)
    matrices = cameras.camera_to_world.clone()
    matrices[:, 0, 3] = torch.tensor([0.0, 0.0, 1.0, 4.0])
    return Cameras(matrices, cameras.intrinsics, 20, 30)


def test_kept_speed_spreads_in_time():
    x = retime_path(stop_and_go(), 7).positions[:, 0]
    torch.testing.assert_close(x, torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 2.5, 4.0]))


@pytest.mark.parametrize("count", [None, 2, 5, 11])
def test_constant_speed_spreads_along_the_way(count):
    path = retime_path(stop_and_go(), count, speed="constant")
    torch.testing.assert_close(path.positions[:, 0], torch.linspace(0, 4, count or 4))
    assert (path.height, path.width) == (20, 30)


def test_constant_speed_keeps_the_turning_with_the_place():
    path = trajectory.orbit(181, height=20, width=30, degrees=90.0)
    slowed = path.interpolate(torch.linspace(0, 1, 361).square())
    evened = retime_path(slowed, 19, speed="constant")
    torch.testing.assert_close(
        evened.camera_to_world, path.select(slice(None, None, 10)).camera_to_world, atol=2e-3, rtol=0
    )


def test_a_path_that_goes_nowhere_keeps_its_time():
    path = trajectory.static(5, height=20, width=30)
    assert torch.equal(retime_path(path, 3, speed="constant").camera_to_world, path.camera_to_world[:3])


def test_errors(without_shape_checker):
    path = stop_and_go()
    with pytest.raises(ValueError, match="no batch axes"):
        retime_path(path.batch(None), 3)
    with pytest.raises(ValueError, match="speed must be kept or constant, got 'even'"):
        retime_path(path, 3, speed="even")
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        retime_path(path, 0)
