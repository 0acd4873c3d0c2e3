"""Depth of a photograph sets the geometry of a scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import pipelines_depth_prior as reference

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import pixel_grid, unproject_pixels
from diff4splat.pipelines import DepthPrior, align_depth, apply_depth
from diff4splat.pipelines.depth_prior import first_view

HEIGHT, WIDTH = 23, 29


def one_camera(pose: torch.Tensor | None = None) -> Cameras:
    camera = trajectory.static(1, height=HEIGHT, width=WIDTH)
    return camera if pose is None else replace(camera, camera_to_world=pose[None])


def screen(
    depth: torch.Tensor, camera: Cameras, *, scale_space: str = "log", hidden: bool = False, seed: int = 3
) -> DeformableGaussianField:
    """Four opaque Gaussians per pixel at `depth`, and as many far behind it."""
    pixels = pixel_grid(2 * HEIGHT, 2 * WIDTH).flatten(0, 1) / 2
    there = pixels.floor().long()
    z = depth[there[:, 1], there[:, 0]]
    if hidden:
        pixels, z = torch.cat([pixels, pixels]), torch.cat([z, 3 * z])
    means = unproject_pixels(pixels, z, camera.camera_to_world[0], camera.intrinsics[0])
    count = len(means)
    generator = torch.Generator().manual_seed(seed)
    gaussians = Gaussians(
        means=means,
        quaternions=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=(z / camera.intrinsics[0, 0, 0] / 2)[:, None].expand(count, 3).clone(),
        opacities=torch.full((count,), 0.95),
        harmonics=torch.rand(count, 1, 3, generator=generator),
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    delta_means = 0.1 * torch.randn(2, count, 3, generator=generator)
    delta_means[0] = 0
    delta_scales = 0.01 * torch.randn(2, count, 3, generator=generator)
    delta_scales[0] = 0
    return replace(field, delta_means=delta_means, delta_scales=delta_scales, scale_space=scale_space)


def hills(seed: int, low: float, high: float) -> torch.Tensor:
    coarse = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic")[0, 0]
    return low + (high - low) * smooth.clamp(0, 1)


def tilted() -> torch.Tensor:
    angle = torch.tensor(0.4)
    pose = torch.eye(4)
    pose[0, 0] = pose[2, 2] = angle.cos()
    pose[0, 2], pose[2, 0] = angle.sin(), -angle.sin()
    pose[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    return pose


@pytest.mark.parametrize("pose", [None, tilted()], ids=["origin", "elsewhere"])
def test_first_view_gets_the_depth(pose: torch.Tensor | None) -> None:
    camera = one_camera(pose)
    field = screen(hills(0, 3.0, 3.4), camera)
    wanted = hills(1, 5.0, 5.6)
    seen, visible = first_view(apply_depth(field, DepthPrior(wanted), camera), camera)
    error = ((seen - wanted).abs() / wanted)[visible]
    before = (first_view(field, camera)[0] - wanted).abs() / wanted
    assert visible.all()
    assert error.median() < 0.01 < 0.3 < before.median()


def test_matches_reference() -> None:
    camera = one_camera(tilted())
    field = screen(hills(0, 2.0, 6.0), camera, hidden=True)
    means = field.canonical.means.clone()
    means[:7] = camera.camera_to_world[0, :3, 3] - 2 * camera.camera_to_world[0, :3, 2]  # behind the camera
    means[7:13] = means[7:13] + 5 * camera.camera_to_world[0, :3, 0]  # beside the picture
    field = replace(field, canonical=replace(field.canonical, means=means))
    depth = hills(1, 3.0, 9.0)
    depth[4:9, 6:17] = torch.nan
    changed = apply_depth(field, DepthPrior(depth), camera)
    seen, visible = first_view(field, camera)
    known = (torch.isfinite(depth) & visible).numpy()
    expected = reference.ratios(
        means.double().numpy(),
        depth.double().numpy(),
        seen.double().numpy(),
        known,
        camera.camera_to_world[0].double().numpy(),
        camera.intrinsics[0].double().numpy(),
    )
    ratio = (changed.canonical.scales / field.canonical.scales)[:, 0].double().numpy()
    np.testing.assert_allclose(ratio, expected, rtol=2e-4)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_size_and_motion_grow_with_the_distance(scale_space: str) -> None:
    camera = one_camera(tilted())
    field = screen(hills(0, 3.0, 3.4), camera, scale_space=scale_space)
    changed = apply_depth(field, DepthPrior(2.5 * first_view(field, camera)[0]), camera)
    origin = camera.camera_to_world[0, :3, 3]
    before, after = field.canonical.means - origin, changed.canonical.means - origin
    ratio = after.norm(dim=-1, keepdim=True) / before.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.5), rtol=0.05, atol=0)
    torch.testing.assert_close(changed.at(1.0).means - origin, ratio * (field.at(1.0).means - origin))
    torch.testing.assert_close(changed.at(1.0).scales, ratio * field.at(1.0).scales)
    assert torch.equal(changed.canonical.opacities, field.canonical.opacities)
    assert torch.equal(changed.canonical.harmonics, field.canonical.harmonics)


def test_hidden_gaussians_stay_behind() -> None:
    camera = one_camera()
    field = screen(hills(0, 3.0, 3.4), camera, hidden=True)
    changed = apply_depth(field, DepthPrior(hills(1, 5.0, 5.6)), camera)
    front, behind = changed.canonical.means[:, 2].chunk(2)
    assert bool((behind > 1.5 * front).all())


def test_own_depth_changes_little() -> None:
    camera = one_camera()
    field = screen(hills(0, 3.0, 3.4), camera)
    same = apply_depth(field, DepthPrior(first_view(field, camera)[0]), camera)
    moved = (same.canonical.means - field.canonical.means).norm(dim=-1) / field.canonical.means.norm(dim=-1)
    assert moved.median() < 0.02


def test_depth_and_disparity_are_aligned() -> None:
    predicted = hills(2, 2.0, 8.0)
    predicted[3, 5] = torch.nan
    true = torch.where(torch.isfinite(predicted), predicted, torch.tensor(3.0))
    for kind, values in (("metric", true / 7), ("relative", true * 11), ("disparity", 4 / true - 0.3)):
        aligned = align_depth(DepthPrior(values, kind), predicted)
        torch.testing.assert_close(aligned, true, rtol=1e-4, atol=1e-4)


def test_disparity_fit_is_the_least_absolute_one() -> None:
    generator = torch.Generator().manual_seed(5)
    predicted = hills(2, 2.0, 8.0)
    disparity = 3 / predicted + 0.05 * torch.rand(HEIGHT, WIDTH, generator=generator)
    disparity[:5] = 0.6  # a fifth of it is plainly wrong
    aligned = align_depth(DepthPrior(disparity, "disparity"), predicted)
    scale, shift = reference.fit_disparity(
        disparity.double().flatten().numpy(), predicted.double().flatten().numpy()
    )
    expected = 1 / (scale * disparity + shift).clamp_min(1 / (4 * predicted.max()))
    torch.testing.assert_close(aligned, expected, rtol=5e-3, atol=1e-3)
    assert ((aligned - predicted).abs() / predicted)[5:].median() < 0.05


def test_unknown_depth_stays_unknown() -> None:
    predicted = hills(2, 2.0, 8.0)
    values = predicted.clone()
    values[2:4] = 0.0
    values[4] = torch.inf
    aligned = align_depth(DepthPrior(values, "relative"), predicted)
    assert bool(aligned[2:5].isnan().all())
    assert not bool(aligned[5:].isnan().any())
    far = align_depth(DepthPrior(torch.where(values == 0, 0.0, 1 / predicted), "disparity"), predicted)
    torch.testing.assert_close(far[2:4], torch.full((2, WIDTH), 4 * float(predicted.max())))


@pytest.mark.parametrize(
    ("values", "kind", "error", "words"),
    [
        (torch.ones(9, 9, dtype=torch.int32), "metric", TypeError, "floating point, got torch.int32"),
        (torch.ones(1, 9, 9), "metric", ValueError, r"\[height, width\], got \[1, 9, 9\]"),
        (torch.ones(9, 9), "inverse", ValueError, "metric, relative, disparity, got 'inverse'"),
        (torch.zeros(9, 9), "metric", ValueError, "64 pixels or more, got 0"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_refuses_what_is_no_prior(
    values: torch.Tensor, kind: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        DepthPrior(values, kind)


def test_refuses_depth_as_disparity_and_sizes() -> None:
    predicted = hills(2, 2.0, 8.0)
    with pytest.raises(ValueError, match="larger where the scene is nearer"):
        align_depth(DepthPrior(predicted, "disparity"), predicted)
    with pytest.raises(ValueError, match=r"size of predicted, \[23, 29\], got \[9, 9\]"):
        align_depth(DepthPrior(torch.ones(9, 9)), predicted)
    with pytest.raises(ValueError, match="both be known at 64 pixels"):
        align_depth(DepthPrior(predicted), predicted, mask=predicted < 0)
    camera = one_camera()
    field = screen(predicted, camera)
    with pytest.raises(ValueError, match=r"one frame of \[9, 9\] pixels"):
        apply_depth(field, DepthPrior(torch.ones(9, 9)), camera)
    away = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))  # looks the other way
    with pytest.raises(ValueError, match="known where the scene is seen"):
        apply_depth(field, DepthPrior(predicted), one_camera(away))
