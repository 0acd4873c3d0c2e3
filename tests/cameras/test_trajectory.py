import math

import numpy as np
import pytest
import torch
from reference import cameras_trajectory as reference
from reference.geometry_quaternion import to_matrix

from diff4splat.cameras import Cameras, trajectory
from diff4splat.geometry import project

HEIGHT, WIDTH, FRAMES = 32, 48, 23


def distances(cameras):
    return cameras.positions.diff(dim=0).norm(dim=-1)


@pytest.mark.parametrize("name", trajectory.NAMES)
@pytest.mark.parametrize("num_frames", [1, 2, FRAMES])
def test_every_trajectory_starts_at_the_input_camera(name, num_frames):
    cameras = trajectory.by_name(name, num_frames, height=HEIGHT, width=WIDTH)
    cameras.validate()
    assert isinstance(cameras, Cameras) and cameras.batch_shape == ()
    assert cameras.num_frames == num_frames and (cameras.height, cameras.width) == (HEIGHT, WIDTH)
    assert torch.allclose(cameras.camera_to_world[0], torch.eye(4), atol=1e-7)
    focal = WIDTH / 2 / math.tan(math.radians(30))
    expected = torch.tensor([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    assert torch.allclose(cameras.intrinsics, expected.expand(num_frames, 3, 3))


SHARES = np.linspace(0, 1, FRAMES)


def assert_poses(cameras, expected):
    # float32 rounding of coordinates of a few units
    np.testing.assert_allclose(cameras.camera_to_world.numpy(), np.stack(list(expected)), atol=2e-6)


@pytest.mark.parametrize(
    ("amplitude", "turns", "focus"), [(0.5, 1.0, 4.0), (0.7, 2.5, 1.3), (-0.3, -0.4, 3.0)]
)
def test_spiral_matches_the_closed_form(amplitude, turns, focus):
    cameras = trajectory.spiral(
        FRAMES, height=HEIGHT, width=WIDTH, amplitude=amplitude, turns=turns, focus_depth=focus
    )
    eyes = [reference.spiral_position(share, amplitude, turns) for share in SHARES]
    assert_poses(cameras, [reference.look_at(eye, np.array([0, 0, focus])) for eye in eyes])


def test_default_spiral_goes_once_around_and_half_a_unit_out():
    end = trajectory.spiral(FRAMES, height=HEIGHT, width=WIDTH).positions[-1]
    assert torch.allclose(end, torch.tensor([0.5, 0.0, 0.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "end", "default"),
    [
        ("forward", (0, 0, 1), 1.0),
        ("backward", (0, 0, -1), 1.0),
        ("upward", (0, -1, 0), 0.5),
        ("downward", (0, 1, 0), 0.5),
        ("static", (0, 0, 0), 0.0),
    ],
)
def test_straight_paths_match_the_loop(name, end, default):
    cameras = trajectory.by_name(name, FRAMES, height=HEIGHT, width=WIDTH)
    assert_poses(cameras, [reference.straight(share, default * np.array(end)) for share in SHARES])
    cameras = trajectory.by_name(name, FRAMES, height=HEIGHT, width=WIDTH, amplitude=1.7)
    assert_poses(cameras, [reference.straight(share, 1.7 * np.array(end)) for share in SHARES])


@pytest.mark.parametrize(("degrees", "focus"), [(360.0, 4.0), (-70.0, 1.3)])
def test_orbit_matches_the_loop(degrees, focus):
    cameras = trajectory.orbit(FRAMES, height=HEIGHT, width=WIDTH, degrees=degrees, focus_depth=focus)
    eyes = [reference.orbit_position(share, degrees, focus) for share in SHARES]
    assert_poses(cameras, [reference.look_at(eye, np.array([0, 0, focus])) for eye in eyes])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_keyframes_match_the_loop(count):
    keys = random_keys(count)
    cameras = trajectory.keyframes(keys, FRAMES, height=HEIGHT, width=WIDTH)
    poses = [key.double().numpy() for key in keys]
    assert_poses(cameras, [reference.keyframe(poses, share) for share in SHARES])


@pytest.mark.parametrize("name", trajectory.NAMES)
def test_speed_is_constant(name):
    steps = distances(trajectory.by_name(name, FRAMES, height=HEIGHT, width=WIDTH))
    # Arcs are equal; near the centre of a spiral, where it curves most, chords are up to 11 % shorter.
    assert steps.max() - steps.min() <= (0.11 if name == "spiral" else 1e-5) * steps.max() + 1e-6


@pytest.mark.parametrize(
    "name, end",
    [
        ("forward", (0, 0, 0.7)),
        ("backward", (0, 0, -0.7)),
        ("upward", (0, -0.7, 0)),
        ("downward", (0, 0.7, 0)),
    ],
)
def test_straight_paths_translate_without_turning(name, end):
    cameras = trajectory.by_name(name, FRAMES, height=HEIGHT, width=WIDTH, amplitude=0.7)
    assert torch.allclose(cameras.positions[-1], torch.tensor(end, dtype=torch.float32))
    assert torch.equal(cameras.camera_to_world[:, :3, :3], torch.eye(3).expand(FRAMES, 3, 3))


@pytest.mark.parametrize("name", ["spiral", "orbit"])
def test_the_focus_point_stays_at_the_image_centre(name):
    cameras = trajectory.by_name(name, FRAMES, height=HEIGHT, width=WIDTH, focus_depth=3.0)
    focus = torch.tensor([[0.0, 0.0, 3.0]]).expand(FRAMES, 1, 3)
    pixels, depth = project(focus, cameras.camera_to_world, cameras.intrinsics)
    assert torch.allclose(pixels, torch.tensor([WIDTH / 2, HEIGHT / 2]).expand_as(pixels), atol=1e-4)
    assert (depth > 2.9).all()
    # No roll: the horizontal axis of the camera stays horizontal.
    assert cameras.camera_to_world[:, 1, 0].abs().max() < 1e-6


def test_spiral_grows_to_its_amplitude():
    cameras = trajectory.spiral(FRAMES, height=HEIGHT, width=WIDTH, amplitude=0.3, turns=2.0)
    radius = cameras.positions.norm(dim=-1)
    assert radius[0] == 0 and (radius.diff() > 0).all()
    assert torch.allclose(radius[-1], torch.tensor(0.3))
    angle = torch.atan2(cameras.positions[1:, 1], cameras.positions[1:, 0]).double().numpy()
    turned = np.unwrap(angle)
    assert 1.0 < (turned[-1] - turned[0]) / (2 * math.pi) < 2.0


def test_orbit_keeps_its_radius_and_closes():
    cameras = trajectory.orbit(13, height=HEIGHT, width=WIDTH, focus_depth=2.0)
    radius = (cameras.positions - torch.tensor([0.0, 0.0, 2.0])).norm(dim=-1)
    assert torch.allclose(radius, torch.full((13,), 2.0))
    assert torch.allclose(cameras.camera_to_world[-1], torch.eye(4), atol=1e-6)
    # After a quarter of the circle the camera is on the right of the centre, after half behind it.
    assert torch.allclose(cameras.positions[3], torch.tensor([2.0, 0.0, 2.0]), atol=1e-6)
    assert torch.allclose(cameras.positions[6], torch.tensor([0.0, 0.0, 4.0]), atol=1e-6)


def random_keys(count, seed=0):
    draw = np.random.default_rng(seed)
    keys = []
    for _ in range(count):
        matrix = np.eye(4)
        matrix[:3, :3] = to_matrix(np.array([1.0, 0, 0, 0]) + 0.3 * draw.normal(size=4))
        matrix[:3, 3] = draw.normal(size=3)
        keys.append(torch.tensor(matrix, dtype=torch.float32))
    return keys


def test_keyframes_are_reached_and_relative_to_the_first():
    keys = random_keys(4)
    cameras = trajectory.keyframes(keys, 3 * 7 + 1, height=HEIGHT, width=WIDTH)
    cameras.validate()
    expected = torch.linalg.inv(keys[0]) @ torch.stack(keys)
    assert torch.allclose(cameras.camera_to_world[::7], expected, atol=1e-5)


def test_keyframes_have_no_kinks():
    cameras = trajectory.keyframes(random_keys(4), 3 * 200 + 1, height=HEIGHT, width=WIDTH)
    matrices = cameras.camera_to_world.double()
    # A kink is a jump of the velocity (the difference over one frame) that does not shrink with the step.
    velocity = matrices.diff(dim=0) * 200
    jumps = velocity.diff(dim=0).abs().amax(dim=(1, 2))
    assert jumps.max() < 0.05 * velocity.abs().max()


def test_two_keyframes_turn_at_constant_speed():
    end = torch.eye(4)
    end[:3, :3] = torch.tensor(to_matrix([math.cos(0.6), 0, math.sin(0.6), 0]))
    cameras = trajectory.keyframes([torch.eye(4), end], 13, height=HEIGHT, width=WIDTH)
    angle = torch.atan2(cameras.camera_to_world[:, 0, 2], cameras.camera_to_world[:, 0, 0])
    assert torch.allclose(angle, torch.linspace(0, 1.2, 13), atol=1e-5)


def test_one_keyframe_is_a_still_camera():
    cameras = trajectory.keyframes(torch.stack(random_keys(1)), 5, height=HEIGHT, width=WIDTH)
    assert torch.allclose(cameras.camera_to_world, torch.eye(4).expand(5, 4, 4), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_look_at(dtype):
    eye = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=dtype)
    target = torch.tensor([0.0, -1.0, 5.0], dtype=dtype)
    matrices = trajectory.look_at(eye, target)
    assert matrices.shape == (2, 4, 4) and matrices.dtype == dtype
    Cameras(matrices, torch.eye(3, dtype=dtype).expand(2, 3, 3), 3, 5).validate(tolerance=1e-6)
    ahead = (target - eye) / (target - eye).norm(dim=-1, keepdim=True)
    assert torch.allclose(matrices[:, :3, 2], ahead, atol=1e-6)
    assert (matrices[:, 1, 1] > 0).all()  # the image's down is the world's +y
    for index in range(2):
        expected = reference.look_at(eye[index].double().numpy(), target.double().numpy())
        np.testing.assert_allclose(matrices[index].numpy(), expected, atol=1e-6)
    upside_down = trajectory.look_at(eye, target, torch.tensor([0.0, 1.0, 0.0], dtype=dtype))
    assert (upside_down[:, 1, 1] < 0).all()


def test_gradients_of_look_at():
    generator = torch.Generator().manual_seed(0)
    eye, target, up = (
        torch.randn(2, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)
    )
    assert torch.autograd.gradcheck(trajectory.look_at, (eye, target, up))


def test_errors():
    size = {"height": HEIGHT, "width": WIDTH}
    with pytest.raises(ValueError, match="name must be one of spiral, forward, .*got 'zoom'"):
        trajectory.by_name("zoom", 5, **size)
    for name in ("spiral", "forward", "backward", "upward", "downward"):
        with pytest.raises(ValueError, match="amplitude must be finite, got nan"):
            trajectory.by_name(name, 3, height=4, width=6, amplitude=math.nan)
    with pytest.raises(ValueError, match="turns must be finite"):
        trajectory.spiral(3, height=4, width=6, turns=math.inf)
    with pytest.raises(ValueError, match="degrees must be finite"):
        trajectory.orbit(3, height=4, width=6, degrees=math.nan)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        trajectory.forward(0, **size)
    with pytest.raises(ValueError, match="num_frames"):
        trajectory.keyframes(random_keys(2), -1, **size)
    with pytest.raises(ValueError, match="focus_depth must be > 0"):
        trajectory.spiral(5, **size, focus_depth=0.0)
    with pytest.raises(ValueError, match="focus_depth must be > 0"):
        trajectory.orbit(5, **size, focus_depth=math.nan)
    with pytest.raises(ValueError, match="field_of_view_deg"):
        trajectory.static(5, **size, field_of_view_deg=180.0)
    with pytest.raises(ValueError, match="at least one key"):
        trajectory.keyframes([], 5, **size)
    with pytest.raises(ValueError, match="rigid"):
        trajectory.keyframes([2 * torch.eye(4) - torch.diag(torch.tensor([0.0, 0, 0, 1]))], 5, **size)
    point = torch.tensor([0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="target must differ from eye"):
        trajectory.look_at(point, point)
    with pytest.raises(ValueError, match="parallel"):
        trajectory.look_at(torch.zeros(3), torch.tensor([0.0, 2.0, 0.0]))


def test_keyframes_at_times():
    keys = random_keys(3)
    even = trajectory.keyframes(keys, 13, height=HEIGHT, width=WIDTH, times=[5.0, 7.0, 9.0])
    plain = trajectory.keyframes(keys, 13, height=HEIGHT, width=WIDTH)
    assert torch.allclose(even.camera_to_world, plain.camera_to_world, atol=1e-6)
    late = trajectory.keyframes(
        keys, 13, height=HEIGHT, width=WIDTH, times=[0.0, 3.0, 4.0], interpolation="linear"
    )
    assert torch.allclose(late.camera_to_world[9], plain.camera_to_world[6], atol=1e-6)
    middle = (late.positions[0] + late.positions[9]) / 2
    assert torch.allclose(late.interpolate(torch.tensor([0.375])).positions[0], middle, atol=1e-6)


def test_keyframes_refuse_bad_times(without_shape_checker):
    size = {"height": HEIGHT, "width": WIDTH}
    with pytest.raises(ValueError, match="times must be one per key, got 2 for 3"):
        trajectory.keyframes(random_keys(3), 5, **size, times=[0.0, 1.0])
    with pytest.raises(ValueError, match="times must ascend"):
        trajectory.keyframes(random_keys(3), 5, **size, times=[0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="interpolation must be smooth or linear, got 'cubic'"):
        trajectory.keyframes(random_keys(3), 5, **size, interpolation="cubic")
