"""Relative pose errors against a loop, by hand, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_geometry
from scipy.spatial.transform import Rotation

from diff4splat.cameras import Cameras
from diff4splat.evaluation import absolute_trajectory_errors, path_scores, relative_pose_errors
from diff4splat.evaluation.metrics import METRICS

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
            r"registered must be one for each of 11 frames, got \(3,\)",
        ),
    ],
)
def test_options_are_checked(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relative_pose_errors(cameras(path(1)), cameras(path(2)), scale="none", **change)


def test_the_scale_has_to_be_said() -> None:
    """Pitfall: a number without it compares with nothing, so there is no default."""
    for measure in (relative_pose_errors, path_scores):
        with pytest.raises(TypeError, match="scale"):
            measure(cameras(path(1)), cameras(path(2)))
    with pytest.raises(TypeError, match="alignment"):
        absolute_trajectory_errors(cameras(path(1)), cameras(path(2)))


def test_paths_must_have_the_same_frames() -> None:
    with pytest.raises(ValueError, match="estimated must have the 11 frames of reference, got 7"):
        relative_pose_errors(cameras(path(1, 7)), cameras(path(2)), scale="none")


@pytest.mark.parametrize("step", [1, 2, 5])
def test_errors_match_a_second_implementation(step: int) -> None:
    """Centres and axes as one frame sees the other, chords for angles: nothing in common with the first."""
    one, other = path(21), path(22)
    found = relative_pose_errors(cameras(one), cameras(other), scale="steps", step=step)
    lengths, angles = evaluation_geometry.relative_errors(one, other, step, found.scale)
    np.testing.assert_allclose(found.translation, lengths, atol=1e-12)
    np.testing.assert_allclose(found.rotation_deg, angles, atol=1e-6)


def test_rotation_errors_match_scipy() -> None:
    one, other = path(23), path(24)
    found = relative_pose_errors(cameras(one), cameras(other), scale="none")
    turns = [Rotation.from_matrix(poses[:, :3, :3]) for poses in (one, other)]
    moved, expected = (turn[:-1].inv() * turn[1:] for turn in turns)
    np.testing.assert_allclose(
        found.rotation_deg, np.degrees((expected.inv() * moved).magnitude()), atol=1e-9
    )


@pytest.mark.parametrize("scale", ["steps", "positions"])
def test_a_commanded_rest_has_no_scale(scale: str) -> None:
    """Pitfall: the least squares would be scale 0, by which any jitter becomes a perfect path."""
    still = path(25)
    still[:, :3, 3] = [4.0, 5, 6]
    found = relative_pose_errors(cameras(path(26)), cameras(still), scale=scale)
    assert found.problem == "the commanded camera rests, so positions have no scale"
    assert (
        math.isnan(found.scale) and found.translation.isnan().all() and len(found.translation) == FRAMES - 1
    )
    assert not found.rotation_deg.isnan().any()
    assert relative_pose_errors(cameras(path(26)), cameras(still), scale="none").problem == ""


def test_a_path_walked_backwards_is_not_turned_round() -> None:
    """Pitfall: the least squares over all numbers would find scale -1 and no error at all."""
    reference, estimated = np.tile(np.eye(4), (5, 1, 1)), np.tile(np.eye(4), (5, 1, 1))
    reference[:, 2, 3], estimated[:, 2, 3] = np.arange(5), -np.arange(5)
    found = relative_pose_errors(cameras(estimated), cameras(reference), scale="steps")
    assert found.scale == 0 and found.translation.tolist() == [1.0] * 4


def test_scores_of_a_path_are_the_metrics_of_the_table() -> None:
    one, other = path(27), path(28)
    registered = torch.ones(FRAMES, dtype=torch.bool)
    registered[[2, 3]] = False
    errors = relative_pose_errors(cameras(one), cameras(other), scale="positions", registered=registered)
    scores = path_scores(cameras(one), cameras(other), scale="positions", registered=registered)
    assert scores.rpe_translation_mean == errors.translation_mean
    assert scores.rpe_translation_rmse == errors.translation_rmse > scores.rpe_translation_mean
    assert scores.rpe_rotation_mean_deg == errors.rotation_mean_deg
    assert scores.rpe_rotation_rmse_deg == errors.rotation_rmse_deg > scores.rpe_rotation_mean_deg
    assert scores.registered == 9 / 11 and scores.problem == ""
    assert set(vars(scores)) - {"problem"} <= set(METRICS)


@pytest.mark.parametrize(
    ("registered", "problem"),
    [
        ([], "no two frames at a distance of 1 are registered"),
        ([4], "no two frames at a distance of 1 are registered"),
        ([1, 4, 7], "no two frames at a distance of 1 are registered"),
    ],
)
def test_scores_of_a_path_that_was_not_found_say_so(registered: list[int], problem: str) -> None:
    found = torch.zeros(FRAMES, dtype=torch.bool)
    found[registered] = True
    scores = path_scores(cameras(path(29)), cameras(path(30)), scale="steps", registered=found)
    assert scores.problem == problem and scores.registered == len(registered) / FRAMES
    assert math.isnan(scores.rpe_translation_mean) and math.isnan(scores.rpe_rotation_rmse_deg)


@pytest.mark.parametrize("alignment", ["rigid", "similarity"])
def test_a_moved_path_has_no_trajectory_error(alignment: str) -> None:
    true = path(31)
    shift = np.eye(4)
    shift[:3, :3], shift[:3, 3] = turned(np.array([3.0, 1, 2]), 2.0), [5.0, -7, 2]
    moved = shift @ true
    if alignment == "similarity":
        moved[:, :3, 3] *= 0.3
    errors = absolute_trajectory_errors(cameras(moved), cameras(true), alignment=alignment)
    assert errors.shape == (FRAMES,) and errors.max() < 1e-9


def test_trajectory_errors_match_scipy_and_no_other_scale_is_better() -> None:
    one, other = path(32), path(33)
    p, q = (poses[:, :3, 3] - poses[:, :3, 3].mean(0) for poses in (one, other))
    rotation, _ = Rotation.align_vectors(q, p)
    rigid = np.linalg.norm(q - p @ rotation.as_matrix().T, axis=1)
    found = absolute_trajectory_errors(cameras(one), cameras(other), alignment="rigid")
    np.testing.assert_allclose(found, rigid, atol=1e-6)
    laid = p @ rotation.as_matrix().T
    scales = np.linspace(0, 3, 30_001)
    best = min(np.square(q - scale * laid).sum() for scale in scales)
    similar = absolute_trajectory_errors(cameras(one), cameras(other), alignment="similarity")
    assert similar.square().sum().item() == pytest.approx(best, rel=1e-6)


def test_trajectory_errors_of_known_frames_alone_and_of_a_rest() -> None:
    true = path(34)
    broken = true.copy()
    broken[5] = np.nan
    known = torch.ones(FRAMES, dtype=torch.bool)
    known[5] = False
    errors = absolute_trajectory_errors(
        cameras(broken), cameras(true), alignment="similarity", registered=known
    )
    assert errors.shape == (FRAMES - 1,) and errors.max() < 1e-9
    still = true.copy()
    still[:, :3, 3] = 1.0
    assert absolute_trajectory_errors(cameras(still), cameras(true), alignment="similarity").isnan().all()
    with pytest.raises(ValueError, match="alignment must be rigid or similarity"):
        absolute_trajectory_errors.__wrapped__(cameras(true), cameras(true), alignment="affine")
    with pytest.raises(ValueError, match="estimated must have the 11 frames"):
        absolute_trajectory_errors(cameras(path(1, 7)), cameras(true), alignment="rigid")


def test_tables_say_the_units() -> None:
    units = {key: METRICS[key].unit for key in METRICS if key.startswith("rpe_")}
    assert {unit for key, unit in units.items() if "translation" in key} == {"scene units"}
    assert {unit for key, unit in units.items() if "rotation" in key} == {"deg"}


def test_registered_frames_are_said_with_truth_values(without_shape_checker) -> None:
    # pitfall: ones and zeros were taken for places, and the errors were those of frames 1 and 0
    path = cameras(np.tile(np.eye(4), (5, 1, 1)))
    for measure, option in (
        (path_scores, {"scale": "none"}),
        (relative_pose_errors, {"scale": "none"}),
        (absolute_trajectory_errors, {"alignment": "rigid"}),
    ):
        for kind in (torch.int64, torch.uint8, torch.float32):
            with pytest.raises(TypeError, match=rf"registered must be boolean, got {kind}"):
                measure(path, path, registered=torch.ones(5, dtype=kind), **option)
        with pytest.raises(ValueError, match=r"one for each of 5 frames, got \(5, 1\)"):
            measure(path, path, registered=torch.ones(5, 1, dtype=torch.bool), **option)


def test_one_frame_has_no_neighbour() -> None:
    # pitfall: the message was about a step, of which `path_scores` has none
    one = cameras(np.eye(4)[None])
    with pytest.raises(ValueError, match="reference must have at least 2 frames, got 1"):
        path_scores(one, one, scale="none")
