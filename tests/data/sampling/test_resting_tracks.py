"""Points out of depth that rest: where they are, and in which frames they are seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.sampling.memory import procedural_recording

from diff4splat.data.sampling import resting_tracks


def test_points_are_seen_where_depth_and_mask_say_so() -> None:
    """Against loops over points and frames in float64."""
    recording = procedural_recording(seed=11)
    assert recording.dynamic_mask.any() and not recording.dynamic_mask.all()
    draw = torch.Generator().manual_seed(5)
    tracks, visible = resting_tracks(recording, 101, generator=draw)
    assert tracks.shape == (101, 9, 3) and visible.shape == (101, 9)
    assert visible[:, ::4].any(1).all() and not visible.all()
    poses, lenses = (
        v.double().numpy() for v in (recording.cameras.camera_to_world, recording.cameras.intrinsics)
    )
    for track in range(101):
        assert (tracks[track] == tracks[track, 0]).all()
        for frame in range(9):
            local = np.linalg.inv(poses[frame]) @ [*tracks[track, 0].double().tolist(), 1]
            column, row, _ = np.floor(lenses[frame] @ local[:3] / local[2]).astype(int)
            seen = local[2] > 0 and 0 <= row < 22 and 0 <= column < 34
            if seen:
                error = abs(float(recording.depth[frame, row, column]) - local[2]) / local[2]
                seen = error <= 0.05 and not recording.dynamic_mask[frame, row, column]
                if abs(error - 0.05) < 1e-4:
                    continue  # either is right
            assert bool(visible[track, frame]) == seen


def test_a_point_is_not_seen_while_something_moves_before_it() -> None:
    recording = procedural_recording(seed=11)
    covered = recording.dynamic_mask.clone()
    covered[2] = True
    _, visible = resting_tracks(replace(recording, dynamic_mask=covered), 31)
    assert not visible[:, 2].any() and visible[:, 1].any() and visible[:, 3].any()


def test_nothing_that_moves_is_taken_to_rest() -> None:
    recording = procedural_recording(seed=11)
    everything = replace(recording, dynamic_mask=torch.ones_like(recording.dynamic_mask))
    tracks, visible = resting_tracks(everything, 13)
    assert tracks.shape == (0, 9, 3) and visible.shape == (0, 9)
    still = replace(everything, static=True)
    assert len(resting_tracks(still, 13)[0]) == 13, "a static recording rests whatever a mask says"


def test_what_is_missing_is_said() -> None:
    recording = procedural_recording()
    with pytest.raises(ValueError, match="must have cameras and depth, got scene-3 without them"):
        resting_tracks(replace(recording, depth=None, depth_mask=None), 7)
    with pytest.raises(ValueError, match="must be static or have a dynamic mask, got scene-3 with neither"):
        resting_tracks(replace(recording, dynamic_mask=None), 7)
