"""Poses from two views on renders whose cameras are known."""

import pytest
import torch
from evaluation.extractors.pose_clips import FRAMES, clip, step_length

from diff4splat.evaluation import TwoViewPoses, path_scores
from diff4splat.evaluation.extractors import ExtractorSpec, Matches, PoseEstimator


@pytest.mark.parametrize("name", ["spiral", "forward", "backward", "downward"])
def test_paths_are_found_up_to_scale(name: str) -> None:
    frames, cameras, _ = clip(name)
    path = TwoViewPoses()(frames, cameras.intrinsics[0])
    assert path.registered.all() and path.note == ""
    scores = path_scores(path.cameras, cameras, scale="steps", registered=path.registered)
    assert scores.rpe_translation_mean < 0.1 * step_length(cameras)
    assert scores.rpe_rotation_mean_deg < 0.2
    path.cameras.validate()


def test_a_camera_that_turns_does_not_move() -> None:
    """Pitfall: an essential matrix of a turning camera has a direction, too, and it is noise."""
    frames, cameras, _ = clip("turning")
    path = TwoViewPoses()(frames, cameras.intrinsics[0])
    assert path.registered.all() and path.cameras.positions.abs().max() == 0
    scores = path_scores(path.cameras, cameras, scale="steps")
    assert scores.rpe_rotation_mean_deg < 0.1 and "rests" in scores.problem


def test_a_frozen_clip_stays_where_it_is() -> None:
    frames, cameras, _ = clip("spiral")
    path = TwoViewPoses()(frames[:1].expand(3, -1, -1, -1), cameras.intrinsics[0])
    torch.testing.assert_close(path.cameras.camera_to_world, torch.eye(4).double().repeat(3, 1, 1))
    assert path.registered.all()


def test_runs_repeat() -> None:
    frames, cameras, _ = clip("spiral")
    one, other = (TwoViewPoses()(frames[:4], cameras.intrinsics[0]) for _ in range(2))
    assert torch.equal(one.cameras.camera_to_world, other.cameras.camera_to_world)


def test_flat_frames_have_no_poses() -> None:
    flat = torch.full((3, 3, 61, 67), 97, dtype=torch.uint8)
    path = TwoViewPoses()(flat, clip("spiral")[1].intrinsics[0])
    assert not path.registered.any() and path.note == "no frame shares a geometry with frame 0"
    assert torch.equal(path.cameras.camera_to_world, torch.eye(4).double().repeat(3, 1, 1))


def test_frames_without_matches_are_not_registered() -> None:
    frames, cameras, _ = clip("spiral")
    broken = frames.clone()
    broken[3] = 0
    path = TwoViewPoses()(broken, cameras.intrinsics[0])
    assert path.registered.tolist() == [True, True, True, False, True, True, True]
    assert path.note == f"1 of {FRAMES} frames share too little with frame 0"


class Exact:
    """A matcher that is told the points that both images see."""

    spec = ExtractorSpec("exact", "", "", "none", trained=False)

    def __init__(self, seen: torch.Tensor) -> None:
        self.seen, self.calls = seen, 0

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
        self.calls += 1
        return Matches(self.seen[0], self.seen[self.calls])


def exact(count: int) -> Exact:
    cameras = clip("spiral")[1]
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(count, 3, generator=generator) * torch.tensor([3.0, 3, 4]) + torch.tensor(
        [-1.5, -1.5, 3]
    )
    local = (points - cameras.positions[:, None]) @ cameras.camera_to_world[:, :3, :3]
    image = local @ cameras.intrinsics.mT
    return Exact((image[..., :2] / image[..., 2:]).float())


def test_exact_matches_give_exact_poses_and_masks_hide_them() -> None:
    frames, cameras, _ = clip("spiral")
    path = TwoViewPoses(exact(101), enlarge=1)(frames, cameras.intrinsics[0])
    scores = path_scores(path.cameras, cameras, scale="steps", registered=path.registered)
    assert scores.registered == 1
    assert scores.rpe_translation_mean < 1e-3 * step_length(cameras) and scores.rpe_rotation_mean_deg < 1e-3
    nowhere = torch.zeros(FRAMES, 128, 128, dtype=torch.bool)
    hidden = TwoViewPoses(exact(101), enlarge=1)(frames, cameras.intrinsics[0], mask=nowhere)
    assert not hidden.registered.any()


def test_things_that_move_can_be_masked() -> None:
    frames, cameras, still = clip("spiral", moving=True)
    path = TwoViewPoses()(frames, cameras.intrinsics[0], mask=still)
    scores = path_scores(path.cameras, cameras, scale="steps", registered=path.registered)
    assert scores.registered == 1 and scores.rpe_translation_mean < 0.1 * step_length(cameras)


def test_the_spec_names_the_matcher() -> None:
    estimator = TwoViewPoses(exact(11), threshold_px=0.25)
    assert isinstance(estimator, PoseEstimator)
    assert "exact" in str(estimator.spec) and "0.25 px" in str(estimator.spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enlarge": 0}, "enlarge must be at least 1, got 0"),
        ({"threshold_px": 0.0}, "threshold_px must be a positive number, got 0.0"),
        ({"min_matches": 7}, "min_matches must be at least 8, got 7"),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoViewPoses(**options)


def test_clips_are_checked() -> None:
    frames, cameras, _ = clip("spiral")
    skewed = cameras.intrinsics[0].clone()
    skewed[0, 1] = 3
    with pytest.raises(ValueError, match="intrinsics must have no skew, got 3 pixels"):
        TwoViewPoses()(frames, skewed)
    with pytest.raises(ValueError, match="intrinsics must be finite"):
        TwoViewPoses()(frames, torch.full((3, 3), torch.nan))
    with pytest.raises(ValueError, match="frames must not be empty"):
        TwoViewPoses()(frames[:0], cameras.intrinsics[0])
