"""Cuts are where they were made, and nowhere in what goes on."""

import math
from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.cameras import Cameras
from diff4splat.data.curation import (
    camera_jumps,
    color_changes,
    continuous_runs,
    find_cuts,
    number_gaps,
    rotation_steps_deg,
    scene_cuts,
    windows,
)


def turning(angles_deg: list[float], steps: list[float]) -> Cameras:
    """Cameras that turn about y and go along x."""
    poses = torch.eye(4, dtype=torch.float64).repeat(len(angles_deg), 1, 1)
    for pose, angle, place in zip(poses, angles_deg, steps, strict=True):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        pose[:3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        pose[0, 3] = place
    lens = torch.tensor([[20.0, 0, 3.5], [0, 20.0, 2.5], [0, 0, 1]]).double().repeat(len(poses), 1, 1)
    return Cameras(poses, lens, 5, 7)


@pytest.mark.parametrize(
    ("count", "length", "stride", "starts"),
    [(10, 4, 3, [0, 3, 6]), (9, 3, None, [0, 3, 6]), (3, 4, 1, []), (4, 4, 7, [0]), (0, 1, 1, [])],
)
def test_windows_fit(count: int, length: int, stride: int | None, starts: list[int]) -> None:
    assert windows(count, length, stride) == [range(start, start + length) for start in starts]


def test_angles_between_neighbours() -> None:
    found = rotation_steps_deg(turning([0, 10, 55.5, 15.5], [0.0] * 4))
    assert found.tolist() == pytest.approx([10, 45.5, 40])


def test_jumps_of_the_camera() -> None:
    assert camera_jumps(turning([0, 10, 55.5, 15.5], [0.0] * 4)) == [2]
    assert camera_jumps(turning([0, 10, 55.5, 15.5], [0.0] * 4), max_rotation_deg=39.0) == [2, 3]
    assert camera_jumps(turning([0, 90, 180, 270], [0.0] * 4), max_rotation_deg=None) == []
    path = [0.0, 0.1, 0.2, 0.3, 2.3, 2.4, 2.5]
    flat = [0.0] * len(path)
    assert camera_jumps(turning(flat, path)) == [4]
    assert camera_jumps(turning(flat, path), max_step_ratio=25.0) == []
    assert camera_jumps(turning(flat, path), max_step_ratio=None) == []
    assert camera_jumps(turning(flat, path), scene_depth=30.0) == [], "2 m are little in a scene 30 m away"
    starts_late = [0.0] * 30 + [0.01 * step for step in range(1, 21)]
    assert camera_jumps(turning([0.0] * 50, starts_late)) == [], "a camera may rest before it goes"
    assert camera_jumps(turning([0.0], [0.0])) == []


def test_cameras_that_are_none_are_cut_out() -> None:
    cameras = turning([0.0] * 6, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    cameras.camera_to_world[2, 0, 3] = torch.nan
    assert camera_jumps(cameras) == [2, 3]
    cameras.camera_to_world[:, 0, 3] = torch.nan
    assert camera_jumps(cameras) == [1, 2, 3, 4, 5]


def test_numbers_that_are_missing() -> None:
    assert number_gaps([0, 1, 2, 3]) == [] and number_gaps([7]) == []
    assert number_gaps([0, 5, 10, 20, 25]) == [3], "every fifth frame"
    assert number_gaps([3, 4, 4, 5, 2, 3]) == [2, 4]
    assert number_gaps([5, 5]) == [1]
    assert number_gaps([0, 3, 5, 8, 10]) == [], "another frame rate"


def test_changes_of_colour_by_hand() -> None:
    video = torch.zeros(3, 3, 5, 7, dtype=torch.uint8)
    video[1] = 16  # the same box
    video[2] = 48  # the next box in each channel: (1, 2, 1) / 4 at the end is (3, 1) and then (1, 2, 1)
    ends, inside = [0.75, 0.25, 0.0], [0.25, 0.5, 0.25]
    expected = 0.5 * sum(
        abs(ends[a] * ends[b] * ends[c] - inside[a] * inside[b] * inside[c])
        for a in range(3)
        for b in range(3)
        for c in range(3)
    )
    assert color_changes(video).tolist() == pytest.approx([0.0, expected])
    bright = torch.full((1, 3, 5, 7), 255, dtype=torch.uint8)
    assert color_changes(torch.cat((video[:1], bright))).tolist() == pytest.approx([1.0])
    assert color_changes(video[:1]).shape == (0,)


def test_another_scene_is_a_cut_and_a_moving_camera_is_none() -> None:
    one, other = recording(3).video, 255 - recording(5).video
    assert scene_cuts(one) == [] == scene_cuts(other)
    assert scene_cuts(torch.cat((one, other))) == [13]
    assert scene_cuts(torch.cat((one, other)), max_change=1.0) == []
    flicker = torch.stack([one[0], other[0]] * 6)
    assert scene_cuts(flicker) == [], "what changes all the time is no cut"


def test_runs_lie_between_cuts_and_say_why() -> None:
    one = recording()
    assert find_cuts(one) == {} and continuous_runs(one) == [range(13)]
    numbers = (*range(4), *range(9, 18))
    poses = one.cameras.camera_to_world.clone()
    poses[10:, 0, 3] += 50
    broken = replace(one, numbers=numbers, cameras=replace(one.cameras, camera_to_world=poses))
    cuts = find_cuts(broken)
    assert list(cuts) == [4, 10]
    assert cuts[4] == "frame 9 follows frame 3"
    assert "goes 5" in cuts[10] and "(limit 10.0 times)" in cuts[10]
    assert continuous_runs(broken) == [range(4), range(4, 10), range(10, 13)]
    assert continuous_runs(broken, min_frames=4) == [range(4), range(4, 10)]
    assert continuous_runs(broken, max_step_ratio=None) == [range(4), range(4, 13)]
    mixed = replace(one, video=torch.cat((one.video[:7], 255 - recording(5).video[:6])))
    assert "colours change by" in find_cuts(mixed)[7]
    assert continuous_runs(mixed, max_color_change=None) == [range(13)]


def test_what_cannot_be_is_refused() -> None:
    for arguments in ((5, 0, 1), (5, 1, 0), (-1, 1, 1)):
        with pytest.raises(ValueError, match="length and stride must be at least 1"):
            windows(*arguments)
    with pytest.raises(ValueError, match="min_frames must be at least 1, got 0"):
        continuous_runs(recording(), min_frames=0)
