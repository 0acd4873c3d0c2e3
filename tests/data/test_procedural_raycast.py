import math

import numpy as np
import pytest
import torch
from reference.data_raycast import first_hit, is_inside

from diff4splat.data.procedural.motion import axis_angle_matrix
from diff4splat.data.procedural.raycast import (
    SHAPES,
    Bundles,
    Placement,
    enclosure_hits,
    object_hits,
    surface_points,
)


def one_object(shape, size, rotation, center):
    return Placement(
        shape=torch.tensor([[SHAPES.index(shape)]]),
        size=torch.tensor(size)[None, None],
        rotation=rotation[None, None],
        center=torch.tensor(center)[None, None],
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_object_hits_agree_with_marching(shape):
    generator = torch.Generator().manual_seed(3)
    rotation = axis_angle_matrix(
        torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    )
    size, center = np.array([0.7, 0.4, 1.1]), np.array([0.2, -0.3, 3.0])
    directions = torch.randn(3, 101, generator=generator, dtype=torch.float64) * 0.17
    directions[2] = 1.0
    objects = one_object(shape, size, rotation, center)
    origin = torch.tensor([[0.1, 0.2, -0.3]], dtype=torch.float64)
    hits = object_hits(Bundles(origin=origin, directions=directions[None]), objects)
    found = torch.full((101,), math.inf, dtype=torch.float64)
    found[hits.ray] = hits.distance
    expected = [
        first_hit(shape, size, rotation.numpy(), center, origin[0].numpy(), directions[:, ray].numpy())
        for ray in range(101)
    ]
    assert 30 < np.isfinite(expected).sum() < 95  # both cases occur
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_normals_point_out_of_the_solid(shape):
    generator = torch.Generator().manual_seed(5)
    rotation = axis_angle_matrix(
        torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    )
    size, center = np.array([0.7, 0.5, 0.9]), np.array([0.0, 0.1, 3.0])
    directions = torch.randn(3, 67, generator=generator, dtype=torch.float64) * 0.3
    directions[2] = 1.0
    bundles = Bundles(origin=torch.zeros(1, 3, dtype=torch.float64), directions=directions[None])
    objects = one_object(shape, size, rotation, center)
    hits = object_hits(bundles, objects)
    points = hits.distance * directions[:, hits.ray]
    _, normals, _ = surface_points(hits, points, objects)
    torch.testing.assert_close(normals.norm(dim=0), torch.ones_like(normals[0]))
    for point, normal in zip(points.T.numpy(), normals.T.numpy(), strict=True):
        for step, expected in ((1e-5, False), (-1e-5, True)):
            assert (
                is_inside(shape, (rotation.numpy().T @ (point + step * normal - center)) / size) is expected
            )


def test_rays_inside_a_room_meet_the_nearest_face():
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, -0.1, 1.0]]).T[None]
    low, high = torch.tensor([[-2.0, -3.0, -5.0]]), torch.tensor([[7.0, 1.5, 11.0]])
    bundles = Bundles(origin=torch.zeros(1, 3), directions=directions)
    distance, face = enclosure_hits(bundles, low, high, torch.tensor([100.0]))
    torch.testing.assert_close(distance, torch.tensor([[7.0, 1.5, 11.0]]))
    assert face.tolist() == [[0, 1, 2]]


def test_dome_cuts_the_room():
    directions = torch.tensor([[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]).T[None]
    low, high = torch.full((1, 3), -200.0), torch.tensor([[200.0, 1.5, 200.0]])
    bundles = Bundles(origin=torch.tensor([[0.0, 0.0, 1.0]]), directions=directions)
    distance, face = enclosure_hits(bundles, low, high, torch.tensor([31.0]))
    torch.testing.assert_close(distance, torch.tensor([[15.0, 1.5]]))  # (31 - 1) / 2, and the floor
    assert face.tolist() == [[3, 1]]
