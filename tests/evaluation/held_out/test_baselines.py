"""Baselines against loops, and the flat-depth warp where its answer is known in closed form."""

import pytest
import torch
from reference import evaluation_metrics as reference

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics, trajectory
from diff4splat.evaluation import flat_depth_warp
from diff4splat.evaluation.held_out.baselines import nearest_frames

HEIGHT, WIDTH, DEPTH = 11, 13, 3.7


def camera(*shifts: tuple[float, float, float], turn: float = 0.0) -> Cameras:
    """One batch entry with a camera per shift, all turned about the vertical."""
    angle = torch.tensor(turn, dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64).repeat(1, len(shifts), 1, 1)
    pose[..., 0, 0], pose[..., 0, 2] = angle.cos(), angle.sin()
    pose[..., 2, 0], pose[..., 2, 2] = -angle.sin(), angle.cos()
    pose[0, :, :3, 3] = torch.tensor(shifts, dtype=torch.float64)
    intrinsics = field_of_view_to_intrinsics(60.0, height=HEIGHT, width=WIDTH).double()
    return Cameras(pose, intrinsics.repeat(1, len(shifts), 1, 1), HEIGHT, WIDTH)


@pytest.fixture
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)


def plane(depth: float = DEPTH) -> torch.Tensor:
    return torch.tensor([depth], dtype=torch.float64)


def test_matches_the_homography_of_the_plane(image) -> None:
    source = camera((0.3, -0.2, 0.1), turn=0.2)
    target = camera((0.5, -0.1, 0.4), (-0.9, 0.6, -0.7), (0.3, -0.2, 2.0), turn=-0.3)
    result = flat_depth_warp(image, source, target, plane())
    for view in range(3):
        expected = reference.homography_warp(
            image[0].numpy(),
            source.camera_to_world[0, 0].numpy(),
            target.camera_to_world[0, view].numpy(),
            source.intrinsics[0, 0].numpy(),
            target.intrinsics[0, view].numpy(),
            DEPTH,
        )
        torch.testing.assert_close(result[0, view], torch.from_numpy(expected), atol=1e-12, rtol=0)


def test_a_camera_that_does_not_move_sees_the_image(image) -> None:
    source = camera((0.3, -0.2, 0.1), turn=0.2)
    torch.testing.assert_close(flat_depth_warp(image, source, source, plane())[:, 0], image)


def test_sideways_motion_shifts_by_the_disparity_and_repeats_the_border(image) -> None:
    source = camera((0.0, 0.0, 0.0))
    focal = float(source.intrinsics[0, 0, 0, 0])
    shifted = camera((2 * DEPTH / focal, 0.0, 0.0))  # two pixels of disparity at the plane
    result = flat_depth_warp(image, source, shifted, plane())[0, 0]
    torch.testing.assert_close(result[..., :-2], image[0, ..., 2:])
    torch.testing.assert_close(result[..., -2:], image[0, ..., -1:].expand(-1, -1, 2))


def test_the_world_may_be_moved(image) -> None:
    source, target = camera((0.0, 0.0, 0.0)), camera((0.4, 0.2, -0.3), turn=0.1)
    world = camera((3.0, -5.0, 2.0), turn=0.7).camera_to_world[:, :1]
    moved = [
        Cameras(world @ cameras.camera_to_world, cameras.intrinsics, HEIGHT, WIDTH)
        for cameras in (source, target)
    ]
    torch.testing.assert_close(
        flat_depth_warp(image, *moved, plane()), flat_depth_warp(image, source, target, plane())
    )


def test_a_camera_that_looks_away_sees_the_border(image) -> None:
    result = flat_depth_warp(image, camera((0.0, 0.0, 0.0)), camera((0.0, 0.0, 0.0), turn=2.5), plane())
    assert result.isfinite().all()
    edge = torch.cat((image[..., 0], image[..., -1], image[..., 0, :], image[..., -1, :]), dim=-1)
    assert result.amin() >= edge.amin() and result.amax() <= edge.amax()


def test_cameras_that_do_not_fit_are_refused(image) -> None:
    one = camera((0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="source must have 1 frame, got 2"):
        flat_depth_warp(image, camera((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)), one, plane())
    with pytest.raises(ValueError, match=r"batch axis of image \(1,\)"):
        flat_depth_warp(image, one, trajectory.static(2, height=HEIGHT, width=WIDTH), plane())


def test_nearest_frames_match_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(2, 5, 3, HEIGHT, WIDTH, generator=generator)
    frame_times = torch.tensor([0.0, 0.1, 0.5, 0.6, 1.0])  # gaps of several lengths
    times = torch.rand(2, 7, generator=generator)
    result = nearest_frames(video, frame_times, times)
    for scene in range(2):
        for view in range(7):
            index = reference.nearest_frame(frame_times.numpy(), float(times[scene, view]))
            assert torch.equal(result[scene, view], video[scene, index])


def test_the_nearest_frame_of_a_frame_is_itself() -> None:
    video = torch.rand(2, 5, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    frame_times = torch.linspace(0, 1, 5)
    assert torch.equal(nearest_frames(video, frame_times, frame_times.expand(2, -1)), video)
