"""Counts of matches with a matcher whose matches are known."""

import math

import pytest
import torch

from diff4splat.cameras import trajectory
from diff4splat.data import sample_scenes
from diff4splat.evaluation import SiftMatcher, average_matches
from diff4splat.evaluation.extractors import ExtractorSpec, Matches


class Told:
    """As many matches as the numbers that the two frames show, multiplied; each frame is one number."""

    spec = ExtractorSpec("told", "", "", "none", trained=False)

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> Matches:
        count = int(first[0, 0, 0]) * int(second[0, 0, 0])
        return Matches(torch.zeros(count, 2), torch.zeros(count, 2))


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 5, 7)


def test_counts_are_from_frame_0_and_between_neighbours() -> None:
    found = average_matches(Told(), numbered(2, 3, 5, 0))
    assert found.first.tolist() == [6, 10, 0] and found.next.tolist() == [6, 15, 0]
    assert found.first_mean == pytest.approx(16 / 3) and found.next_mean == 7
    assert found.inliers is None and math.isnan(found.inlier_share)


def test_without_a_match_there_is_no_share() -> None:
    cameras = trajectory.forward(3, height=5, width=7)
    found = average_matches(Told(), numbered(0, 1, 1), cameras)
    assert found.inliers.tolist() == [0, 0] and math.isnan(found.inlier_share)


def test_matches_agree_with_the_path_that_was_walked_and_not_with_another() -> None:
    scene = sample_scenes([7], static=True)
    cameras = trajectory.upward(3, height=128, width=128)
    color = scene.render(cameras.batch(None), torch.zeros(1, 3), supersample=2).color[0]
    frames = (color * 255).round().byte()
    right = average_matches(SiftMatcher(), frames, cameras)
    wrong = average_matches(SiftMatcher(), frames, trajectory.orbit(3, height=128, width=128, degrees=20.0))
    assert right.first.min() > 20 and right.inlier_share > 0.85
    assert wrong.inlier_share < 0.4
    # the camera that was walked does not rest; if it had been told to, the homography would disagree
    assert average_matches(SiftMatcher(), frames, cameras.at_rest()).inlier_share < 0.4


def test_a_frozen_clip_has_the_most_matches() -> None:
    """Pitfall: the count rewards clips that do not move, so it never stands alone."""
    noise = torch.rand(1, 3, 23, 29, generator=torch.Generator().manual_seed(0))
    frame = (torch.nn.functional.interpolate(noise, scale_factor=5) * 255).byte()
    found = average_matches(SiftMatcher(), frame.expand(3, -1, -1, -1))
    assert found.first.tolist() == found.next.tolist() and found.first_mean > 100


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        average_matches(Told(), numbered(1))
    with pytest.raises(ValueError, match=r"cameras must be one path of .* \(3, 5, 7\), got \(2, 5, 7\)"):
        average_matches(Told(), numbered(1, 1, 1), trajectory.static(2, height=5, width=7))
