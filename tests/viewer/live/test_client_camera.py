import math

import pytest
import torch
from viewer.scenes import sideways

from diff4splat.cameras import Cameras
from diff4splat.geometry import matrix_to_quaternion, project
from diff4splat.viewer.live.client_camera import cameras_to_view, view_to_cameras


def test_the_camera_of_a_page_sees_what_viser_says_it_does() -> None:
    """From (1, -2, 0) along +x, with +y down: the world's -z is to the right."""
    turned = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)
    camera = view_to_cameras(turned, (1.0, -2.0, 0.0), 2 * math.atan(0.5), height=20, width=30)
    assert (camera.height, camera.width) == (20, 30)
    for point, pixel in (
        ((6.0, -2.0, 0.0), (15.0, 10.0)),
        ((6.0, -4.5, 0.0), (15.0, 0.0)),
        ((6.0, -2.0, -3.75), (30.0, 10.0)),
    ):
        seen, depth = project(torch.tensor([point]), camera.camera_to_world[0], camera.intrinsics[0])
        assert depth.item() == pytest.approx(5, abs=1e-5)
        assert seen[0].tolist() == pytest.approx(pixel, abs=1e-4)


def look_at_matrix(view) -> torch.Tensor:
    """What viser makes of a view: z to the target, y away from up."""
    position, target, up = (torch.tensor(v, dtype=torch.float64) for v in view[:3])
    forward = torch.nn.functional.normalize(target - position, dim=0)
    down = torch.nn.functional.normalize(-up + (up @ forward) * forward, dim=0)
    return torch.stack((torch.linalg.cross(down, forward), down, forward), dim=1)


def rotation(about: int, angle: float) -> torch.Tensor:
    matrix = torch.eye(3, dtype=torch.float64)
    i, j = [axis for axis in range(3) if axis != about]
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix


@pytest.mark.parametrize(
    ("turn", "level"),
    [
        (rotation(1, 0.7), True),
        (rotation(1, 0.7) @ rotation(0, -0.5), True),  # turned, then tilted
        (rotation(1, 0.7) @ rotation(2, 0.4), False),  # rolled
        (rotation(2, math.pi), False),  # upside down
        (rotation(0, math.pi / 2), False),  # straight up or down
    ],
)
def test_a_page_stands_at_our_camera_and_stays_level_where_it_can(turn, level) -> None:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = turn, torch.tensor([0.3, -0.2, 1.1])
    camera = Cameras(matrix[None], sideways(1).intrinsics.double(), 180, 320)
    view = cameras_to_view(camera, focus=2.5)
    torch.testing.assert_close(look_at_matrix(view), turn)
    assert view.position == pytest.approx((0.3, -0.2, 1.1))
    assert math.dist(view.position, view.look_at) == pytest.approx(2.5)
    if level:
        assert view.up == pytest.approx((0, -1, 0))
    back = view_to_cameras(
        matrix_to_quaternion(look_at_matrix(view)).tolist(), view.position, view.fov, height=180, width=320
    )
    torch.testing.assert_close(back.camera_to_world.double(), camera.camera_to_world, atol=1e-6, rtol=0)
    torch.testing.assert_close(back.intrinsics.double(), camera.intrinsics, atol=1e-3, rtol=0)


def test_a_narrow_page_sees_the_whole_width() -> None:
    camera = sideways(1)  # 320 wide, 180 high, focal length 272
    assert math.tan(cameras_to_view(camera, focus=1.0, aspect=3.0).fov / 2) == pytest.approx(90 / 272)
    narrow = cameras_to_view(camera, focus=1.0, aspect=0.5)
    assert 0.5 * math.tan(narrow.fov / 2) == pytest.approx(160 / 272)
