"""Relative pose errors against a loop, by hand, and what must not change them."""

import math

import numpy as np
import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.evaluation import relative_pose_errors

FRAMES = 11


def turned(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def path(seed: int, frames: int = FRAMES) -> np.ndarray:
    draw = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for frame in range(1, frames):
        step = np.eye(4)
        step[:3, :3] = turned(draw.normal(size=3), draw.uniform(0, 0.3))
        step[:3, 3] = draw.normal(size=3)
        poses[frame] = poses[frame - 1] @ step
    return poses


def cameras(poses: np.ndarray) -> Cameras:
    lens = torch.tensor([[50.0, 0, 17], [0, 50, 13], [0, 0, 1]], dtype=torch.float64)
    return Cameras(torch.from_numpy(poses), lens.expand(len(poses), 3, 3), 26, 34)


def loop(estimated: np.ndarray, reference: np.ndarray, step: int, scale: float) -> tuple[list, list]:
    lengths, angles = [], []
    for first in range(len(reference) - step):
        moved = np.linalg.inv(estimated[first]) @ estimated[first + step]
        moved[:3, 3] *= scale
        expected = np.linalg.inv(reference[first]) @ reference[first + step]
        error = np.linalg.inv(expected) @ moved
        lengths.append(np.linalg.norm(error[:3, 3]))
        angles.append(math.degrees(math.acos(np.clip((np.trace(error[:3, :3]) - 1) / 2, -1, 1))))
    return lengths, angles


@pytest.mark.parametrize("step", [1, 3])
def test_errors_match_the_loop(step: int) -> None:
    one, other = path(1), path(2)
    found = relative_pose_errors(cameras(one), cameras(other), scale="none", step=step)
    lengths, angles = loop(one, other, step, 1.0)
    np.testing.assert_allclose(found.translation, lengths, atol=1e-12)
    np.testing.assert_allclose(found.rotation_deg, angles, atol=1e-6)
    assert found.translation_mean == pytest.approx(np.mean(lengths))
    assert found.translation_rmse == pytest.approx(np.sqrt(np.mean(np.square(lengths))))
    assert found.rotation_mean_deg == pytest.approx(np.mean(angles), abs=1e-6)
    assert found.rotation_rmse_deg == pytest.approx(np.sqrt(np.mean(np.square(angles))), abs=1e-6)
    assert found.scale == 1 and found.num_missing == 0


def test_a_case_by_hand() -> None:
    """A step of 2 where 3 were commanded, and a turn of 1e-7 rad too much, which acos would lose."""
    reference, estimated = np.tile(np.eye(4), (2, 1, 1)), np.tile(np.eye(4), (2, 1, 1))
    reference[1, 0, 3], estimated[1, 0, 3] = 3.0, 2.0
    estimated[1, :3, :3] = turned(np.array([0.0, 1, 0]), 1e-7)
    found = relative_pose_errors(cameras(estimated), cameras(reference), scale="none")
    assert found.translation.tolist() == [1.0]
    assert found.rotation_deg.item() == pytest.approx(math.degrees(1e-7), rel=1e-6)
    scaled = relative_pose_errors(cameras(estimated), cameras(reference), scale="steps")
    assert scaled.scale == pytest.approx(1.5) and scaled.translation.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("scale", ["none", "steps", "positions"])
def test_a_rigid_motion_of_a_path_changes_nothing(scale: str) -> None:
    one, other = path(3), path(4)
    shift = np.eye(4)
    shift[:3, :3], shift[:3, 3] = turned(np.array([1.0, 2, 3]), 1.1), [5.0, -7, 2]
    plain = relative_pose_errors(cameras(one), cameras(other), scale=scale)
    for moved, still in ((shift @ one, other), (one, shift @ other)):
        again = relative_pose_errors(cameras(moved), cameras(still), scale=scale)
        torch.testing.assert_close(again.translation, plain.translation, atol=1e-10, rtol=0)
        torch.testing.assert_close(again.rotation_deg, plain.rotation_deg, atol=1e-9, rtol=0)


@pytest.mark.parametrize("scale", ["steps", "positions"])
def test_the_scale_of_a_path_is_found(scale: str) -> None:
    true = path(5)
    smaller = true.copy()
    smaller[:, :3, 3] /= 4.7
    found = relative_pose_errors(cameras(smaller), cameras(true), scale=scale)
    assert found.scale == pytest.approx(4.7)
    assert found.translation.max() < 1e-9 and found.rotation_deg.max() < 1e-6
    unscaled = relative_pose_errors(cameras(smaller), cameras(true), scale="none")
    assert unscaled.translation_mean > 0.5


def test_the_scale_of_steps_is_that_of_the_least_squares() -> None:
    one, other = path(6), path(7)
    found = relative_pose_errors(cameras(one), cameras(other), scale="steps")

    def squares(factor: float) -> float:
        total = 0.0
        for frame in range(FRAMES - 1):
            moved = np.linalg.inv(one[frame]) @ one[frame + 1]
            expected = np.linalg.inv(other[frame]) @ other[frame + 1]
            total += np.square(expected[:3, 3] - factor * moved[:3, 3]).sum()
        return total

    best = squares(found.scale)
    assert best <= squares(found.scale + 1e-3) and best <= squares(found.scale - 1e-3)


def test_a_resting_camera_has_rotations_alone() -> None:
    turning = path(8)
    turning[:, :3, 3] = 0
    found = relative_pose_errors(cameras(turning), cameras(turning), scale="positions")
    assert math.isnan(found.scale) and found.translation.isnan().all()
    assert found.rotation_deg.max() < 1e-6 and math.isnan(found.translation_mean)


def test_frames_that_were_not_registered_are_counted() -> None:
    one, other = path(9), path(10)
    one[4] = np.nan
    registered = torch.ones(FRAMES, dtype=torch.bool)
    registered[4] = False
    found = relative_pose_errors(cameras(one), cameras(other), scale="none", registered=registered)
    assert found.num_missing == 2 and len(found.translation) == FRAMES - 3
    whole = relative_pose_errors(cameras(path(9)), cameras(other), scale="none")
    kept = [pair for pair in range(FRAMES - 1) if pair not in (3, 4)]
    torch.testing.assert_close(found.translation, whole.translation[kept])
    with pytest.raises(ValueError, match="estimated must have finite poses where registered"):
        relative_pose_errors(cameras(one), cameras(other), scale="none")
    nothing = relative_pose_errors(
        cameras(one), cameras(other), scale="none", registered=torch.zeros(FRAMES, dtype=torch.bool)
    )
    assert nothing.num_missing == FRAMES - 1 and math.isnan(nothing.rotation_mean_deg)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0}, "step must be from 1 to 10, got 0"),
        ({"step": FRAMES}, "step must be from 1 to 10, got 11"),
        (
            {"registered": torch.ones(3, dtype=torch.bool)},
            "registered must be one for each of 11 frames, got 3",
        ),
    ],
)
def test_options_are_checked(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relative_pose_errors(cameras(path(1)), cameras(path(2)), scale="none", **change)


def test_paths_must_have_the_same_frames() -> None:
    with pytest.raises(ValueError, match="estimated must have the 11 frames of reference, got 7"):
        relative_pose_errors(cameras(path(1, 7)), cameras(path(2)), scale="none")
