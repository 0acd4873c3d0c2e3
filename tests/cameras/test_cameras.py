import math

import numpy as np
import pytest
import torch
from reference.geometry_quaternion import slerp, to_matrix

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.geometry import matrix_to_quaternion, project

HEIGHT, WIDTH = 13, 17


def random_cameras(*shape, dtype=torch.float64, seed=0):
    draw = np.random.default_rng(seed)
    transforms, intrinsics = np.zeros((*shape, 4, 4)), np.zeros((*shape, 3, 3))
    for index in np.ndindex(*shape):
        transforms[index][:3, :3] = to_matrix(draw.normal(size=4))
        transforms[index][:3, 3] = draw.normal(size=3)
        transforms[index][3, 3] = 1
        fx, fy, cx, cy = draw.uniform([15, 16, 7, 5], [20, 21, 9, 7])
        intrinsics[index] = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    return Cameras(
        torch.tensor(transforms, dtype=dtype), torch.tensor(intrinsics, dtype=dtype), HEIGHT, WIDTH
    )


def test_properties():
    cameras = random_cameras(2, 3, 5)
    assert cameras.num_frames == 5 and cameras.batch_shape == (2, 3)
    assert cameras.dtype == torch.float64 and cameras.device == torch.device("cpu")
    assert torch.equal(cameras.positions, cameras.camera_to_world[..., :3, 3])
    single = cameras.to(dtype=torch.float32)
    assert single.intrinsics.dtype == single.camera_to_world.dtype == torch.float32
    cameras.validate()
    single.validate()


@pytest.mark.parametrize(
    "camera_to_world, intrinsics, height, message",
    [
        (torch.eye(4), torch.eye(3), 3, "camera_to_world"),
        (torch.zeros(2, 3, 4), torch.eye(3).repeat(2, 1, 1), 3, "camera_to_world"),
        (torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(3, 1, 1), 3, "intrinsics"),
        (torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(2, 1, 1), 0, "height must be at least 1, got 0"),
    ],
)
def test_wrong_shapes_are_refused(without_shape_checker, camera_to_world, intrinsics, height, message):
    with pytest.raises(ValueError, match=message):
        Cameras(camera_to_world, intrinsics, height, WIDTH)


def changed(name, index, value):
    cameras = random_cameras(3)
    tensors = {"camera_to_world": cameras.camera_to_world.clone(), "intrinsics": cameras.intrinsics.clone()}
    tensors[name][index] = value
    return Cameras(**tensors, height=HEIGHT, width=WIDTH)


@pytest.mark.parametrize(
    "name, index, value, message",
    [
        ("camera_to_world", (1, 0, 3), math.nan, "camera_to_world must be finite"),
        ("intrinsics", (1, 0, 0), math.inf, "intrinsics must be finite"),
        ("camera_to_world", (2, 3), torch.tensor([0.0, 0.1, 0.0, 1.0]), "last row"),
        ("camera_to_world", (0, slice(3), slice(3)), 1.1 * torch.eye(3), "rigid"),
        (
            "camera_to_world",
            (0, slice(3), slice(3)),
            torch.diag(torch.tensor([1.0, 1.0, -1.0])),
            "determinant",
        ),
        ("intrinsics", (1, 0, 0), 0.0, "focal lengths > 0, got 0"),
        ("intrinsics", (1, 1, 1), -5.0, "focal lengths > 0, got -5"),
        ("intrinsics", (1, 2, 2), 2.0, "upper triangular"),
    ],
)
def test_validate_refuses_what_is_no_camera(name, index, value, message):
    value = value.double() if isinstance(value, torch.Tensor) else value
    with pytest.raises(ValueError, match=message):
        changed(name, index, value).validate()


def test_select_keeps_the_frame_axis():
    cameras = random_cameras(2, 5)
    for frames, expected in (
        (3, [3]),
        (-1, [4]),
        (slice(1, None, 2), [1, 3]),
        ([4, 0], [4, 0]),
        (torch.tensor([2, 2, 1]), [2, 2, 1]),
    ):
        chosen = cameras.select(frames)
        assert torch.equal(chosen.camera_to_world, cameras.camera_to_world[:, expected])
        assert torch.equal(chosen.intrinsics, cameras.intrinsics[:, expected])
    with pytest.raises(IndexError):
        cameras.select(5)


def test_crop_and_resize_move_projected_points_like_the_image():
    cameras = random_cameras(3)
    local = torch.rand(3, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    rotation, position = cameras.camera_to_world[..., :3, :3], cameras.camera_to_world[..., None, :3, 3]
    points = local @ rotation.mT + position
    pixels, _ = project(points, cameras.camera_to_world, cameras.intrinsics)

    cropped = cameras.crop(2, 3, 5, 7)
    assert (cropped.height, cropped.width) == (5, 7)
    moved, _ = project(points, cropped.camera_to_world, cropped.intrinsics)
    assert torch.allclose(moved, pixels - torch.tensor([3.0, 2.0], dtype=torch.float64))

    resized = cameras.resize(2 * HEIGHT, 3 * WIDTH)
    assert (resized.height, resized.width) == (2 * HEIGHT, 3 * WIDTH)
    scaled, _ = project(points, resized.camera_to_world, resized.intrinsics)
    assert torch.allclose(scaled, pixels * torch.tensor([3.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("rectangle", [(-1, 0, 3, 3), (0, 0, HEIGHT + 1, 3), (0, 15, 3, 3), (0, 0, 0, 3)])
def test_crop_outside_the_image_is_refused(rectangle):
    with pytest.raises(ValueError, match="crop must lie inside"):
        random_cameras(3).crop(*rectangle)


def test_resize_to_nothing_is_refused():
    with pytest.raises(ValueError, match="width"):
        random_cameras(3).resize(5, 0)


def test_at_rest_keeps_the_first_pose_and_each_lens():
    cameras = random_cameras(2, 5)
    resting = cameras.at_rest()
    for i, j in np.ndindex(2, 5):
        assert torch.equal(resting.camera_to_world[i, j], cameras.camera_to_world[i, 0])
    assert torch.equal(resting.intrinsics, cameras.intrinsics)
    assert not torch.equal(cameras.camera_to_world[:, 1:], resting.camera_to_world[:, 1:])


def test_relative_to_makes_the_reference_the_identity():
    cameras = random_cameras(2, 5)
    relative = cameras.relative_to()
    assert torch.allclose(relative.camera_to_world[:, 0], torch.eye(4, dtype=torch.float64), atol=1e-14)
    for i, j in np.ndindex(2, 5):
        expected = (
            np.linalg.inv(cameras.camera_to_world[i, 0].numpy()) @ cameras.camera_to_world[i, j].numpy()
        )
        assert np.allclose(relative.camera_to_world[i, j], expected, atol=1e-13)
    reference = random_cameras(2, seed=1).camera_to_world
    shifted = cameras.relative_to(reference)
    assert torch.allclose(reference[:, None] @ shifted.camera_to_world, cameras.camera_to_world, atol=1e-13)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_interpolate_is_exact_at_the_frames(dtype, tolerance):
    cameras = random_cameras(2, 5, dtype=dtype)
    there = cameras.interpolate(torch.linspace(0, 1, 5))
    assert there.camera_to_world.dtype == dtype
    assert torch.allclose(there.camera_to_world, cameras.camera_to_world, atol=tolerance)
    assert torch.allclose(there.intrinsics, cameras.intrinsics, atol=tolerance)


def test_interpolate_between_frames():
    cameras = random_cameras(3)
    between = cameras.interpolate(torch.tensor([0.65, 0.1], dtype=torch.float64))
    between.validate()
    for row, (first, share) in enumerate(((1, 0.3), (0, 0.2))):
        start, end = cameras.camera_to_world[first], cameras.camera_to_world[first + 1]
        quaternions = [matrix_to_quaternion(matrix[:3, :3]).numpy() for matrix in (start, end)]
        expected = to_matrix(slerp(*quaternions, share))
        assert np.allclose(between.camera_to_world[row, :3, :3], expected, atol=1e-12)
        expected = (1 - share) * start[:3, 3] + share * end[:3, 3]
        assert torch.allclose(between.positions[row], expected, atol=1e-13)
        expected = (1 - share) * cameras.intrinsics[first] + share * cameras.intrinsics[first + 1]
        assert torch.allclose(between.intrinsics[row], expected, atol=1e-13)


def test_interpolate_one_frame_and_its_errors():
    one = random_cameras(1).interpolate(torch.tensor([0.0, 0.4, 1.0]))
    assert torch.allclose(one.camera_to_world, random_cameras(1).camera_to_world.expand(3, 4, 4), atol=1e-14)
    for wrong in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"times must lie in \[0, 1\]"):
            random_cameras(3).interpolate(torch.tensor([0.5, wrong]))


def test_gradients_flow_through_interpolation():
    cameras = random_cameras(3)
    times = torch.tensor([0.2, 0.7], dtype=torch.float64, requires_grad=True)
    translation = cameras.positions.clone().requires_grad_()

    def positions_and_rotations(times, translation):
        matrices = cameras.camera_to_world.clone()
        matrices[:, :3, 3] = translation
        moved = Cameras(matrices, cameras.intrinsics, HEIGHT, WIDTH)
        return moved.interpolate(times).camera_to_world

    assert torch.autograd.gradcheck(positions_and_rotations, (times, translation))


def test_field_of_view():
    intrinsics = field_of_view_to_intrinsics(90.0, height=HEIGHT, width=WIDTH, dtype=torch.float64)
    expected = [[WIDTH / 2, 0, WIDTH / 2], [0, WIDTH / 2, HEIGHT / 2], [0, 0, 1]]
    assert torch.allclose(intrinsics, torch.tensor(expected, dtype=torch.float64))
    for wrong in (0.0, 180.0, math.nan):
        with pytest.raises(ValueError, match="field_of_view_deg"):
            field_of_view_to_intrinsics(wrong, height=HEIGHT, width=WIDTH)


def test_batch_takes_paths_along_the_first_axis():
    cameras = random_cameras(2, 3, 5)
    assert torch.equal(cameras.batch(1).camera_to_world, cameras.camera_to_world[1])
    assert torch.equal(cameras.batch(slice(0, 1)).intrinsics, cameras.intrinsics[:1])
    assert cameras.batch(None).batch_shape == (1, 2, 3) and cameras.batch(0).height == HEIGHT
    with pytest.raises(ValueError, match="batch needs cameras with a batch axis, got none"):
        random_cameras(5).batch(0)
