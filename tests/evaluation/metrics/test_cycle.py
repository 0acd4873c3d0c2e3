"""First against last frame of a path, and whether the path is closed."""

import math

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.evaluation import cycle_consistency_psnr, is_closed, psnr


def circle(frames: int, *, last: float = 2 * math.pi, radius: float = 1.0, origin: float = 0.0) -> Cameras:
    """A camera that turns about the y axis while it goes round, from angle 0 to `last`."""
    angle = torch.linspace(0, last, frames, dtype=torch.float64)
    poses = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    poses[:, 0, 0] = poses[:, 2, 2] = angle.cos()
    poses[:, 0, 2], poses[:, 2, 0] = angle.sin(), -angle.sin()
    poses[:, 0, 3] = origin + radius * angle.sin()
    poses[:, 2, 3] = radius * (1 - angle.cos())
    intrinsics = torch.tensor([[20.0, 0.0, 8.5], [0.0, 20.0, 6.5], [0.0, 0.0, 1.0]]).expand(frames, 3, 3)
    return Cameras(poses.float(), intrinsics, 13, 17)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(2, 5, 3, 7, 11, generator=torch.Generator().manual_seed(0))


def test_only_the_ends_count(frames) -> None:
    found = cycle_consistency_psnr(frames)
    assert torch.equal(found, psnr(frames[:, 4], frames[:, 0]))
    other = frames.clone()
    other[:, 1:4] = 0
    assert torch.equal(cycle_consistency_psnr(other), found)
    assert torch.equal(cycle_consistency_psnr(frames.flip(1)), found)


def test_a_scene_at_rest_reaches_the_limit_whatever_it_shows(frames) -> None:
    """Pitfall: an explicit scene renders the same frame twice, which says nothing about it."""
    frames[:, 4] = frames[:, 0]
    assert cycle_consistency_psnr(frames).tolist() == pytest.approx([100.0, 100.0])


def test_masks_and_errors(frames) -> None:
    frames[:, 4, :, 0] = 1 - frames[:, 0, :, 0]
    frames[:, 4, :, 1:] = frames[:, 0, :, 1:]
    mask = torch.ones(2, 7, 11, dtype=torch.bool)
    mask[0, 0] = False
    found = cycle_consistency_psnr(frames, mask=mask)
    assert found[0].item() == pytest.approx(100.0)
    assert found[1] < 30
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        cycle_consistency_psnr(frames[:, :1])
    with pytest.raises(ValueError, match="values in"):
        cycle_consistency_psnr(255 * frames)


@pytest.mark.parametrize("radius", [1.0, 0.0, 50.0])
@pytest.mark.parametrize("origin", [0.0, 100.0])
def test_a_full_circle_is_closed_and_one_step_short_is_not(radius, origin) -> None:
    """Pitfall: 360 degrees over n frames without the last one measures a step of the path, too."""
    assert is_closed(circle(9, radius=radius, origin=origin)).item()
    short = circle(9, last=2 * math.pi * 8 / 9, radius=radius, origin=origin)
    assert not is_closed(short).item()
    assert is_closed(short, tolerance=0.7).item()


def test_a_camera_at_rest_closes_nothing() -> None:
    assert not is_closed(circle(5).at_rest()).item()


def test_rounding_of_positions_does_not_open_a_turn_on_the_spot() -> None:
    path = circle(5, radius=0.0)
    poses = path.camera_to_world.clone()
    poses[-1, 0, 3] = 1e-7
    assert is_closed(Cameras(poses, path.intrinsics, 13, 17)).item()


def test_a_lens_that_zooms_does_not_come_back() -> None:
    path = circle(5)
    intrinsics = path.intrinsics.clone()
    intrinsics[-1, 0, 0] *= 1.01
    assert not is_closed(Cameras(path.camera_to_world, intrinsics, 13, 17)).item()


def test_each_path_has_its_answer() -> None:
    closed, open_path = circle(7), circle(7, last=math.pi)
    both = Cameras(
        torch.stack((closed.camera_to_world, open_path.camera_to_world)),
        torch.stack((closed.intrinsics, open_path.intrinsics)),
        13,
        17,
    )
    assert is_closed(both).tolist() == [True, False]


def test_errors_of_paths() -> None:
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        is_closed(circle(5), tolerance=0.0)
    with pytest.raises(ValueError, match="cameras must have at least 2 frames, got 1"):
        is_closed(circle(5).select(slice(0, 1)))
