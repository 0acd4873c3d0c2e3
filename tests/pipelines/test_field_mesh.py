"""A ball of Gaussians as a mesh, from all sides and as a scene of one photograph has it."""

import math
from dataclasses import replace

import pytest
import torch
import trimesh
from assets.sphere import ball

from diff4splat.cameras import trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.pipelines import field_mesh, mesh_cameras


def gaussian_ball(centre: tuple[float, float, float], count: int = 4000) -> DeformableGaussianField:
    """Flat Gaussians on a sphere of radius 1 that moves by (0.5, 0, 0); red towards +x, green towards +y."""
    index = torch.arange(count) + 0.5
    polar, around = torch.acos(1 - 2 * index / count), math.pi * (1 + 5**0.5) * index
    normals = torch.stack((polar.sin() * around.cos(), polar.cos(), polar.sin() * around.sin()), dim=-1)
    # the quaternion that turns z to the normal
    turns = torch.nn.functional.normalize(
        torch.stack((1 + normals[:, 2], -normals[:, 1], normals[:, 0], torch.zeros(count)), dim=-1), dim=-1
    )
    colors = rgb_to_harmonics((normals + 1) / 2)[:, None]
    scales = torch.tensor([0.035, 0.035, 0.002]).expand(count, 3)
    gaussians = Gaussians(normals + torch.tensor(centre), turns, scales, torch.full((count,), 0.95), colors)
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    motion = field.delta_means.clone()
    motion[1, :, 0] = 0.5
    return replace(field, delta_means=motion)


@pytest.mark.parametrize("time", [0.0, 1.0])
def test_a_ball_seen_from_all_sides_is_closed(time: float) -> None:
    centre = (0.3, -0.2, 0.5)
    _, _, cameras = ball(num_views=30, side=40)
    calls = []
    mesh = field_mesh(
        gaussian_ball(centre),
        time,
        cameras,
        resolution=96,
        callback=lambda done, of: calls.append((done, of)),
    )
    assert calls[-1] == (30, 30)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    offset = mesh.vertices - torch.tensor([centre[0] + 0.5 * time, *centre[1:]])
    radius = torch.linalg.vector_norm(offset, dim=-1)
    assert radius.median() == pytest.approx(1, abs=0.01) and (radius - 1).abs().quantile(0.99) < 0.03
    assert solid.area == pytest.approx(4 * math.pi, rel=0.12)
    assert (solid.face_normals * (offset[mesh.faces].mean(dim=1)).numpy()).sum(axis=1).min() > -0.2
    assert (mesh.colors - (offset + 1) / 2).abs().mean() < 0.05


def test_views_of_a_path_give_the_front() -> None:
    field = gaussian_ball((0.0, 0.0, 3.0))
    path = trajectory.spiral(9, height=48, width=64)
    views = mesh_cameras(field, path, num_views=11)
    assert (views.num_frames, views.height, views.width) == (11, 48, 64)
    torch.testing.assert_close(views.camera_to_world[0], path.camera_to_world[0])
    torch.testing.assert_close(views.camera_to_world[5], path.camera_to_world[-1])
    mesh = field_mesh(field, 0, views, resolution=64)
    assert mesh.num_faces > 1000
    assert mesh.vertices[:, 2].min() == pytest.approx(2, abs=0.05) and mesh.vertices[:, 2].max() < 3.2
    distance = torch.linalg.vector_norm(mesh.vertices - torch.tensor([0.0, 0, 3]), dim=-1)
    assert (distance - 1).abs().quantile(0.95) < 0.05


def test_refuses_in_words() -> None:
    field, path = gaussian_ball((0.0, 0.0, 3.0), 50), trajectory.static(3, height=16, width=16)
    for options, words in (
        ({"resolution": 4}, "resolution must be from 8 to 4096, got 4"),
        ({"min_alpha": 1.0}, "min_alpha must lie between 0 and 1"),
        ({"min_alpha": 0.999}, "must see a surface"),
    ):
        with pytest.raises(ValueError, match=words):
            field_mesh(field, 0.0, path, **{"resolution": 16, **options})
    with pytest.raises(ValueError, match="no batch axes"):
        field_mesh(field, 0.0, path.batch(None))
    with pytest.raises(ValueError, match="num_views must be at least 4, got 3"):
        mesh_cameras(field, path, num_views=3)
    with pytest.raises(ValueError, match="two or more frames"):
        mesh_cameras(field, path.select(0))
