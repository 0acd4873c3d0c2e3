"""Smoothed tracks against dense solves of the same sums, written as loops."""

import numpy as np
import pytest
import torch
from data.checking.scenes import path

from diff4splat.cameras import Cameras
from diff4splat.data.curation import moving_tracks, smooth_tracks
from diff4splat.geometry import project, unproject_pixels

FRAMES, TRACKS = 11, 7


def cameras() -> Cameras:
    return path(FRAMES)[0].to(dtype=torch.float64)


def points(moving: bool, seed: int = 0) -> torch.Tensor:
    """Points before the cameras, that rest or go along curves."""
    draw = torch.Generator().manual_seed(seed)
    seen = cameras().select(slice(FRAMES // 2, FRAMES // 2 + 1))
    pixels = 30 + 60 * torch.rand(1, TRACKS, 2, generator=draw, dtype=torch.float64)
    depth = 3 + 5 * torch.rand(1, TRACKS, generator=draw, dtype=torch.float64)
    start = unproject_pixels(pixels, depth, seen.camera_to_world, seen.intrinsics)[0]
    time = torch.linspace(0, 1, FRAMES).double()[None, :, None]
    velocity = torch.randn(TRACKS, 1, 3, generator=draw, dtype=torch.float64)
    return start[:, None] + moving * (velocity * time + 0.4 * velocity.roll(1, 0) * time**2)


def noisy(exact: torch.Tensor, deviation: float) -> torch.Tensor:
    """Depth that is wrong: points off along their rays."""
    draw = torch.Generator().manual_seed(3)
    centres = cameras().positions
    factor = 1 + deviation * torch.randn(*exact.shape[:2], 1, generator=draw, dtype=torch.float64)
    return centres + factor * (exact - centres)


def dense_moving(
    track: np.ndarray, centres: np.ndarray, times: list[float], sd: float, sa: float
) -> np.ndarray:
    """The sum of squares as one tall least-squares problem."""
    count = len(track)
    rays = track - centres
    middle = np.median([np.linalg.norm(ray) for ray in rays])
    rows, right = [], []
    for frame in range(count):
        row = np.zeros(count)
        row[frame] = 1 / sd
        rows.append(row)
        right.append(1 / sd)
    for frame in range(1, count - 1):
        before, after = times[frame] - times[frame - 1], times[frame + 1] - times[frame]
        whole = (times[frame + 1] - times[frame - 1]) / 2
        parts = {frame - 1: 1 / before / whole, frame: -(1 / before + 1 / after) / whole}
        parts[frame + 1] = 1 / after / whole
        for axis in range(3):
            row, value = np.zeros(count), 0.0
            for place, weight in parts.items():
                row[place] = weight * rays[place, axis] / (sa * middle)
                value -= weight * centres[place, axis] / (sa * middle)
            rows.append(row)
            right.append(value)
    share = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return centres + share[:, None] * rays


def dense_resting(
    track: np.ndarray, centres: np.ndarray, focal: np.ndarray, sd: float, sp: float
) -> np.ndarray:
    """The sum of squares of a point that rests, as one tall least-squares problem."""
    rows, right = [], []
    for point, centre, length in zip(track, centres, focal, strict=True):
        distance = np.linalg.norm(point - centre)
        direction = (point - centre) / distance
        across = (np.eye(3) - np.outer(direction, direction)) / (sp * distance / length)
        along = direction[None] / (sd * distance)
        for block in (across, along):
            rows.extend(block)
            right.extend(block @ point)
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


def test_moving_points_are_those_of_the_dense_solve_on_their_rays() -> None:
    tracks, view = noisy(points(True), 0.04), cameras()
    visible = torch.ones(TRACKS, FRAMES, dtype=torch.bool)
    visible[2, 3:5], visible[4, 0], visible[5, 2:] = False, False, False
    numbers = [0, 1, 2, 4, 5, 6, 7, 10, 11, 12, 13]
    moving = torch.ones(TRACKS, dtype=torch.bool)
    found = smooth_tracks(
        tracks, visible, view, moving=moving, numbers=numbers, depth_deviation=0.03, acceleration=0.02
    )
    assert torch.isnan(found[~visible]).all()
    for track in range(TRACKS):
        seen = visible[track].nonzero()[:, 0].tolist()
        if track == 5:
            assert torch.equal(found[track, seen], tracks[track, seen]), "two frames have no curve"
            continue
        expected = dense_moving(
            tracks[track, seen].numpy(),
            view.positions[seen].numpy(),
            [numbers[frame] for frame in seen],
            0.03,
            0.02,
        )
        np.testing.assert_allclose(found[track, seen].numpy(), expected, atol=1e-8)
    before = project(tracks.transpose(0, 1), view.camera_to_world, view.intrinsics)[0].transpose(0, 1)
    after = project(found.transpose(0, 1), view.camera_to_world, view.intrinsics)[0].transpose(0, 1)
    torch.testing.assert_close(after[visible], before[visible], rtol=0, atol=1e-6)


def test_resting_points_are_those_of_the_dense_solve() -> None:
    tracks, view = noisy(points(False), 0.04), cameras()
    draw = torch.Generator().manual_seed(5)
    tracks = tracks + 0.01 * torch.randn(tracks.shape, generator=draw, dtype=torch.float64)
    visible = torch.ones(TRACKS, FRAMES, dtype=torch.bool)
    visible[2, 3:5], visible[6] = False, False
    still = torch.zeros(TRACKS, dtype=torch.bool)
    found = smooth_tracks(tracks, visible, view, moving=still, pixel_deviation=0.7)
    focal = view.intrinsics[:, [0, 1], [0, 1]].mean(-1).numpy()
    for track in range(TRACKS - 1):
        seen = visible[track]
        expected = dense_resting(
            tracks[track, seen].numpy(), view.positions[seen].numpy(), focal[seen.numpy()], 0.05, 0.7
        )
        np.testing.assert_allclose(
            found[track, seen].numpy(), np.tile(expected, (int(seen.sum()), 1)), atol=1e-8
        )
    assert torch.isnan(found[6]).all()


def test_smooth_points_are_nearer_to_the_truth_and_exact_ones_stay() -> None:
    view, visible = cameras(), torch.ones(TRACKS, FRAMES, dtype=torch.bool)
    for kind in (False, True):
        exact = points(kind)
        moving = torch.full((TRACKS,), kind)
        rough = noisy(exact, 0.05)
        smooth = smooth_tracks(rough, visible, view, moving=moving, acceleration=0.003)
        error = (smooth - exact).norm(dim=-1).mean()
        assert error < (0.6 if not kind else 0.75) * (rough - exact).norm(dim=-1).mean()
    kept = smooth_tracks(points(False), visible, view, moving=torch.zeros(TRACKS, dtype=torch.bool))
    torch.testing.assert_close(kept, points(False), rtol=0, atol=1e-9)


def test_what_moves_is_told_from_noise_of_depth() -> None:
    view, visible = cameras(), torch.ones(2 * TRACKS, FRAMES, dtype=torch.bool)
    tracks = torch.cat((noisy(points(False), 0.03), noisy(points(True), 0.03)))
    found = moving_tracks(tracks, visible, view)
    assert found.tolist() == [False] * TRACKS + [True] * TRACKS
    visible[TRACKS + 1] = False
    visible[TRACKS + 2, 1:] = False
    assert moving_tracks(tracks, visible, view).sum() == TRACKS - 2, "what is seen once does not move"
    assert not moving_tracks(tracks, visible, view, min_motion=10.0, min_depth_motion=10.0).any()
    assert moving_tracks(tracks[:0], visible[:0], view).shape == (0,)


def test_what_comes_straight_towards_the_camera_moves() -> None:
    view = cameras().at_rest()
    middle = view.positions[0] + 5 * view.camera_to_world[0, :3, 2]
    path = torch.linspace(0, -2.5, FRAMES).double()[:, None] * view.camera_to_world[0, :3, 2]
    tracks = torch.stack((middle + path, middle + 0.1 * path))
    visible = torch.ones(2, FRAMES, dtype=torch.bool)
    assert moving_tracks(tracks, visible, view).tolist() == [True, False]
    assert not moving_tracks(tracks, visible, view, min_depth_motion=2.0).any()


def test_what_cannot_be_is_refused() -> None:
    tracks, visible, view = points(True), torch.ones(TRACKS, FRAMES, dtype=torch.bool), cameras()
    moving = torch.ones(TRACKS, dtype=torch.bool)
    with pytest.raises(ValueError, match="numbers must be 11 that ascend"):
        smooth_tracks(tracks, visible, view, moving=moving, numbers=[3] * FRAMES)
    for name in ("depth_deviation", "pixel_deviation", "acceleration"):
        with pytest.raises(ValueError, match=f"{name} must be above 0, got 0"):
            smooth_tracks(tracks, visible, view, moving=moving, **{name: 0.0})
    tracks[3, 4] = torch.nan
    with pytest.raises(ValueError, match="finite where visible"):
        smooth_tracks(tracks, visible, view, moving=moving)
    with pytest.raises(ValueError, match="the 4 frames of cameras"):
        smooth_tracks(tracks, visible, view.select(slice(0, 4)), moving=moving)
    with pytest.raises(ValueError, match="quantile must lie"):
        moving_tracks(tracks, visible, view, quantile=2.0)
