"""Camera paths fitted to the model, invented for new views, and rendered."""

import numpy as np
import pytest
import torch
from reference import cameras_trajectory as reference

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import project
from diff4splat.pipelines import depth_video, fit_cameras, focus_depth, render_path, sway_cameras
from diff4splat.rendering import Rendering


def random_field(count: int = 29, seed: int = 0) -> DeformableGaussianField:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    means = (uniform(count, 3) - 0.5) * 2 + torch.tensor([0.0, 0.0, 3.0])
    gaussians = Gaussians(
        means=means,
        quaternions=torch.nn.functional.normalize(uniform(count, 4) + 0.1, dim=-1),
        scales=0.1 + 0.2 * uniform(count, 3),
        opacities=0.2 + 0.7 * uniform(count),
        harmonics=uniform(count, 1, 3),
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    field.delta_means[1] = 0.3
    return field


def test_fitted_intrinsics_follow_the_pixels() -> None:
    cameras = trajectory.spiral(5, height=60, width=90)
    fitted = fit_cameras(cameras, height=24, width=24)
    points = torch.tensor([[0.3, -0.2, 3.0], [-0.5, 0.4, 4.0]]).expand(5, 2, 3)
    before, depth_before = project(points, cameras.camera_to_world, cameras.intrinsics)
    after, depth_after = project(points, fitted.camera_to_world, fitted.intrinsics)
    expected = (before - torch.tensor([15.0, 0.0])) * (24 / 60)  # the centred square starts at column 15
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(depth_after, depth_before)
    assert (fitted.height, fitted.width) == (24, 24)


def test_fit_does_not_depend_on_the_world_frame() -> None:
    cameras = trajectory.spiral(5, height=32, width=32)
    angle = torch.tensor(0.7)
    move = torch.eye(4)
    move[0, 0] = move[2, 2] = angle.cos()
    move[0, 2], move[2, 0] = angle.sin(), -angle.sin()
    move[:3, 3] = torch.tensor([5.0, -3.0, 11.0])
    moved = Cameras(move @ cameras.camera_to_world, cameras.intrinsics, 32, 32)
    plain, fitted = (fit_cameras(path, height=16, width=16, num_frames=7) for path in (cameras, moved))
    torch.testing.assert_close(fitted.camera_to_world, plain.camera_to_world, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fitted.camera_to_world[0], torch.eye(4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("given", [2, 5, 49])
def test_fit_resamples_between_first_and_last(given: int) -> None:
    cameras = trajectory.forward(given, height=32, width=32, amplitude=1.5)
    fitted = fit_cameras(cameras, height=32, width=32, num_frames=7)
    expected = torch.linspace(0, 1.5, 7)
    torch.testing.assert_close(fitted.camera_to_world[:, 2, 3], expected, atol=1e-5, rtol=0)


def test_fit_refuses() -> None:
    cameras = trajectory.spiral(5, height=32, width=32)
    bad = cameras.camera_to_world.clone()
    bad[2, 0, 0] = torch.nan
    stretched = cameras.camera_to_world.clone()
    stretched[:, :3, :3] *= 1.5
    for matrix, message in (
        (bad, "camera_to_world must be finite"),
        (stretched, "camera_to_world must be rigid"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_cameras(Cameras(matrix, cameras.intrinsics, 32, 32), height=16, width=16)
    with pytest.raises(ValueError, match="cameras must have at least 2 frames, got 1"):
        fit_cameras(cameras.select(slice(0, 1)), height=16, width=16)
    batched = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], 32, 32)
    with pytest.raises(ValueError, match=r"without batch axes, got batch axes \[1\]"):
        fit_cameras(batched, height=16, width=16)


def test_focus_depth_is_the_weighted_median() -> None:
    field = random_field(31)
    depth = field.canonical.means[:, 2].double().numpy()
    weight = field.canonical.opacities.double().numpy()
    order = np.argsort(depth)
    total, reached = weight.sum(), 0.0
    for index in order:
        reached += weight[index]
        if reached >= total / 2:
            break
    assert focus_depth(field) == pytest.approx(depth[index], rel=1e-6)


def test_focus_depth_ignores_what_is_behind_the_camera() -> None:
    field = random_field(31)
    flipped = field.canonical.means * torch.tensor([1.0, 1.0, -1.0])
    behind = Gaussians(
        flipped,
        field.canonical.quaternions,
        field.canonical.scales,
        field.canonical.opacities,
        field.canonical.harmonics,
    )
    assert focus_depth(DeformableGaussianField.from_gaussians(behind, torch.tensor([0.0]))) == 1.0


@pytest.mark.parametrize("name", trajectory.NAMES)
def test_sway_is_rigid_looks_at_the_focus_and_was_not_commanded(name: str) -> None:
    commanded = fit_cameras(trajectory.by_name(name, 11, height=48, width=48), height=48, width=48)
    sway = sway_cameras(commanded, focus_depth=3.5)
    sway.validate()
    torch.testing.assert_close(sway.camera_to_world[0], torch.eye(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(sway.camera_to_world[-1], torch.eye(4), atol=1e-5, rtol=0)
    focus = torch.tensor([0.0, 0.0, 3.5]).expand(11, 1, 3)
    seen, _ = project(focus, sway.camera_to_world, sway.intrinsics)
    torch.testing.assert_close(seen[:, 0], torch.full((11, 2), 24.0), atol=1e-3, rtol=0)
    distance = (sway.positions - commanded.positions).norm(dim=-1)
    assert distance.max() > 0.03 * 3.5
    assert 0.03 * 3.5 < sway.positions.norm(dim=-1).max() < 0.14 * 3.5


@pytest.mark.parametrize("amplitude", [0.01, 0.6, 5.0])
def test_sway_matches_the_loop(amplitude: float) -> None:
    """Below, between and above the least and the largest sway."""
    commanded = trajectory.upward(5, height=48, width=48, amplitude=amplitude)
    sway = sway_cameras(commanded, focus_depth=3.5, num_frames=11)
    for matrix, share in zip(sway.camera_to_world.numpy(), np.linspace(0, 1, 11), strict=True):
        eye = reference.sway_position(share, amplitude, 3.5)
        expected = reference.look_at(eye, np.array([0.0, 0.0, 3.5]))
        # float32 rounding
        np.testing.assert_allclose(matrix, expected, atol=1e-6)


@pytest.mark.parametrize("focus", [0.0, -1.0, float("nan"), float("inf")])
def test_sway_refuses_a_focus_that_is_no_depth(focus: float) -> None:
    with pytest.raises(ValueError, match="focus_depth must be a positive number"):
        sway_cameras(trajectory.spiral(3, height=16, width=16), focus_depth=focus)


@pytest.mark.parametrize("group", [1, 2, 5, 7])
def test_rendering_in_groups_changes_nothing(group: int) -> None:
    field, cameras = random_field(), trajectory.spiral(5, height=17, width=19)
    whole = field.render(cameras, torch.linspace(0, 1, 5))
    seen = []
    film = render_path(
        field, cameras, frames_per_call=group, callback=lambda done, total: seen.append((done, total))
    )
    for name in ("color", "alpha", "depth"):
        torch.testing.assert_close(getattr(film, name), getattr(whole, name))
    assert seen == [(min(first + group, 5), 5) for first in range(0, 5, group)]


def test_render_path_takes_times_and_background() -> None:
    field, cameras = random_field(), trajectory.static(3, height=17, width=19)
    still = render_path(field, cameras, torch.full((3,), 0.25), background=torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(still.color[0], still.color[2])
    moving = render_path(field, cameras)
    assert (moving.color[0] - moving.color[2]).abs().max() > 0.1
    corner = still.color[0, :, 0, 0] - still.alpha[0, 0, 0, 0] * still.color[0, :, 0, 0]
    assert torch.isfinite(corner).all()


def test_render_path_refuses() -> None:
    field, cameras = random_field(), trajectory.static(3, height=17, width=19)
    with pytest.raises(ValueError, match="times must have one entry per camera, expected 3, got 2"):
        render_path(field, cameras, torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="frames_per_call must be at least 1, got 0"):
        render_path(field, cameras, frames_per_call=0)


def film_of(depth: torch.Tensor, alpha: torch.Tensor) -> Rendering:
    frames, height, width = depth.shape
    return Rendering(torch.zeros(frames, 3, height, width), alpha[:, None], depth[:, None])


def test_depth_video_is_brighter_where_near_and_black_where_empty() -> None:
    depth = torch.linspace(1, 5, 7 * 5 * 11).reshape(7, 5, 11)
    alpha = torch.ones_like(depth)
    alpha[:, :, 10] = 0.2
    video = depth_video(film_of(depth, alpha))
    luma = (video * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1)
    assert (luma[:, :, :10].flatten().diff() <= 1e-4).all(), "time and place do not change the meaning"
    assert luma[0, 0, 0] > luma[-1, -1, 9] + 0.3
    assert (video[..., 10] == 0).all()


def test_depth_video_of_a_flat_and_of_an_empty_scene() -> None:
    ones = torch.ones(2, 5, 7)
    flat = depth_video(film_of(3 * ones, ones))
    assert torch.isfinite(flat).all() and flat.std(dim=(0, 2, 3)).max() < 1e-6 and flat.max() > 0
    assert (depth_video(film_of(0 * ones, 0 * ones)) == 0).all()
