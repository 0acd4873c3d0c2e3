"""The oracle knows the truth and errs as it is asked to."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diff4splat.cameras import trajectory
from diff4splat.evaluation import OraclePoses, path_scores, relative_pose_errors
from diff4splat.evaluation.extractors import PoseEstimator

FRAMES = 211
CAMERAS = trajectory.spiral(FRAMES, height=5, width=7)
CLIP = torch.zeros(FRAMES, 3, 5, 7, dtype=torch.uint8)
LENS = CAMERAS.intrinsics[0]


def test_without_noise_it_says_the_truth_in_its_unit() -> None:
    oracle = OraclePoses(CAMERAS, scale=3.0)
    assert isinstance(oracle, PoseEstimator)
    path = oracle(CLIP, LENS)
    assert path.registered.all() and path.note == ""
    torch.testing.assert_close(path.cameras.positions, 3 * CAMERAS.positions.double(), atol=1e-6, rtol=0)
    scores = path_scores(path.cameras, CAMERAS, scale="steps", registered=path.registered)
    assert scores.rpe_translation_mean < 1e-6 and scores.rpe_rotation_mean_deg < 1e-4
    assert scores.registered == 1 and scores.problem == ""


def test_noise_has_the_size_that_was_asked_for() -> None:
    """The error of a step is that of two frames: sqrt(2) times the noise of one."""
    path = OraclePoses(CAMERAS, rotation_noise_deg=0.5, translation_noise=0.02)(CLIP, LENS)
    errors = relative_pose_errors(path.cameras, CAMERAS, scale="none")
    assert errors.rotation_rmse_deg == pytest.approx(0.5 * math.sqrt(2), rel=0.15)
    assert errors.translation_rmse == pytest.approx(0.02 * math.sqrt(3 * 2), rel=0.15)
    turns = path.cameras.camera_to_world[:, :3, :3].numpy()
    np.testing.assert_allclose(Rotation.from_matrix(turns).as_matrix(), turns, atol=1e-9)


def test_draws_follow_the_seed() -> None:
    one, same, other = (
        OraclePoses(CAMERAS, rotation_noise_deg=1.0, seed=seed)(CLIP, LENS) for seed in (3, 3, 4)
    )
    assert torch.equal(one.cameras.camera_to_world, same.cameras.camera_to_world)
    assert not torch.equal(one.cameras.camera_to_world, other.cameras.camera_to_world)


def test_frames_fail_and_the_first_that_does_not_is_the_origin() -> None:
    path = OraclePoses(CAMERAS, failing=0.3, seed=2)(CLIP, LENS)
    share = 1 - path.registered.double().mean().item()
    assert share == pytest.approx(0.3, abs=0.1)
    assert path.note == f"{round(share * FRAMES)} of {FRAMES} frames fail as asked"
    first = int(path.registered.nonzero()[0])
    assert torch.equal(path.cameras.camera_to_world[first], torch.eye(4).double())
    scores = path_scores(path.cameras, CAMERAS, scale="none", registered=path.registered)
    assert scores.registered == pytest.approx(1 - share) and scores.rpe_translation_mean < 1e-6
    nothing = OraclePoses(CAMERAS, failing=1.0)(CLIP, LENS)
    assert not nothing.registered.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation_noise_deg": -1.0}, "rotation_noise_deg must be a number of at least 0, got -1.0"),
        ({"translation_noise": math.nan}, "translation_noise must be a number of at least 0, got nan"),
        ({"scale": 0.0}, "scale must be a positive number, got 0.0"),
        ({"failing": 1.1}, r"failing must lie in \[0, 1\], got 1.1"),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OraclePoses(CAMERAS, **options)


def test_frames_are_counted() -> None:
    with pytest.raises(ValueError, match="frames must be 211, one for each camera, got 210"):
        OraclePoses(CAMERAS)(CLIP[1:], LENS)
    with pytest.raises(ValueError, match="single path"):
        OraclePoses(CAMERAS.batch(None))
