import math
import re

import pytest
import torch

from diff4splat.cameras import Cameras, describe_path, trajectory

SIZE = {"height": 30, "width": 50}


def moved(places, **size):
    """Unturned cameras at the places along x."""
    cameras = trajectory.static(len(places), **{**SIZE, **size})
    matrices = cameras.camera_to_world.clone()
    matrices[:, 0, 3] = torch.tensor(places)
    return Cameras(matrices, cameras.intrinsics, cameras.height, cameras.width)


def turned(angles_deg):
    """Cameras at one place that turn about y."""
    cameras = trajectory.static(len(angles_deg), **SIZE)
    matrices = cameras.camera_to_world.clone()
    angle = torch.tensor(angles_deg).deg2rad()
    matrices[:, 0, 0] = matrices[:, 2, 2] = angle.cos()
    matrices[:, 0, 2], matrices[:, 2, 0] = angle.sin(), -angle.sin()
    return Cameras(matrices, cameras.intrinsics, **SIZE)


def test_numbers_of_a_quarter_circle():
    path = describe_path(trajectory.orbit(91, **SIZE, degrees=90.0, focus_depth=3.0))
    assert path.length == pytest.approx(3 * math.pi / 2, rel=1e-3)
    assert path.extent == pytest.approx(3 * math.sqrt(2), rel=1e-6)
    assert path.largest_turn_deg == pytest.approx(90, abs=1e-3)
    assert path.fastest_turn_deg == pytest.approx(1, abs=1e-3)
    assert path.median_step == pytest.approx(path.length / 90, rel=1e-4)
    assert path.fastest_step == pytest.approx(path.length / 90, rel=1e-4)
    assert path.field_of_view_deg == pytest.approx((60, 60))
    assert path.focus == pytest.approx((0, 0, 3), abs=1e-4)
    assert path.starts_at_identity and path.warnings == ()
    words = str(path)
    for part in ("91 of 50x30 pixels, first at the identity", "60 degrees wide", "4.712 units", "0, 0, 3 (r"):
        assert part in words


@pytest.mark.parametrize("name", trajectory.NAMES)
def test_named_paths_give_no_warning(name):
    assert describe_path(trajectory.by_name(name, 25, **SIZE)).warnings == ()


def test_the_same_from_any_place_of_the_world():
    path = trajectory.spiral(13, **SIZE, amplitude=1.0).to(dtype=torch.float64)
    world = trajectory.look_at(
        torch.tensor([3.0, 1, 2], dtype=torch.float64), torch.tensor([0.0, 5, 1], dtype=torch.float64)
    )
    there = describe_path(Cameras(world @ path.camera_to_world, path.intrinsics, **SIZE))
    here = describe_path(path)
    assert not there.starts_at_identity and here.starts_at_identity
    assert there.focus == pytest.approx(here.focus, abs=1e-6)
    for name in ("length", "extent", "largest_turn_deg", "fastest_turn_deg"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6)


def test_focus_is_the_depth_given():
    assert describe_path(trajectory.forward(5, **SIZE)).focus is None
    assert "no single point" in str(describe_path(trajectory.forward(5, **SIZE)))
    assert describe_path(trajectory.forward(5, **SIZE), 2.5).focus == (0, 0, 2.5)


@pytest.mark.parametrize(
    ("cameras", "depth", "message"),
    [
        (moved([0.0, 0.1, 0.2, 2.2, 2.3, 2.4]), None, "jumps by 2 units between frames 2 and 3"),
        (moved([0.0, 0.0, 1.0, 1.0, 1.0]), None, "jumps by 1 units between frames 1 and 2"),
        (turned([0.0, 5, 25, 30]), None, "turns by 20 degrees between frames 1 and 2, 33% of what"),
        (moved([0.0, 100.0, 200.0]), None, "goes 200 units far, 50 times the depth .* millimetres"),
        (moved([0.0, 0.001, 0.002]), None, "goes 0.002 units far, hardly anything .* kilometres"),
        (moved([0.0, 0.01, 0.02]), 5.0, "hardly anything beside the depth of what it looks at .5.:"),
        (turned([0.0, 10, 20, 28, 40, 50]), 4.0, "2 of 6 frames, from frame 4 on, do not see the point 4"),
        (trajectory.forward(5, **SIZE, amplitude=6.0), 5.0, "1 of 5 frames, from frame 4 on, do not see"),
    ],
)
def test_warnings(cameras, depth, message):
    warnings = describe_path(cameras, depth).warnings
    assert len(warnings) == 1
    assert re.search(message, warnings[0])
    assert warnings[0] in str(describe_path(cameras, depth))


def test_what_is_no_jump():
    for places in ([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 3.0, 6.0, 10.0], [0.0, 1.0]):
        assert describe_path(moved(places)).warnings == ()


def test_lens_of_images_of_another_shape():
    cameras = trajectory.spiral(5, height=90, width=160)
    squeezed = cameras.resize(90, 90)  # as where fractions of a 16:9 image are taken for a square one
    (warning,) = describe_path(squeezed).warnings
    assert "pixels are 1.78 times as wide as high" in warning and "such as 160x90" in warning


def test_pixel_centres_at_whole_numbers():
    cameras = trajectory.spiral(5, **SIZE)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2, 2] -= 0.5
    (warning,) = describe_path(Cameras(cameras.camera_to_world, intrinsics, **SIZE)).warnings
    assert "add 0.5 to cx and cy" in warning


def test_errors():
    path = trajectory.spiral(5, **SIZE)
    with pytest.raises(ValueError, match="one path of at least one frame without batch axes"):
        describe_path(path.batch(None))
    with pytest.raises(ValueError, match="one path of at least one frame"):
        describe_path(path.select([]))
    for depth in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="focus_depth must be > 0"):
            describe_path(path, depth)
    with pytest.raises(ValueError, match="rigid"):
        describe_path(Cameras(path.camera_to_world * 2 - torch.eye(4), path.intrinsics, **SIZE))
