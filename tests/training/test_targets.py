"""What is true about clips: motion of pixels, densely and along tracks, and grids."""

import numpy as np
import pytest
import torch
from reference import training_motion as reference
from training.parts import as_tracks, exact_clips, generator, small_clips, with_unknown_depth

from diff4splat.geometry import unproject
from diff4splat.training import batch_cameras, motion_targets, on_coarser_grid, track_targets

PICKS = torch.tensor([[0, 7], [8, 3]])


@pytest.fixture(scope="module")
def exact():
    return exact_clips()


def test_true_motion_is_that_of_the_scenes(exact) -> None:
    clips, scenes, cameras = exact
    targets = motion_targets(clips, PICKS)
    assert targets.displacement.shape == (2, 2, 3, 3, 13, 17)
    for frame in range(3):
        pose, intrinsics = cameras.camera_to_world[:, 4 * frame], cameras.intrinsics[:, 4 * frame]
        depth, index = clips["depth"][:, frame], clips["object_index"][:, frame].flatten(1)
        points = unproject(depth, pose, intrinsics).flatten(1, 2)
        seen_at = torch.full(index.shape, frame / 2)
        for pick in range(2):
            to = (PICKS[:, pick, None] / 8).expand_as(index)
            moved = scenes.move(points, index, seen_at, to)
            local = (moved - points) @ pose[:, :3, :3] / depth.flatten(1)[..., None]
            got = targets.displacement[:, pick, frame].flatten(-2).mT
            # float32 differences of coordinates of up to some ten units
            torch.testing.assert_close(got, local, atol=2e-5, rtol=0)
    assert targets.moving.any() and not targets.moving.all() and targets.known.all()
    assert (clips["object_index"] > 0)[targets.moving].all()
    assert (targets.displacement.norm(dim=3) > 0.01).any()


def test_true_motion_matches_the_loop(exact) -> None:
    clips, _, _ = exact
    targets = motion_targets(clips, PICKS)
    arrays = {name: value.double().numpy() for name, value in clips.items()}
    for sample, index in np.ndindex(*arrays["object_motion"].shape[:2]):
        seen = clips["object_index"][sample] == index
        assert (
            targets.moving[sample][seen] == reference.leaves(arrays["object_motion"][sample, index])
        ).all()
    moving = clips["object_index"].nonzero()
    for sample, frame, row, column in moving[:: max(1, len(moving) // 23)].tolist():
        motion = arrays["object_motion"][sample, int(clips["object_index"][sample, frame, row, column])]
        for pick in range(2):
            pose = arrays["camera_to_world"][sample, 4 * frame]
            ends = motion[4 * frame], motion[int(PICKS[sample, pick])]
            expected = reference.displacement(
                arrays["depth"][sample, frame, row, column],
                row,
                column,
                pose,
                arrays["intrinsics"][sample, 4 * frame],
                *ends,
            )
            got = targets.displacement[sample, pick, frame, :, row, column].numpy()
            np.testing.assert_allclose(got, expected, atol=2e-5)
            got = targets.rotation[sample, pick, frame, :, row, column].numpy()
            np.testing.assert_allclose(got, reference.turn(pose, *ends), atol=2e-5)
    assert (targets.rotation.norm(dim=3) > 0.05).any(), "something turns"


def test_a_pixel_is_where_it_is_at_its_own_time(exact) -> None:
    targets = motion_targets(exact[0], torch.tensor([[0, 4, 8]] * 2))
    rest = (exact[0]["object_index"] == 0)[:, None, :, None].expand_as(targets.displacement)
    for motion in (targets.displacement, targets.rotation):
        assert motion.diagonal(dim1=1, dim2=2).abs().max() < 1e-5
        assert motion[rest].abs().max() < 1e-6


@pytest.mark.parametrize("unknown", [0.0, torch.nan, torch.inf])
def test_unknown_depth_leaves_the_other_pixels_alone(exact, unknown) -> None:
    clips = with_unknown_depth(exact[0], unknown)
    known = clips["depth"] == exact[0]["depth"]
    whole, targets = motion_targets(exact[0], PICKS), motion_targets(clips, PICKS)
    assert 0 < known.sum() < known.numel()
    assert torch.equal(targets.known, known[:, None].expand_as(targets.known))
    assert torch.isfinite(targets.displacement).all() and torch.isfinite(targets.rotation).all()
    places = targets.known[:, :, :, None].expand_as(targets.displacement)
    torch.testing.assert_close(targets.displacement[places], whole.displacement[places])


def test_what_comes_back_has_moved(exact) -> None:
    """An object that is at the end where and as it was at the start moves all the same."""
    clips = dict(exact[0])
    motion = torch.eye(3, 4).expand_as(clips["object_motion"]).clone()
    motion[0, 1, 3, 0, 3] = 0.5
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    motion[1, 1, 5, :, :3] = turn
    clips["object_motion"] = motion
    clips["object_index"] = clips["object_index"].clone()
    clips["object_index"][:, :, 0, 0] = 1
    moving = motion_targets(clips, PICKS).moving
    assert torch.equal(moving, clips["object_index"] == 1)


def test_tracks_through_all_pixels_tell_what_the_dense_form_tells(exact) -> None:
    clips = exact[0]
    picks = torch.tensor([[7, 1], [2, 3]])  # key frames show only the tracks that are laid there
    dense, along = motion_targets(clips, picks), track_targets(as_tracks(clips), picks, size=(13, 17))
    assert along.known.all() and along.rotation is None
    # points half way between two pixels may fall to either side by rounding; centres do not
    torch.testing.assert_close(along.displacement, dense.displacement, atol=2e-5, rtol=0)
    assert (dense.displacement.norm(dim=3) > 0.01).any()
    assert along.moving.any() and dense.moving[along.moving].all()
    # near the axis of something that turns in place a track rests
    assert along.moving.sum() > 0.9 * dense.moving.sum()


@pytest.mark.parametrize("hidden", [torch.nan, 0.0, 1e6])
def test_tracks_match_the_loop_whatever_they_hold_where_hidden(exact, hidden) -> None:
    clips, size = exact[0], (5, 7)
    cameras = batch_cameras(clips).resize(*size)
    depth = 2 + 3 * torch.rand(2, 97, generator=generator(1))
    spread = torch.rand(2, 97, 2, generator=generator(2)) * 1.2 - 0.1  # some outside the image
    rays = (spread * torch.tensor([7.0, 5.0]) - cameras.intrinsics[:, :1, :2, 2]) / cameras.intrinsics[
        :, :1, [0, 1], [0, 1]
    ]
    start = torch.cat((rays, torch.ones(2, 97, 1)), dim=2) * depth[..., None]
    start[:, ::11] *= -1  # behind the first camera
    pose = cameras.camera_to_world[:, 0]
    start = start @ pose[:, :3, :3].mT + pose[:, None, :3, 3]
    step = torch.randn(2, 97, 1, 3, generator=generator(3)) * 0.1
    step[:, ::3] = 0
    tracks = start[:, :, None] + step * torch.arange(9.0)[:, None]
    visible = torch.rand(2, 97, 9, generator=generator(4)) < 0.7
    given = {
        "tracks": tracks.where(visible[..., None], hidden),
        "visible": visible,
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
    }
    targets = track_targets(given, PICKS, size=size)
    assert torch.isfinite(targets.displacement).all()
    for clip in range(2):
        arrays = [tracks[clip], *(v[clip] for v in (visible, cameras.camera_to_world, cameras.intrinsics))]
        arrays = [array.numpy() if array.dtype == torch.bool else array.double().numpy() for array in arrays]
        expected, moving = reference.track_targets(*arrays, PICKS[clip].tolist(), size)
        known = np.isfinite(expected).all(2)
        assert np.array_equal(targets.known[clip].numpy(), known)
        assert np.array_equal(targets.moving[clip].numpy(), moving)
        got = targets.displacement[clip].numpy()
        np.testing.assert_allclose(got, np.where(known[:, :, None], expected, 0), atol=2e-5)
        assert 0 < known.mean() < 1 and 0 < moving.mean() < 1


@pytest.mark.parametrize(("top", "left"), [(0, 0), (2, 1)])
def test_a_coarser_grid_holds_the_same_points(exact, top, left) -> None:
    clips, _, cameras = exact
    coarse = on_coarser_grid(clips, stride=3, top=top, left=left)
    pose = cameras.camera_to_world[:, ::4]
    fine = unproject(clips["depth"], pose, clips["intrinsics"][:, ::4])
    points = unproject(coarse["depth"], pose, coarse["intrinsics"][:, ::4])
    torch.testing.assert_close(points, fine[:, :, top::3, left::3], atol=1e-4, rtol=1e-5)
    assert torch.equal(coarse["object_index"], clips["object_index"][..., top::3, left::3])
    assert clips["depth"].shape[-1] == 17, "the batch itself is left as it was"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"stride must be at least 1, got 0\."),
        ({"stride": 3, "top": 3}, r"top must be in \[0, stride=3\), got 3\."),
        ({"stride": 3, "left": -1}, r"left must be in \[0, stride=3\), got -1\."),
    ],
)
def test_a_grid_that_cannot_be_is_refused(exact, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        on_coarser_grid(exact[0], **options)


def test_cameras_of_a_batch() -> None:
    clips, _ = small_clips()
    cameras = batch_cameras({**clips, "intrinsics": clips["intrinsics"].half()})
    assert cameras.batch_shape == (2,) and cameras.num_frames == 5
    assert (cameras.height, cameras.width) == (32, 32)
    assert cameras.intrinsics.dtype == cameras.dtype == torch.float32, "geometry is not for half precision"
