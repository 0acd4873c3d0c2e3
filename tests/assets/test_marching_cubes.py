"""Meshes cut out of fused depth, measured by trimesh, which reads them on its own."""

import math

import pytest
import torch
import trimesh
from assets.sphere import CENTRE, ball, wall
from scipy.spatial import cKDTree

from diff4splat.assets import DistanceVolume, Mesh, fuse_depth, volume_to_mesh
from diff4splat.assets import marching_cubes as module


def read(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


@pytest.fixture(scope="module")
def volume() -> DistanceVolume:
    depth, color, cameras = ball()
    return fuse_depth(depth, color, cameras)


def test_a_ball_is_closed_and_as_large_as_it_is(volume: DistanceVolume) -> None:
    assert len({tuple(place) for place in (volume.blocks // 8).tolist()}) > 7, "it spans several tiles"
    mesh = volume_to_mesh(volume)
    solid = read(mesh)
    assert solid.is_watertight and solid.is_winding_consistent and len(solid.split()) == 1
    assert solid.volume == pytest.approx(4 / 3 * math.pi, rel=0.003), "positive: faces look outwards"
    assert solid.euler_number == 2
    radius = torch.linalg.vector_norm(mesh.vertices - CENTRE, dim=-1)
    assert (radius - 1).abs().max() < 0.12 * volume.voxel_size
    assert (radius - 1).mean().abs() < 0.01 * volume.voxel_size
    torch.testing.assert_close(mesh.colors, (mesh.vertices - CENTRE + 1) / 2, rtol=0, atol=0.02)


def test_tiles_leave_no_trace(volume: DistanceVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    meshes = []
    for tile in (3, 16):
        monkeypatch.setattr(module, "_TILE", tile)
        meshes.append(volume_to_mesh(volume))
    few, many = meshes[1], meshes[0]
    assert (few.num_vertices, few.num_faces) == (many.num_vertices, many.num_faces)
    distance, partner = cKDTree(few.vertices.numpy()).query(many.vertices.numpy())
    assert distance.max() < 1e-5 and len(set(partner.tolist())) == few.num_vertices


def test_a_wall_is_open_flat_and_faces_the_cameras() -> None:
    depth, color, cameras = wall()
    mesh = volume_to_mesh(fuse_depth(depth, color, cameras, voxel_size=0.07))
    solid = read(mesh)
    assert not solid.is_watertight and len(solid.split(only_watertight=False)) == 1
    assert (mesh.vertices[:, 2] - 3).abs().max() < 1e-3
    assert (solid.face_normals[:, 2] < -0.99).all()
    reach = 3 * math.tan(math.radians(30))
    assert solid.bounds[1][1] == pytest.approx(reach, abs=0.2) and solid.bounds[0][1] == pytest.approx(
        -reach, abs=0.2
    )
    torch.testing.assert_close(mesh.colors, torch.tensor([0.2, 0.6, 0.9]).expand_as(mesh.colors))


def test_two_walls_are_not_joined_and_small_pieces_go() -> None:
    depth, color, cameras = wall()
    depth = depth.clone()
    depth[:, 18:30, 18:30] = 2.0
    volume = fuse_depth(depth, color, cameras, voxel_size=0.06)
    both = read(volume_to_mesh(volume))
    distance = torch.minimum(*((torch.tensor(both.vertices[:, 2]) - z).abs() for z in (2.0, 3.0)))
    assert distance.max() < 4 * 0.06, "nothing between them, but for the truncation"
    assert len(both.split(only_watertight=False)) >= 2
    large = volume_to_mesh(volume, min_share=0.3)
    assert len(read(large).split(only_watertight=False)) == 1 and 0 < large.num_faces < len(both.faces)


def test_what_was_seen_too_little_is_left_out(volume: DistanceVolume) -> None:
    assert volume_to_mesh(volume, min_weight=1e6).num_faces == 0
    some = volume_to_mesh(volume, min_weight=float(volume.weight[volume.weight > 0].median()))
    assert 0 < some.num_faces < volume_to_mesh(volume).num_faces


def test_a_missing_package_is_named(volume: DistanceVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage.measure", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "diff4splat\[mesh\]"'):
        volume_to_mesh(volume)
