"""Mutual neighbours against a loop, epipolar distances against geometry that is known."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_geometry

from diff4splat.evaluation import epipolar_distances, epipolar_inliers, mutual_nearest_neighbours
from diff4splat.evaluation.metrics import matching


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(axis: list[float], angle: float) -> torch.Tensor:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(angle * cross)


def transform(rotation: torch.Tensor, way: list[float]) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = rotation, torch.tensor(way, dtype=torch.float64)
    return matrix


LENSES = torch.tensor(
    [[[101.0, 0, 53], [0, 97, 47], [0, 0, 1]], [[89.0, 0, 51], [0, 103, 49], [0, 0, 1]]], dtype=torch.float64
)
POSES = torch.stack(
    (
        transform(turn([1.0, 2, 3], 0.3), [3.0, -1, 2]),
        transform(turn([2.0, 1, 3], 0.4), [3.4, -1.2, 2.1]),
    )
)


def seen(points: torch.Tensor, pose: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
    """Pixels of points of the world, by the definition of a pinhole."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    image = local @ lens.T
    assert (local[:, 2] > 0).all()
    return image[:, :2] / image[:, 2:]


def matched(poses: torch.Tensor = POSES, count: int = 41) -> tuple[torch.Tensor, torch.Tensor]:
    local = draw(count, 3, seed=5) + torch.tensor([0.0, 0, 6], dtype=torch.float64)
    points = local @ poses[0, :3, :3].T + poses[0, :3, 3]
    return seen(points, poses[0], LENSES[0]), seen(points, poses[1], LENSES[1])


def relative(poses: torch.Tensor = POSES) -> torch.Tensor:
    return torch.linalg.inv(poses[1]) @ poses[0]


@pytest.mark.parametrize("ratio", [None, 0.7, 1.0])
@pytest.mark.parametrize("sizes", [(31, 37), (37, 31), (1, 7), (7, 1), (1, 1)])
def test_neighbours_match_the_loop(
    ratio: float | None, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = draw(sizes[0], 5, seed=1), draw(sizes[1], 5, seed=2)
    expected = evaluation_geometry.mutual_pairs(first.numpy(), second.numpy(), ratio)
    assert mutual_nearest_neighbours(first, second, ratio=ratio).tolist() == [list(pair) for pair in expected]
    monkeypatch.setattr(matching, "_BLOCK_NUMBERS", 3 * sizes[1] + 1)  # blocks of three rows
    assert mutual_nearest_neighbours(first, second, ratio=ratio).tolist() == [list(pair) for pair in expected]


def test_a_shuffled_set_is_found_again_and_the_roles_can_be_swapped() -> None:
    first = draw(43, 7, seed=3)
    order = torch.randperm(43, generator=torch.Generator().manual_seed(4))
    pairs = mutual_nearest_neighbours(first, first[order])
    assert pairs[:, 0].tolist() == list(range(43))
    assert (order[pairs[:, 1]] == pairs[:, 0]).all()
    one, other = draw(29, 7, seed=5), draw(23, 7, seed=6)
    forth = {tuple(pair) for pair in mutual_nearest_neighbours(one, other).tolist()}
    back = {tuple(pair[::-1]) for pair in mutual_nearest_neighbours(other, one).tolist()}
    assert forth == back and 0 < len(forth) < 23


def test_near_neighbours_far_from_the_origin_are_told_apart() -> None:
    """Pitfall: |a|^2 + |b|^2 - 2ab in float32 loses differences of 1e-3 at lengths of 1e3."""
    first = (draw(17, 3, seed=7) * 1e-3 + 1e3).float()
    assert mutual_nearest_neighbours(first, first.flip(0))[:, 1].tolist() == list(range(16, -1, -1))


def test_the_ratio_drops_what_is_repeated() -> None:
    first = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    second = torch.tensor([[0.1, 0.0], [0.0, 0.11], [5.1, 0.0]])
    assert mutual_nearest_neighbours(first, second).tolist() == [[0, 0], [1, 2]]
    assert mutual_nearest_neighbours(first, second, ratio=0.8).tolist() == [[1, 2]]


def test_no_descriptors_have_no_neighbours() -> None:
    assert mutual_nearest_neighbours(torch.empty(0, 5), torch.zeros(3, 5)).shape == (0, 2)
    assert mutual_nearest_neighbours(torch.zeros(3, 5), torch.empty(0, 5)).shape == (0, 2)


@pytest.mark.parametrize(
    ("second", "ratio", "message"),
    [
        (torch.zeros(3, 4), None, "second must have descriptors of length 5 as first, got 4"),
        (torch.zeros(3, 5).double(), None, "second must be of the type of first"),
        (torch.full((3, 5), math.nan), None, "second must be finite"),
        (torch.zeros(3, 5), 0.0, r"ratio must lie in \(0, 1\], got 0.0"),
        (torch.zeros(3, 5), 1.1, r"ratio must lie in \(0, 1\], got 1.1"),
    ],
)
def test_descriptors_are_checked(second: torch.Tensor, ratio: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mutual_nearest_neighbours(torch.zeros(3, 5), second, ratio=ratio)


def test_true_matches_lie_on_their_lines_and_others_do_not() -> None:
    first, second = matched()
    distances = epipolar_distances(first, second, relative(), LENSES)
    assert distances.max() < 1e-9
    assert epipolar_distances(first, second.roll(1, 0), relative(), LENSES).median() > 3
    assert epipolar_inliers(first, second, POSES, LENSES, threshold_px=0.01).all()


def test_distances_are_the_least_shift_to_first_order() -> None:
    first, second = matched()
    moved_first, moved_second = first + 0.3 * draw(41, 2, seed=8), second + 0.3 * draw(41, 2, seed=9)
    found = epipolar_distances(moved_first, moved_second, relative(), LENSES)
    way, rotation = relative()[:3, 3].numpy(), relative()[:3, :3].numpy()
    cross = np.array([[0, -way[2], way[1]], [way[2], 0, -way[0]], [-way[1], way[0], 0]])
    fundamental = np.linalg.inv(LENSES[1].numpy()).T @ cross @ rotation @ np.linalg.inv(LENSES[0].numpy())
    for index in range(41):
        exact = evaluation_geometry.least_shift(
            moved_first[index].numpy(), moved_second[index].numpy(), fundamental
        )
        assert found[index].item() == pytest.approx(exact, rel=1e-2, abs=1e-3)


def test_distances_agree_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="an independent implementation")
    first, second = matched()
    second = second + draw(41, 2, seed=10)
    way, rotation = relative()[:3, 3].numpy(), relative()[:3, :3].numpy()
    cross = np.array([[0, -way[2], way[1]], [way[2], 0, -way[0]], [-way[1], way[0], 0]])
    fundamental = np.linalg.inv(LENSES[1].numpy()).T @ cross @ rotation @ np.linalg.inv(LENSES[0].numpy())
    found = epipolar_distances(first, second, relative(), LENSES)
    for one, other, distance in zip(first.numpy(), second.numpy(), found, strict=True):
        squared = cv2.sampsonDistance(np.append(one, 1.0), np.append(other, 1.0), fundamental)
        assert distance.item() == pytest.approx(math.sqrt(squared), rel=1e-6)


def test_a_shift_across_horizontal_lines_is_shared_by_both_points() -> None:
    """A sideways step: lines are rows, so 2 rows off are sqrt(2), and any shift along the row is 0."""
    poses = torch.stack((torch.eye(4).double(), transform(torch.eye(3).double(), [0.5, 0, 0])))
    lens = LENSES[:1].expand(2, 3, 3)
    first = torch.tensor([[20.0, 30.0], [20.0, 30.0]], dtype=torch.float64)
    second = torch.tensor([[11.0, 30.0], [11.0, 32.0]], dtype=torch.float64)
    distances = epipolar_distances(first, second, torch.linalg.inv(poses[1]), lens)
    torch.testing.assert_close(distances, torch.tensor([0.0, math.sqrt(2)], dtype=torch.float64))
    kept = epipolar_inliers(first, second, poses, lens, threshold_px=1.0)
    assert kept.tolist() == [True, False]


def test_a_turning_camera_is_judged_by_its_homography() -> None:
    """Pitfall: without a step the fundamental matrix is 0 and every match would be an inlier."""
    poses = torch.stack((POSES[0], transform(turn([0.0, 1, 0], 0.1) @ POSES[0, :3, :3], [3.0, -1, 2])))
    first, second = matched(poses)
    assert epipolar_distances(first, second, relative(poses).round(decimals=12), LENSES).max() < 1e-6
    off = second + torch.tensor([3.0, 4.0], dtype=torch.float64)
    distances = epipolar_distances(first, off, relative(poses).round(decimals=12), LENSES)
    torch.testing.assert_close(distances, torch.full_like(distances, 5 / math.sqrt(2)), atol=1e-6, rtol=0)
    # the two centres differ by the rounding of float32 alone, which is no step
    assert not epipolar_inliers(first, off, poses.float(), LENSES, threshold_px=1.0).any()
    assert epipolar_inliers(first, second, poses.float(), LENSES, threshold_px=0.1).all()


def test_points_that_a_turn_takes_behind_the_camera_agree_with_nothing() -> None:
    around = transform(turn([0.0, 1, 0], math.pi), [0.0, 0, 0])
    centre = torch.tensor([[53.0, 47.0]], dtype=torch.float64)
    assert epipolar_distances(centre, centre, around, LENSES).isinf().all()


def test_a_common_motion_and_unit_of_the_cameras_change_nothing() -> None:
    first, second = matched()
    second = second + draw(41, 2, seed=11)
    plain = epipolar_inliers(first, second, POSES, LENSES, threshold_px=0.5)
    moved = transform(turn([1.0, 1, 0], 1.0), [7.0, 8, 9]) @ POSES
    larger = POSES.clone()
    larger[:, :3, 3] *= 100
    assert 0 < plain.sum() < 41
    for poses in (moved, larger):
        assert (epipolar_inliers(first, second, poses, LENSES, threshold_px=0.5) == plain).all()


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.inf])
def test_thresholds_are_checked(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold_px must be a positive number"):
        epipolar_inliers(*matched(), POSES, LENSES, threshold_px=threshold)


def test_points_that_are_not_finite_are_refused() -> None:
    first, second = matched()
    second[3, 0] = math.nan
    with pytest.raises(ValueError, match="second must be finite"):
        epipolar_inliers(first, second, POSES, LENSES, threshold_px=1.0)


def test_points_and_cameras_come_in_pairs(without_shape_checker) -> None:
    points, poses, lenses = torch.rand(7, 2), torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(2, 1, 1)
    for others in (points[:1], points[:3], torch.rand(7, 3)):  # pitfall: one point was matched with all
        with pytest.raises(ValueError, match=r"must be as many x and y, got shapes \(7, 2\)"):
            epipolar_inliers(points, others, poses, lenses, threshold_px=1.0)
    # pitfall: of a whole path the first two cameras were taken
    with pytest.raises(ValueError, match=r"camera_to_world must be two poses, .* got \(5, 4, 4\)"):
        epipolar_inliers(points, points, torch.eye(4).repeat(5, 1, 1), lenses, threshold_px=1.0)
    with pytest.raises(ValueError, match=r"intrinsics must be two lenses, .* got shape \(3, 3\)"):
        epipolar_distances(points, points, torch.eye(4), lenses[0])
