"""A recording keeps its frames, cameras, depth and tracks together through every change."""

from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.data.recordings import Recording
from diff4splat.geometry import project, unproject

FRAMES, HEIGHT, WIDTH, TRACKS = 5, 22, 34, 7


@pytest.fixture
def recording() -> Recording:
    """A slanted plane seen by a camera that moves sideways, with points on it and points beyond the edges."""
    draw = torch.Generator().manual_seed(0)
    poses = torch.eye(4).repeat(FRAMES, 1, 1)
    poses[:, 0, 3] = torch.linspace(1, 2, FRAMES)
    intrinsics = torch.tensor([[30.0, 0, WIDTH / 2], [0, 30.0, HEIGHT / 2], [0, 0, 1]]).repeat(FRAMES, 1, 1)
    cameras = Cameras(poses, intrinsics, HEIGHT, WIDTH)
    depth = torch.full((FRAMES, HEIGHT, WIDTH), 3.0)
    points = torch.rand(TRACKS, 3, generator=draw) * torch.tensor([6.0, 2.0, 0]) + torch.tensor([-1.5, -1, 3])
    tracks = points[:, None].repeat(1, FRAMES, 1)
    pixels = project(points.expand(FRAMES, -1, -1), poses, intrinsics)[0].transpose(0, 1)
    inside = ((pixels >= 0) & (pixels < torch.tensor([WIDTH, HEIGHT]))).all(-1)
    assert inside.any() and not inside.all()
    return Recording(
        name="a/b",
        dataset="none",
        licence="MIT",
        video=torch.randint(0, 256, (FRAMES, 3, HEIGHT, WIDTH), generator=draw, dtype=torch.uint8),
        cameras=cameras,
        depth=depth,
        depth_mask=torch.rand(FRAMES, HEIGHT, WIDTH, generator=draw) > 0.2,
        dynamic_mask=torch.rand(FRAMES, HEIGHT, WIDTH, generator=draw) > 0.9,
        tracks=tracks,
        visible=inside,
        track_pixels=pixels,
        unit="metre",
    )


def consistent(recording: Recording) -> None:
    """Tracks lie where the recording says that they are seen."""
    cameras = recording.cameras
    seen = project(recording.tracks.transpose(0, 1), cameras.camera_to_world, cameras.intrinsics)[0]
    torch.testing.assert_close(seen.transpose(0, 1), recording.track_pixels, rtol=1e-5, atol=1e-4)
    size = torch.tensor([recording.width, recording.height])
    inside = ((recording.track_pixels >= 0) & (recording.track_pixels < size)).all(-1)
    assert not (recording.visible & ~inside).any()
    recording.validate()


def test_frames_are_selected_with_what_belongs_to_them(recording: Recording) -> None:
    some = recording.select([3, 1])
    assert some.numbers == (3, 1) and torch.equal(some.video, recording.video[[3, 1]])
    assert torch.equal(some.depth_mask, recording.depth_mask[[3, 1]])
    assert len(some.tracks) == int(recording.visible[:, [3, 1]].any(1).sum()) < TRACKS
    consistent(some)
    assert recording.select(slice(None, None, 2)).numbers == (0, 2, 4)
    assert replace(recording, tracks=None, visible=None, track_pixels=None).select([0]).tracks is None


def test_a_crop_moves_cameras_and_hides_what_is_outside(recording: Recording) -> None:
    window = recording.crop(3, 9, 11, 13)
    assert torch.equal(window.video, recording.video[..., 3:14, 9:22])
    assert torch.equal(window.dynamic_mask, recording.dynamic_mask[..., 3:14, 9:22])
    consistent(window)
    assert window.visible.sum() < recording.visible.sum()
    without = replace(recording, track_pixels=None).crop(3, 9, 11, 13)
    assert torch.equal(without.visible, window.visible), "found by projection where pixels are not given"
    with pytest.raises(ValueError, match="crop must lie inside 22 x 34, got rows 20 to 31"):
        recording.crop(20, 0, 11, 13)


def test_points_behind_a_camera_are_not_visible(recording: Recording) -> None:
    behind = replace(recording, track_pixels=None, tracks=recording.tracks * torch.tensor([1.0, 1.0, -1.0]))
    assert not behind.crop(0, 0, 11, 13).visible.any()


def test_sizes_change_with_the_lens_and_mix_no_depth(recording: Recording) -> None:
    edge = recording.depth.clone()
    edge[..., : WIDTH // 2] = 1.0
    half = replace(recording, depth=edge).resize(11, 17)
    assert half.depth.unique().tolist() == [1.0, 3.0], "no depth between the two sides of an edge"
    consistent(half)
    same = recording.resize(HEIGHT, WIDTH)
    assert same is recording
    flat = replace(recording, video=torch.full_like(recording.video, 37)).resize(5, 7)
    assert flat.video.unique().tolist() == [37]
    for height, width, rows, columns in ((20, 20, 22, 22), (10, 40, 8, 34)):
        fitted = recording.fit(height, width)
        assert fitted.video.shape[-2:] == (height, width)
        expected = recording.crop((22 - rows) // 2, (34 - columns) // 2, rows, columns).resize(height, width)
        assert torch.equal(fitted.video, expected.video)
        consistent(fitted)
    with pytest.raises(ValueError, match="height and width must be at least 1"):
        recording.resize(0, 3)


def test_units_and_world_frames_change_together(recording: Recording) -> None:
    doubled = recording.scale(2.0)
    consistent(doubled)
    cameras = doubled.cameras
    points = unproject(doubled.depth, cameras.camera_to_world, cameras.intrinsics)
    before = unproject(recording.depth, recording.cameras.camera_to_world, recording.cameras.intrinsics)
    torch.testing.assert_close(points, 2 * before)
    with pytest.raises(ValueError, match="factor must be a positive number"):
        recording.scale(0.0)
    moved = recording.relative_to_first()
    torch.testing.assert_close(moved.cameras.camera_to_world[0], torch.eye(4))
    consistent(moved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth_mask": None}, "depth_mask must be given with depth"),
        ({"visible": None}, "visible must be given with tracks"),
        ({"depth": torch.ones(FRAMES, 3, 4)}, r"depth must have shape \[5, 22, 34\], got \[5, 3, 4\]"),
        ({"tracks": torch.ones(TRACKS, 3, 3)}, r"tracks must have shape \[7, 5, 3\]|shape \[7, 3, 3\]"),
        ({"numbers": (1, 2)}, "numbers must be one for each of 5 frames, got 2"),
        ({"video": torch.zeros(0, 3, 4, 4, dtype=torch.uint8)}, "video must have frames and pixels"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_what_does_not_fit_is_refused(recording: Recording, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(recording, **change)


def test_cameras_of_another_size_are_refused(recording: Recording) -> None:
    with pytest.raises(ValueError, match="cameras must be 5 of 22 x 34 pixels, got"):
        replace(recording, cameras=recording.cameras.resize(11, 17))


def test_values_that_cannot_be_are_found(recording: Recording) -> None:
    recording.validate()
    depth = recording.depth.clone()
    depth[recording.depth_mask.nonzero()[:2].unbind(1)] = torch.tensor([0.0, float("nan")])
    with pytest.raises(ValueError, match="depth must be finite and > 0 where known, got 2 other values"):
        replace(recording, depth=depth).validate()
    replace(recording, depth=torch.where(recording.depth_mask, recording.depth, torch.nan)).validate()
    tracks = recording.tracks.clone()
    tracks[recording.visible.nonzero()[0].tolist()[0]] = torch.inf
    with pytest.raises(ValueError, match="tracks must be finite where visible"):
        replace(recording, tracks=tracks).validate()
