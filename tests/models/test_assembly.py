import math

import numpy as np
import pytest
import torch
from models.parts import field_values, path, rigid
from reference import models_assembly as reference
from reference.finite_differences import slope

from diff4splat.cameras import Cameras
from diff4splat.geometry import project, quaternion_to_matrix
from diff4splat.models import map_depth, map_displacement, map_rotation
from diff4splat.models.assembly import assemble_field, seen_before
from diff4splat.models.layout import Layout, pixel_layout

BATCH, FRAMES, TIMES, HEIGHT, WIDTH = 2, 3, 4, 5, 7
SIZE = HEIGHT * WIDTH


def randn(*shape: int, seed: int = 0, size: float = 0.3) -> torch.Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Maps:
    """Random raw maps of a short clip, and the field that is made of them."""

    def __init__(
        self, *, cameras: Cameras | None = None, image: torch.Tensor | None = None, **options
    ) -> None:
        self.gaussian_map = randn(BATCH, FRAMES, 12, HEIGHT, WIDTH)
        self.deformation = randn(BATCH, TIMES, FRAMES, 10, HEIGHT, WIDTH, seed=1)
        self.start = randn(BATCH, 1, FRAMES, 10, HEIGHT, WIDTH, seed=2)
        self.cameras = path(BATCH, FRAMES, HEIGHT, WIDTH) if cameras is None else cameras
        self.times = torch.linspace(0, 1, TIMES, dtype=torch.float64)
        self.field = assemble_field(
            self.gaussian_map,
            self.deformation,
            self.start,
            cameras=self.cameras,
            times=self.times,
            image=image,
            layout=None if image is None else pixel_layout(image),
            **options,
        )

    def pixels(self):
        """Every pixel: sample, frame, row, column and index of its Gaussian."""
        for sample in range(BATCH):
            for frame in range(FRAMES):
                for row in range(HEIGHT):
                    for column in range(WIDTH):
                        yield sample, frame, row, column, frame * SIZE + row * WIDTH + column


def test_depth_is_the_limited_exponential() -> None:
    raw = torch.tensor([-9.0, -5.0, -1.3, 0.0, 0.7, 11.0], dtype=torch.float64)
    maps = torch.zeros(6, 12, 1, 1, dtype=torch.float64)
    maps[:, 0, 0, 0] = raw
    expected = [reference.depth(float(value)) for value in raw]
    np.testing.assert_allclose(map_depth(maps)[:, 0, 0].numpy(), expected, rtol=1e-14)


def test_displacement_matches_the_loop() -> None:
    deformation, depth = (
        randn(BATCH, TIMES, FRAMES, 10, HEIGHT, WIDTH),
        randn(BATCH, FRAMES, HEIGHT, WIDTH) + 3,
    )
    cameras = path(BATCH, FRAMES, HEIGHT, WIDTH)
    moved = map_displacement(deformation, depth, cameras)
    assert moved.shape == (BATCH, TIMES, FRAMES, HEIGHT, WIDTH, 3)
    raw, poses = deformation.numpy(), cameras.camera_to_world.numpy()
    expected = np.zeros(moved.shape)
    for b, t, f, h, w in np.ndindex(*moved.shape[:-1]):
        expected[b, t, f, h, w] = reference.displacement(
            raw[b, t, f, :3, h, w], float(depth[b, f, h, w]), poses[b, f]
        )
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-13)


def test_gaussians_at_a_time_are_seen_points_plus_their_displacement() -> None:
    """Deforming the canonical set by Eq. 7 puts a pixel at unproject(depth) + displacement, at every time."""
    maps = Maps()
    poses, intrinsics = maps.cameras.camera_to_world.numpy(), maps.cameras.intrinsics.numpy()
    fields = [maps.field.at(float(time)) for time in maps.times]
    count = FRAMES * SIZE
    means, scales = np.zeros((TIMES, BATCH, count, 3)), np.zeros((TIMES, BATCH, count, 3))
    turns = np.zeros((TIMES, BATCH, count, 3, 3))
    for sample, frame, row, column, index in maps.pixels():
        raw = maps.gaussian_map[sample, frame, :, row, column].numpy()
        depth = reference.depth(raw[0])
        seen = reference.unproject(depth, poses[sample, frame], intrinsics[sample, frame], row, column)
        facing = poses[sample, frame, :3, :3] @ reference.to_matrix(reference.turn(raw[7:11]))
        # a raw value of zero stands for 0.35 pixels in each direction of the image, and their mean along z
        pixel = depth / np.diag(intrinsics[sample, frame])[:2]
        scale = 0.35 * np.array([*pixel, pixel.mean()]) * np.exp(raw[4:7])
        for time in range(TIMES):
            change = maps.deformation[sample, time, frame, :, row, column].numpy()
            moved = reference.displacement(change[:3], depth, poses[sample, frame])
            means[time, sample, index] = seen + moved
            turns[time, sample, index] = facing @ reference.to_matrix(reference.turn(change[3:7]))
            scales[time, sample, index] = scale * np.exp(change[7:])
    for time, gaussians in enumerate(fields):
        np.testing.assert_allclose(gaussians.means.numpy(), means[time], atol=1e-12)
        turned = quaternion_to_matrix(gaussians.quaternions).numpy()
        np.testing.assert_allclose(turned, turns[time], atol=1e-12)
        np.testing.assert_allclose(gaussians.scales.numpy(), scales[time], rtol=1e-12)


# Blocks of sides 4, 2 and 1 that cover an image of 6 x 8: centre and side.
BLOCKS = [(2, 2, 4), (6, 2, 4), (1, 5, 2), (3, 5, 2), (5, 5, 2)]
BLOCKS += [(x + 0.5, y + 0.5, 1) for y in (4, 5) for x in (6, 7)]


@pytest.mark.parametrize("laid_out", [False, True])
def test_field_matches_the_loop_with_its_gradient(laid_out) -> None:
    rows, columns, frames, times = 3, 5, 2, [0.0, 0.4, 1.0]
    leaves = [
        randn(1, frames, 12, rows, columns),
        randn(1, len(times), frames, 10, rows, columns, seed=1),
        randn(1, 1, frames, 10, rows, columns, seed=2),
    ]
    leaves[0][0, :, 4, 0, :2] = torch.tensor([[4.0, -5.0]] * 2)  # beyond the limits of the stretch
    cameras, origin = path(1, frames, 24, 32, seed=4), rigid(1, seed=5, size=0.4)
    image = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    colors = torch.rand(len(BLOCKS), 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    blocks = torch.tensor(BLOCKS, dtype=torch.float64)
    layout = Layout(blocks[None, :, :2], blocks[None, :, 2], colors[None])
    seen = torch.rand(1, frames, rows, columns, generator=torch.Generator().manual_seed(8)) < 0.4

    field = assemble_field(
        *[leaf.requires_grad_() for leaf in leaves],
        cameras=cameras,
        times=torch.tensor(times, dtype=torch.float64),
        seen=seen,
        layout=layout if laid_out else None,
        image=image if laid_out else None,
        origin=origin,
    )

    def by_loop(*arrays: np.ndarray) -> dict[str, np.ndarray]:
        return reference.field(
            *(arrays[0][0], arrays[1][0], arrays[2][0, 0]),
            cameras.camera_to_world[0].numpy(),
            cameras.intrinsics[0].numpy(),
            (24, 32),
            seen=seen[0].numpy(),
            image=image[0].numpy() if laid_out else None,
            blocks=[(*block, color.numpy()) for block, color in zip(BLOCKS, colors, strict=True)],
            origin=origin[0].numpy(),
        )

    values, arrays = field_values(field), [leaf.detach().numpy() for leaf in leaves]
    expected = by_loop(*arrays)
    for name, value in values.items():
        np.testing.assert_allclose(value[0].detach().numpy(), expected[name], atol=1e-12, err_msg=name)
    draw = np.random.default_rng(0)
    probes = {name: draw.normal(size=array.shape) for name, array in expected.items()}
    directions = [draw.normal(size=array.shape) for array in arrays]
    sum((value[0] * torch.from_numpy(probes[name])).sum() for name, value in values.items()).backward()
    got = sum(
        float((leaf.grad * torch.from_numpy(direction)).sum())
        for leaf, direction in zip(leaves, directions, strict=True)
    )
    difference = slope(
        lambda *moved: sum(float(np.sum(array * probes[name])) for name, array in by_loop(*moved).items()),
        arrays,
        directions,
    )
    assert got == pytest.approx(difference, rel=1e-7)


def test_gradients_of_depth_and_displacement() -> None:
    maps = randn(1, 2, 12, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(map_depth, (maps,))
    deformation, depth = randn(1, 2, 2, 10, 2, 3).requires_grad_(), (3 + randn(1, 2, 2, 3)).requires_grad_()
    cameras = path(1, 2, 2, 3)
    assert torch.autograd.gradcheck(lambda d, z: map_displacement(d, z, cameras), (deformation, depth))


def test_canonical_set_is_at_time_zero() -> None:
    maps = Maps()
    poses, intrinsics = maps.cameras.camera_to_world.numpy(), maps.cameras.intrinsics.numpy()
    for sample, frame, row, column, index in maps.pixels():
        raw = maps.gaussian_map[sample, frame, :, row, column].numpy()
        depth = reference.depth(raw[0])
        expected = reference.unproject(depth, poses[sample, frame], intrinsics[sample, frame], row, column)
        back = maps.start[sample, 0, frame, :3, row, column].numpy()
        expected = expected + reference.displacement(back, depth, poses[sample, frame])
        np.testing.assert_allclose(maps.field.canonical.means[sample, index].numpy(), expected, atol=1e-12)


def test_colours_and_opacities() -> None:
    maps = Maps()
    canonical = maps.field.canonical
    for sample, frame, row, column, index in maps.pixels():
        raw = maps.gaussian_map[sample, frame, :, row, column]
        # the constant spherical harmonic is 1 / sqrt(4 pi)
        color = 0.5 + canonical.harmonics[sample, index, 0] / math.sqrt(4 * math.pi)
        torch.testing.assert_close(color, raw[1:4] + 0.5, atol=1e-12, rtol=0)
        opacity = float(canonical.opacities[sample, index])
        assert opacity == pytest.approx(1 / (1 + math.exp(-float(raw[11]) - 3)))


def test_pixels_that_were_seen_have_opacity_zero_and_the_others_keep_theirs() -> None:
    seen = torch.rand(BATCH, FRAMES, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3)) < 0.5
    seen[:, 0] = False
    everything, some = Maps().field.canonical.opacities, Maps(seen=seen).field.canonical.opacities
    assert torch.equal(some, everything * ~seen.flatten(1))


def test_origin_moves_the_whole_field() -> None:
    origin = rigid(BATCH, seed=5, size=1.0)
    still, moved = Maps().field, Maps(origin=origin).field
    for sample in range(BATCH):
        rotation, shift = origin[sample, :3, :3], origin[sample, :3, 3]
        expected = still.canonical.means[sample] @ rotation.T + shift
        torch.testing.assert_close(moved.canonical.means[sample], expected, atol=1e-12, rtol=0)
        expected = still.delta_means[sample] @ rotation.T
        torch.testing.assert_close(moved.delta_means[sample], expected, atol=1e-12, rtol=0)
        expected = rotation @ quaternion_to_matrix(still.canonical.quaternions[sample])
        turned = quaternion_to_matrix(moved.canonical.quaternions[sample])
        torch.testing.assert_close(turned, expected, atol=1e-12, rtol=0)
    assert torch.equal(moved.delta_quaternions, still.delta_quaternions)
    assert torch.equal(moved.canonical.opacities, still.canonical.opacities)


def test_finer_image_gives_more_gaussians_of_the_same_surface() -> None:
    image = torch.rand(BATCH, 3, 3 * HEIGHT, 3 * WIDTH, dtype=torch.float64)
    coarse, fine = Maps(), Maps(image=image)
    assert fine.field.num_gaussians == 9 * SIZE + (FRAMES - 1) * SIZE
    pose, intrinsics = fine.cameras.camera_to_world[:, 0], fine.cameras.intrinsics[:, 0].clone()
    intrinsics[:, :2] *= 3
    still = assemble_field(
        fine.gaussian_map,
        torch.zeros_like(fine.deformation),
        torch.zeros_like(fine.start),
        cameras=fine.cameras,
        times=fine.times,
        image=image,
        layout=pixel_layout(image),
    )
    pixels, depth = project(still.canonical.means[:, : 9 * SIZE], pose, intrinsics)
    centres = torch.stack(
        torch.meshgrid(torch.arange(3.0 * WIDTH) + 0.5, torch.arange(3.0 * HEIGHT) + 0.5, indexing="xy"), -1
    ).double()
    torch.testing.assert_close(pixels, centres.flatten(0, 1).expand(BATCH, -1, 2), atol=1e-9, rtol=0)
    # at the centre of a coarse pixel both grids hold the same value
    middle = depth.reshape(BATCH, 3 * HEIGHT, 3 * WIDTH)[:, 1::3, 1::3]
    torch.testing.assert_close(middle, map_depth(coarse.gaussian_map)[:, 0], rtol=1e-12, atol=0)
    colors = 0.5 + still.canonical.harmonics[:, : 9 * SIZE, 0] / math.sqrt(4 * math.pi)
    torch.testing.assert_close(colors, image.flatten(-2).mT, atol=1e-12, rtol=0)


def test_image_of_another_aspect_is_taken_as_it_is() -> None:
    image = torch.rand(BATCH, 3, 11, 13, dtype=torch.float64)
    assert Maps(image=image).field.num_gaussians == 11 * 13 + (FRAMES - 1) * SIZE


def test_a_layout_needs_its_image() -> None:
    maps = Maps()
    with pytest.raises(ValueError, match="image is needed with a layout"):
        assemble_field(
            maps.gaussian_map,
            maps.deformation,
            maps.start,
            cameras=maps.cameras,
            times=maps.times,
            layout=pixel_layout(torch.rand(BATCH, 3, 5, 7, dtype=torch.float64)),
        )


# --- what an earlier frame has seen


def test_what_was_seen_matches_the_loop() -> None:
    frames, rows, columns = 3, 5, 7
    maps = randn(1, frames, 12, rows, columns, size=0.15)
    changes = randn(1, frames, frames, 10, rows, columns, seed=1, size=0.05)
    cameras, depth = path(1, frames, 24, 32, seed=4), map_depth(maps)
    seen = seen_before(depth, map_displacement(changes, depth, cameras), cameras)
    arrays = (cameras.camera_to_world[0].numpy(), cameras.intrinsics[0].numpy())
    expected = reference.seen_before(maps[0].numpy(), changes[0].numpy(), *arrays, (24, 32))
    assert 0.1 < expected[1:].mean() < 0.9 and not expected[0].any()
    np.testing.assert_array_equal(seen[0].numpy(), expected)


def two_views(
    first_depth: torch.Tensor, second_depth: torch.Tensor, second_pose: torch.Tensor, **options
) -> torch.Tensor:
    """Which of the second frame's Gaussians are redundant, as a grid."""
    intrinsics = torch.tensor([[7.0, 0.0, 3.5], [0.0, 7.0, 2.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    poses = torch.stack((torch.eye(4, dtype=torch.float64), second_pose))[None]
    cameras = Cameras(poses, intrinsics.expand(1, 2, 3, 3), HEIGHT, WIDTH)
    still = torch.zeros(1, 2, 2, HEIGHT, WIDTH, 3, dtype=torch.float64)
    seen = seen_before(
        torch.stack((first_depth, second_depth))[None], options.pop("displacement", still), cameras, **options
    )
    assert not seen[:, 0].any(), "nothing comes before the first frame"
    return seen[0, 1]


def shifted(x: float) -> torch.Tensor:
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = x
    return pose


PLANE = torch.full((HEIGHT, WIDTH), 4.0, dtype=torch.float64)


def test_what_the_first_view_shows_is_redundant_and_what_lies_beside_it_is_new() -> None:
    assert two_views(PLANE, PLANE, shifted(0)).all()
    # 7 pixels of focal length at depth 4: moving by 8/7 brings two columns into view
    seen = two_views(PLANE, PLANE, shifted(2 * 4 / 7))
    assert seen[:, :5].all() and not seen[:, 5:].any()


def test_what_was_hidden_is_new() -> None:
    assert not two_views(PLANE / 2, PLANE, shifted(0)).any()
    half = PLANE.clone()
    half[:, :3] = 2.0
    seen = two_views(half, PLANE, shifted(0))
    # a rim of one pixel is left to the background, which is seen beside it
    assert not seen[:, :2].any() and seen[:, 2:].all()


def test_tolerance_is_relative_to_the_depth() -> None:
    assert two_views(PLANE, PLANE * 1.09, shifted(0)).all()
    assert not two_views(PLANE, PLANE * 1.11, shifted(0)).any()
    assert two_views(PLANE, PLANE * 1.11, shifted(0), tolerance=0.2).all()


def test_what_is_behind_the_earlier_camera_is_new() -> None:
    turned = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64))
    assert not two_views(PLANE, PLANE, turned).any()


def test_movers_are_compared_where_they_were_at_the_earlier_time() -> None:
    # where the second view sees it, the first one looks too; but it came there from far beside
    displacement = torch.zeros(1, 2, 2, HEIGHT, WIDTH, 3, dtype=torch.float64)
    displacement[:, 0, 1, ..., 0] = 40.0
    assert not two_views(PLANE, PLANE, shifted(0), displacement=displacement).any()
    displacement[:, 0, 1, ..., 0] = 0.0
    displacement[:, 1, 1, ..., 0] = 40.0  # where it is at its own time, or later, does not count
    assert two_views(PLANE, PLANE, shifted(0), displacement=displacement).all()


def test_rotation_matches_the_loop_with_its_gradient() -> None:
    """Seen from the camera, a Gaussian turned from q to q r has made the turn q r q^-1."""
    gaussian_map = randn(BATCH, FRAMES, 12, HEIGHT, WIDTH, size=0.7)
    deformation = randn(BATCH, TIMES, FRAMES, 10, HEIGHT, WIDTH, seed=1, size=1.3)
    turned = map_rotation(gaussian_map, deformation).numpy()
    assert turned.shape == (BATCH, TIMES, FRAMES, 3, HEIGHT, WIDTH)
    flipped = 0
    for sample, time, frame, row, column in np.ndindex(BATCH, TIMES, FRAMES, HEIGHT, WIDTH):
        q = reference.turn(gaussian_map[sample, frame, 7:11, row, column].numpy())
        r = reference.turn(deformation[sample, time, frame, 3:7, row, column].numpy())
        seen = reference.multiply(reference.multiply(q, r), q * np.array([1, -1, -1, -1]))
        flipped += seen[0] < 0
        expected = seen[1:] * (-1 if seen[0] < 0 else 1)
        np.testing.assert_allclose(turned[sample, time, frame, :, row, column], expected, atol=1e-12)
    assert flipped, "quaternions of both signs"
    few = (gaussian_map[:1, :1, :, :1, :2], deformation[:1, :1, :1, :, :1, :2])
    assert torch.autograd.gradcheck(map_rotation, tuple(value.clone().requires_grad_() for value in few))
