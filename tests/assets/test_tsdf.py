"""Fusing depth: analytic scenes, a slow reference in float64, bounds on memory."""

import math

import pytest
import torch
from assets.sphere import CENTRE, RADIUS, ball, wall
from reference.assets_tsdf import fused_distance

from diff4splat.assets import DistanceVolume, fuse_depth, surface_weights


def test_matches_the_loop_over_views(monkeypatch: pytest.MonkeyPatch) -> None:
    depth, color, cameras = ball(num_views=5, side=37)
    volume = fuse_depth(depth, color, cameras, voxel_size=0.11, truncation=0.47)
    generator = torch.Generator().manual_seed(3)
    points, distances, weights = [], [], []
    for _ in range(200):
        block = int(torch.randint(len(volume.blocks), (), generator=generator))
        inside = torch.randint(8, (3,), generator=generator)
        points.append((volume.blocks[block] * 8 + inside) * 0.11)
        distances.append(volume.distance[(block, *inside)])
        weights.append(volume.weight[(block, *inside)])
    matrices = (cameras.camera_to_world.double().numpy(), cameras.intrinsics.double().numpy())
    for point, distance, weight in zip(points, distances, weights, strict=True):
        expected = fused_distance(point.double().numpy(), depth.double().numpy(), *matrices, 0.47)
        assert float(weight) == pytest.approx(expected[1], abs=1e-4)
        assert float(distance) == pytest.approx(expected[0], abs=1e-4)
    assert sum(float(weight) > 0 for weight in weights) > 50


def test_distance_of_a_wall_is_its_distance() -> None:
    depth, color, cameras = wall()
    volume = fuse_depth(depth, color, cameras, voxel_size=0.05)
    assert volume.truncation == pytest.approx(0.2)
    true = (3 - voxels(volume)[..., 2]) / volume.truncation
    seen = (volume.weight > 0) & (true.abs() < 0.9)
    assert seen.sum() > 3000
    assert (volume.distance - true)[seen].abs().max() < 0.06, "the cosine is of first order"
    torch.testing.assert_close(volume.color[seen], torch.tensor([0.2, 0.6, 0.9]).expand(int(seen.sum()), 3))


def test_a_view_through_a_speck_takes_it_away() -> None:
    depth, color, cameras = wall()
    depth = depth.clone()
    depth[0, 20:24, 20:24] = 2.0  # in the first of three views something floats before the wall
    ones = torch.ones_like(depth)
    volume = fuse_depth(depth, color, cameras, voxel_size=0.05, weights=ones)
    behind = (voxels(volume)[..., 2] - 2.05).abs() < 0.06
    assert (behind & (volume.weight > 0)).any(), "there are voxels around it"
    assert (volume.distance[behind & (volume.weight > 2.5)] > 0).all(), "which two views see through"


def voxels(volume: DistanceVolume) -> torch.Tensor:
    inside = torch.stack(torch.meshgrid(*[torch.arange(8)] * 3, indexing="ij"), dim=-1)
    return (volume.blocks[:, None, None, None] * 8 + inside) * volume.voxel_size


def test_the_median_pixel_sets_the_voxel() -> None:
    depth, color, cameras = wall()
    volume = fuse_depth(depth, color, cameras)
    assert volume.voxel_size == pytest.approx(2 * 3 / float(cameras.intrinsics[0, 0, 0]), rel=1e-5)
    assert volume.num_voxels == len(volume.blocks) * 512


def test_refuses_in_words() -> None:
    depth, color, cameras = ball(num_views=5, side=37)
    for options, words in (
        ({"voxel_size": 0}, "voxel_size must be a positive number, got 0"),
        ({"voxel_size": math.nan}, "voxel_size must be a positive number, got nan"),
        ({"voxel_size": 0.1, "truncation": 0.1}, "truncation must be at least 2 voxels"),
        ({"voxel_size": 1e-7}, "voxel_size 1e-07 is too small for a scene of size"),
        ({"voxel_size": 0.05, "max_voxels": 50_000}, "needs more than max_voxels=50000 voxels; one of 0"),
        ({"weights": torch.full_like(depth, -1)}, "weights must be finite and >= 0"),
        ({"weights": torch.zeros_like(depth)}, "depth must be known"),
    ):
        with pytest.raises(ValueError, match=words):
            fuse_depth(depth, color, cameras, **options)
    with pytest.raises(ValueError, match=r"cameras must be one per map and of its size, \[5, 37, 37\], got"):
        fuse_depth(depth, color, cameras.resize(36, 37))


def test_the_voxel_that_is_named_fits() -> None:
    depth, color, cameras = ball(num_views=5, side=37)
    with pytest.raises(ValueError, match="or more should do") as caught:
        fuse_depth(depth, color, cameras, voxel_size=0.02, max_voxels=200_000)
    size = float(str(caught.value).split("one of ")[1].split(" ")[0])
    assert fuse_depth(depth, color, cameras, voxel_size=size, max_voxels=200_000).num_voxels <= 200_000


def test_the_surface_of_a_ball_lies_in_the_blocks() -> None:
    depth, color, cameras = ball(num_views=5, side=37)
    weights = surface_weights(depth, cameras.intrinsics)
    volume = fuse_depth(depth, color, cameras, weights=weights, voxel_size=0.1)
    places = (volume.blocks * 8 + 3.5) * 0.1
    reach = (torch.linalg.vector_norm(places - CENTRE, dim=-1) - RADIUS).abs()
    assert reach.max() < 0.8 * math.sqrt(3) / 2 + 0.4 + 0.1
