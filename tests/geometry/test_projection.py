import numpy as np
import pytest
import torch
from reference import geometry_projection as reference
from reference.geometry_quaternion import to_matrix

from diff4splat.geometry import (
    depth_to_distance,
    distance_to_depth,
    pixel_grid,
    pixel_rays,
    project,
    rigid_inverse,
    unproject,
    unproject_pixels,
)

HEIGHT, WIDTH = 5, 7
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}


def random_cameras(*batch, dtype=torch.float64, seed=0):
    """Rigid transforms and intrinsics with skew and different focal lengths."""
    draw = np.random.default_rng(seed)
    transforms = np.zeros((*batch, 4, 4))
    intrinsics = np.zeros((*batch, 3, 3))
    for index in np.ndindex(*batch):
        transforms[index] = np.eye(4)
        transforms[index][:3, :3] = to_matrix(draw.normal(size=4))
        transforms[index][:3, 3] = draw.normal(size=3)
        fx, fy, cx, cy, skew = draw.uniform([5, 6, 3, 2, 0.1], [9, 8, 4, 3, 0.5])
        intrinsics[index] = [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]
    return torch.tensor(transforms, dtype=dtype), torch.tensor(intrinsics, dtype=dtype)


def random_depth(*batch, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    return 1 + 4 * torch.rand(*batch, HEIGHT, WIDTH, generator=generator, dtype=dtype)


def test_pixel_grid_holds_centres():
    grid = pixel_grid(HEIGHT, WIDTH, dtype=torch.float64)
    assert grid.shape == (HEIGHT, WIDTH, 2) and grid.dtype == torch.float64
    assert grid[0, 0].tolist() == [0.5, 0.5]
    assert grid[-1, 2].tolist() == [2.5, HEIGHT - 0.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unproject_matches_the_loop(dtype):
    transforms, intrinsics = random_cameras(2, 3, dtype=dtype)
    depth = random_depth(2, 3, dtype=dtype)
    points = unproject(depth, transforms, intrinsics)
    assert points.shape == (2, 3, HEIGHT, WIDTH, 3) and points.dtype == dtype
    for i, j in np.ndindex(2, 3):
        arguments = (tensor[i, j].double().numpy() for tensor in (depth, transforms, intrinsics))
        assert np.allclose(points[i, j].double(), reference.unproject(*arguments), atol=TOLERANCE[dtype])


def test_unprojected_pixels_are_projected_back_by_the_loop():
    transforms, intrinsics = random_cameras(3)
    generator = torch.Generator().manual_seed(2)
    pixels = 7 * torch.rand(3, 11, 2, generator=generator, dtype=torch.float64)
    depth = 1 + torch.rand(3, 11, generator=generator, dtype=torch.float64)
    points = unproject_pixels(pixels, depth, transforms, intrinsics)
    for index in range(3):
        back = reference.project(points[index].numpy(), transforms[index].numpy(), intrinsics[index].numpy())
        assert np.allclose(back[0], pixels[index], atol=1e-11)
        assert np.allclose(back[1], depth[index], atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_project_matches_the_loop(dtype):
    transforms, intrinsics = random_cameras(2, 3, dtype=dtype)
    local = torch.rand(2, 3, 11, 3, dtype=dtype, generator=torch.Generator().manual_seed(1)) + 0.5
    points = torch.einsum("...ij,...nj->...ni", transforms[..., :3, :3], local) + transforms[..., None, :3, 3]
    pixels, depth = project(points, transforms, intrinsics)
    assert pixels.shape == (2, 3, 11, 2) and depth.shape == (2, 3, 11)
    for i, j in np.ndindex(2, 3):
        arguments = (tensor[i, j].double().numpy() for tensor in (points, transforms, intrinsics))
        expected_pixels, expected_depth = reference.project(*arguments)
        assert np.allclose(pixels[i, j].double(), expected_pixels, atol=TOLERANCE[dtype])
        assert np.allclose(depth[i, j].double(), expected_depth, atol=TOLERANCE[dtype])


def test_projecting_unprojected_pixels_gives_them_back():
    transforms, intrinsics = random_cameras(2, 3)
    depth = random_depth(2, 3)
    points = unproject(depth, transforms, intrinsics).flatten(-3, -2)
    pixels, z = project(points, transforms, intrinsics)
    grid = pixel_grid(HEIGHT, WIDTH, dtype=torch.float64).flatten(0, 1)
    assert torch.allclose(pixels, grid.expand_as(pixels), atol=1e-12)
    assert torch.allclose(z, depth.flatten(-2), atol=1e-12)


def test_points_behind_the_camera_have_negative_depth():
    transform, intrinsics = torch.eye(4), torch.eye(3)
    _, depth = project(torch.tensor([[0.0, 0.0, -2.0]]), transform, intrinsics)
    assert depth.tolist() == [-2.0]


def test_rigid_inverse_undoes_the_transform_and_has_its_gradient():
    transforms, _ = random_cameras(2, 3)
    inverse = rigid_inverse(transforms)
    assert np.allclose(inverse, np.linalg.inv(transforms.numpy()), atol=1e-12)
    torch.autograd.gradcheck(rigid_inverse, transforms[0, :1].clone().requires_grad_())


def test_depth_and_distance_are_inverse():
    _, intrinsics = random_cameras(3)
    depth = random_depth(3)
    distance = depth_to_distance(depth, intrinsics)
    for index in range(3):
        expected = reference.distance(depth[index].numpy(), intrinsics[index].numpy())
        assert np.allclose(distance[index], expected, atol=1e-12)
    assert torch.allclose(distance_to_depth(distance, intrinsics), depth, atol=1e-13)


def test_pixel_rays_have_unit_depth():
    _, intrinsics = random_cameras(3)
    rays = pixel_rays(intrinsics, height=HEIGHT, width=WIDTH)
    assert rays.shape == (3, HEIGHT, WIDTH, 3) and (rays[..., 2] == 1).all()


def test_gradients():
    transforms, intrinsics = (tensor.requires_grad_() for tensor in random_cameras(2))
    depth = random_depth(2)[:, :2, :3].requires_grad_()
    points = torch.tensor([[[0.2, -0.3, 9.0]], [[0.1, 0.4, 8.0]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unproject, (depth, transforms, intrinsics))
    assert torch.autograd.gradcheck(project, (points, transforms, intrinsics))
    pixels = torch.tensor([[[1.2, 3.3]], [[0.4, 2.7]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unproject_pixels, (pixels, depth[:, 0, :1], transforms, intrinsics))
    assert torch.autograd.gradcheck(depth_to_distance, (depth, intrinsics))
    assert torch.autograd.gradcheck(distance_to_depth, (depth, intrinsics))
