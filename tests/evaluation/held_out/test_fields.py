"""Motion that the pixels of a camera show: exact for a common shift, and blind to the layout of Gaussians."""

from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.evaluation.held_out.fields import first_frame_motion, render_scenes
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import unproject

HEIGHT, WIDTH = 11, 13


def with_batch(cameras: Cameras, batch: int = 2) -> Cameras:
    return Cameras(
        cameras.camera_to_world.expand(batch, -1, -1, -1),
        cameras.intrinsics.expand(batch, -1, -1, -1),
        cameras.height,
        cameras.width,
    )


@pytest.fixture
def camera() -> Cameras:
    return with_batch(trajectory.static(1, height=HEIGHT, width=WIDTH))


@pytest.fixture
def walls(camera: Cameras) -> DeformableGaussianField:
    """Two walls of one Gaussian per pixel; the left half of the second one moves."""
    generator = torch.Generator().manual_seed(0)
    depth = 3 + 0.01 * torch.rand(2, HEIGHT, WIDTH, generator=generator)  # no two at the same depth
    means = unproject(depth, camera.camera_to_world[:, 0], camera.intrinsics[:, 0]).flatten(1, 2)
    count = HEIGHT * WIDTH
    gaussians = Gaussians(
        means=means,
        quaternions=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, count, 4),
        scales=torch.full((2, count, 3), 0.1),
        opacities=torch.full((2, count), 0.9),
        harmonics=torch.rand(2, count, 1, 3, generator=generator),
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 0.5, 1.0]))
    motion = field.delta_means.clone()
    motion[1, 1:, means[1, :, 0] < 0] = torch.tensor([[-0.3, 0.2, 0.5], [-0.6, 0.4, 1.0]])[:, None]
    return replace(field, delta_means=motion)


def test_motion_is_that_of_the_gaussians(walls, camera) -> None:
    result = first_frame_motion(walls, camera, torch.tensor([0.25, 1.0]))
    assert result.shape == (2, 2, HEIGHT, WIDTH, 3)
    assert result[0].abs().max() == 0
    # three columns away from the edge nothing of the resting half is blended in
    moving = result[1, :, :, : WIDTH // 2 - 2]
    expected = torch.tensor([[-0.15, 0.1, 0.25], [-0.6, 0.4, 1.0]])[:, None, None].expand_as(moving)
    torch.testing.assert_close(moving, expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        result[1, :, :, WIDTH // 2 + 3 :], torch.zeros(2, HEIGHT, 4, 3), atol=2e-3, rtol=0
    )


def test_order_and_hidden_gaussians_change_nothing(walls, camera) -> None:
    order = torch.randperm(walls.num_gaussians, generator=torch.Generator().manual_seed(1))
    shuffled = walls.select(order)
    hidden = replace(
        walls,
        canonical=replace(walls.canonical, opacities=torch.zeros_like(walls.canonical.opacities)),
        delta_means=walls.delta_means + 1,
    )
    both = replace(
        shuffled,
        canonical=Gaussians(
            *(
                torch.cat((getattr(hidden.canonical, name), getattr(shuffled.canonical, name)), dim=1)
                for name in ("means", "quaternions", "scales", "opacities", "harmonics")
            )
        ),
        **{
            name: torch.cat((getattr(hidden, name), getattr(shuffled, name)), dim=2)
            for name in ("delta_means", "delta_quaternions", "delta_scales")
        },
    )
    times = torch.tensor([1.0])
    torch.testing.assert_close(
        first_frame_motion(both, camera, times), first_frame_motion(walls, camera, times), atol=1e-5, rtol=0
    )


def test_nothing_seen_is_no_motion(walls, camera) -> None:
    away = replace(walls, canonical=replace(walls.canonical, means=-walls.canonical.means))
    assert first_frame_motion(away, camera, torch.tensor([1.0])).abs().max() == 0


def test_each_scene_is_rendered_at_its_own_times(walls, camera) -> None:
    cameras = with_batch(trajectory.static(2, height=HEIGHT, width=WIDTH))
    shown = render_scenes(walls, cameras, torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(shown.color[0, 0], shown.color[0, 1])
    assert not torch.equal(shown.color[1, 0], shown.color[1, 1])
