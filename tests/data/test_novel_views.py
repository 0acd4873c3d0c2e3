import pytest
import torch
from models.parts import path

from diff4splat.cameras import Cameras
from diff4splat.data.novel_views import beside_path
from diff4splat.geometry import project


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


TIMES = torch.tensor([[0.0, 0.35, 1.0], [0.5, 0.5, 0.125]])


def test_without_a_shift_the_views_are_on_the_path() -> None:
    cameras = path(2, 9, 16, 32)
    views = beside_path(cameras, TIMES.double(), generator=generator(), shift=0.0)
    assert views.batch_shape == (2,) and views.num_frames == 3
    assert (views.height, views.width) == (16, 32)
    for sample in range(2):
        single = Cameras(cameras.camera_to_world[sample], cameras.intrinsics[sample], 16, 32)
        expected = single.interpolate(TIMES[sample].double()).camera_to_world
        torch.testing.assert_close(views.camera_to_world[sample], expected, atol=1e-12, rtol=0)
    assert torch.equal(views.intrinsics, cameras.intrinsics[:, :3])


def test_views_keep_what_the_path_looks_at_in_the_middle() -> None:
    cameras = path(2, 9, 16, 32)
    times = torch.rand(2, 101, generator=generator(3), dtype=torch.float64)
    on_path = beside_path(cameras, times, generator=generator(), shift=0.0, focus_depth=5.0)
    views = beside_path(cameras, times, generator=generator(), shift=0.2, focus_depth=5.0)
    views.validate()
    offset = (views.positions - on_path.positions).norm(dim=-1)
    assert 0.1 < offset.mean() < 0.4
    focus = on_path.positions + 5.0 * on_path.camera_to_world[..., :3, 2]
    pixels, depth = project(focus[..., None, :], views.camera_to_world, views.intrinsics)
    middle = views.intrinsics[..., None, :2, 2]
    # the angle is approximated by its tangent, and turning moves the eye by the depth's change: below a pixel
    assert (pixels - middle).abs().max() < 0.5
    straight = Cameras(
        torch.cat(
            (
                torch.cat((on_path.camera_to_world[..., :3, :3], views.camera_to_world[..., :3, 3:]), -1),
                views.camera_to_world[..., 3:, :],
            ),
            -2,
        ),
        views.intrinsics,
        16,
        32,
    )
    unturned, _ = project(focus[..., None, :], straight.camera_to_world, straight.intrinsics)
    assert (pixels - middle).abs().mean() < 0.1 * (unturned - middle).abs().mean()
    assert (depth > 0).all()


def test_the_generator_decides() -> None:
    cameras = path(2, 9, 16, 32)
    views = [
        beside_path(cameras, TIMES.double(), generator=generator(seed)).camera_to_world for seed in (1, 1, 2)
    ]
    assert torch.equal(views[0], views[1]) and not torch.allclose(views[0], views[2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cameras must have the batch axis of times \(2,\), got \(3,\)"):
        beside_path(path(3, 9, 16, 32), TIMES.double(), generator=generator())
    with pytest.raises(ValueError, match=r"times must lie in \[0, 1\]"):
        beside_path(path(2, 9, 16, 32), 2 * TIMES.double(), generator=generator())
