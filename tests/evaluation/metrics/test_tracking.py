"""Scores of tracks against loops over points, hand-computed cases, and what they must not notice."""

import math

import pytest
import torch
from reference import evaluation_tracking as reference

from diff4splat.evaluation import average_points_within_distance, track_end_point_error, tracking_scores
from diff4splat.evaluation.metrics import METRIC_THRESHOLDS

FOCAL = (90.0, 110.0)


def lens(focal: tuple[float, float] = FOCAL) -> torch.Tensor:
    return torch.tensor([[focal[0], 0.0, 8.0], [0.0, focal[1], 6.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


@pytest.fixture
def clips() -> dict[str, torch.Tensor]:
    """Three clips of eleven tracks over seven frames, in other units than the truth."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    target = draw(3, 11, 7, 3)
    target[..., 2] = 2 + 3 * torch.rand(3, 11, 7, generator=generator, dtype=torch.float64)
    noise = 0.3 * draw(3, 11, 7, 1).exp() * draw(3, 11, 7, 3) * target[..., 2:] / 20
    return {
        "points": 0.5 * (target + noise),
        "target": target,
        "visible": torch.rand(3, 11, 7, generator=generator) > 0.3,
        "predicted_visible": torch.rand(3, 11, 7, generator=generator) > 0.3,
        "query_frames": torch.randint(0, 7, (3, 11), generator=generator),
    }


@pytest.mark.parametrize("scaling", ["none", "median", "mean", "per_trajectory"])
def test_scores_match_the_loop(scaling, clips) -> None:
    found = tracking_scores(**clips, intrinsics=lens().expand(3, 3, 3), scaling=scaling)
    apart = average_points_within_distance(**clips, intrinsics=lens().expand(3, 3, 3), scaling=scaling)
    errors = track_end_point_error(**clips, scaling=scaling)
    assert torch.equal(apart, found.points_within_distance)
    for index in range(3):
        points, target, visible, said, queries = (clips[name][index].numpy() for name in clips)
        expected = reference.scores(points, target, visible, said, FOCAL, scaling, list(queries))
        assert found.points_within_distance[index].item() == pytest.approx(expected["apd"], abs=1e-12)
        assert found.jaccard[index].item() == pytest.approx(expected["aj"], abs=1e-12)
        assert found.occlusion_accuracy[index].item() == pytest.approx(expected["oa"], abs=1e-12)
        assert errors[index].item() == pytest.approx(expected["epe"], abs=1e-12)
        if scaling != "none":
            assert 0.1 < expected["apd"] < 0.9  # the case tells right from wrong


def one_track(off: float, depth: float = 2.0) -> dict[str, torch.Tensor]:
    """A point at rest, predicted somewhat to the right of where it is."""
    target = torch.tensor([[[0.0, 0.0, depth]]], dtype=torch.float64)
    return {
        "points": target + torch.tensor([off, 0.0, 0.0]),
        "target": target,
        "visible": torch.ones(1, 1, dtype=torch.bool),
    }


@pytest.mark.parametrize(
    ("off", "expected"), [(0.0, 1.0), (0.0625, 0.6), (0.0624, 0.8), (0.5, 0.0), (0.49, 0.2)]
)
def test_a_point_on_the_limit_is_not_within_it(off, expected) -> None:
    """Pitfall: the comparison is strict. Depth 2 and focal length 64 make a pixel 1/32."""
    found = average_points_within_distance(**one_track(off), intrinsics=lens((64.0, 64.0)), scaling="none")
    assert found.item() == pytest.approx(expected)
    said = {"predicted_visible": torch.ones(1, 1, dtype=torch.bool), "intrinsics": lens((64.0, 64.0))}
    assert tracking_scores(**one_track(off), **said, scaling="none").jaccard.item() == pytest.approx(expected)


def test_the_limit_grows_with_the_true_depth_and_the_mean_focal_length() -> None:
    near = average_points_within_distance(
        **one_track(0.1, 2.0), intrinsics=lens((16.0, 64.0)), scaling="none"
    )
    far = average_points_within_distance(
        **one_track(0.1, 20.0), intrinsics=lens((16.0, 64.0)), scaling="none"
    )
    assert near.item() == pytest.approx(0.8)  # a pixel is 1/16
    assert far.item() == 1.0


def test_metric_limits_do_not_grow_with_depth() -> None:
    for depth in (2.0, 200.0):
        found = average_points_within_distance(**one_track(0.1, depth), intrinsics=None, scaling="none")
        assert found.item() == pytest.approx(3 / 5)
    assert METRIC_THRESHOLDS == (0.01, 0.04, 0.16, 0.64, 2.56)
    inliers = average_points_within_distance(
        **one_track(0.07), intrinsics=None, scaling="none", thresholds=[0.05, 0.1]
    )
    assert inliers.item() == 0.5


def test_what_is_said_to_be_visible_does_not_matter_to_distances(clips) -> None:
    """Pitfall: APD ignores predicted visibility, AJ and OA do not."""
    clips["points"] *= 2
    given = dict(clips, intrinsics=lens().expand(3, 3, 3), scaling="none")
    nobody = dict(given, predicted_visible=torch.zeros(3, 11, 7, dtype=torch.bool))
    everybody = dict(given, predicted_visible=torch.ones(3, 11, 7, dtype=torch.bool))
    scores = [tracking_scores(**each) for each in (given, nobody, everybody)]
    for other in scores[1:]:
        assert torch.equal(other.points_within_distance, scores[0].points_within_distance)
    assert (scores[1].jaccard == 0).all()
    assert not torch.equal(scores[2].jaccard, scores[0].jaccard)
    share = clips["visible"].double().mean((1, 2))
    torch.testing.assert_close(scores[2].occlusion_accuracy, share)
    torch.testing.assert_close(scores[1].occlusion_accuracy, 1 - share)


def test_hidden_points_do_not_matter(clips) -> None:
    given = {name: clips[name] for name in ("points", "target", "visible")}
    hidden = ~clips["visible"][..., None]
    other = dict(
        given,
        points=given["points"].masked_fill(hidden, 1e6),
        target=given["target"].masked_fill(hidden, torch.nan),
    )
    for scaling in ("none", "median", "mean"):
        for measure in (
            lambda scaling=scaling, **clip: track_end_point_error(**clip, scaling=scaling),
            lambda scaling=scaling, **clip: average_points_within_distance(
                **clip, intrinsics=lens().expand(3, 3, 3), scaling=scaling
            ),
        ):
            assert torch.equal(measure(**given), measure(**other))


@pytest.mark.parametrize("scaling", ["median", "mean", "per_trajectory"])
def test_the_scale_of_the_prediction_does_not_matter_when_fitted(scaling, clips) -> None:
    scaled = dict(clips, points=7.3 * clips["points"])
    torch.testing.assert_close(
        track_end_point_error(**scaled, scaling=scaling), track_end_point_error(**clips, scaling=scaling)
    )
    assert (
        track_end_point_error(**scaled, scaling="none") > 2 * track_end_point_error(**clips, scaling="none")
    ).all()


def test_one_scale_per_track_forgives_what_one_per_clip_does_not(clips) -> None:
    factors = torch.linspace(0.5, 2, 11, dtype=torch.float64)[:, None, None]
    clips["points"] = factors * clips["target"]
    assert track_end_point_error(**clips, scaling="per_trajectory").max() < 1e-12
    assert (track_end_point_error(**clips, scaling="median") > 0.1).all()


def test_clips_without_a_visible_point_are_nan_and_the_others_are_not(clips) -> None:
    clips["visible"][1] = False
    given = dict(clips, intrinsics=lens().expand(3, 3, 3))
    for scaling in ("none", "median", "mean", "per_trajectory"):
        scores = tracking_scores(**given, scaling=scaling)
        assert scores.points_within_distance.isnan().tolist() == [False, True, False]
        assert track_end_point_error(**clips, scaling=scaling).isnan().tolist() == [False, True, False]
    assert tracking_scores(**given, scaling="none").jaccard[1] == 0  # all said to be visible are wrong


def test_a_scale_that_cannot_be_found_gives_nan(clips) -> None:
    given = dict(clips, intrinsics=lens().expand(3, 3, 3))
    nothing = dict(given, points=torch.zeros_like(clips["points"]))
    for scaling in ("median", "mean", "per_trajectory"):
        scores = tracking_scores(**nothing, scaling=scaling)
        assert scores.points_within_distance.isnan().all()
        assert scores.jaccard.isnan().all()
        assert scores.within_distance.shape == (3, 5)


def test_a_shift_is_its_length() -> None:
    target = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    visible = torch.ones(2, 5, dtype=torch.bool)
    moved = target + torch.tensor([3.0, 4.0, 0.0])
    found = track_end_point_error(moved, target, visible=visible, scaling="none")
    assert found.item() == pytest.approx(math.hypot(3, 4))


def test_errors(clips, without_shape_checker) -> None:
    given = dict(clips, intrinsics=lens().expand(3, 3, 3))
    with pytest.raises(
        ValueError, match="scaling must be one of none, median, mean, per_trajectory, got 'sim3'"
    ):
        tracking_scores(**given, scaling="sim3")
    with pytest.raises(TypeError, match="scaling"):
        tracking_scores(**given)  # no default: it changes the number
    with pytest.raises(ValueError, match="query_frames must be given"):
        tracking_scores(**dict(given, query_frames=None), scaling="per_trajectory")
    with pytest.raises(ValueError, match="query_frames must be from 0 to 6"):
        tracking_scores(**dict(given, query_frames=clips["query_frames"] + 1), scaling="per_trajectory")
    with pytest.raises(ValueError, match=r"thresholds must be above 0, at least one, got \(1, 0\)"):
        tracking_scores(**given, scaling="none", thresholds=[1, 0])
    with pytest.raises(ValueError, match=r"visible must have shape \(3, 11, 7\), got \(11, 7\)"):
        tracking_scores(**dict(given, visible=clips["visible"][0]), scaling="none")
    with pytest.raises(
        ValueError, match=r"target must have the shape of points \(3, 11, 7, 3\), got \(11, 7, 3\)"
    ):
        tracking_scores(**dict(given, target=clips["target"][0]), scaling="none")
    for name in ("points", "target"):
        broken = clips[name].masked_fill(clips["visible"][..., None], torch.nan)
        with pytest.raises(ValueError, match=f"{name} must be finite where visible"):
            tracking_scores(**dict(given, **{name: broken}), scaling="none")


@pytest.mark.parametrize("scaling", ["none", "median", "mean", "per_trajectory"])
@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5)])
def test_no_clips_and_no_tracks_are_no_crash(scaling, shape) -> None:
    # pitfall: there is no median of nothing
    points = torch.zeros(*shape, 3)
    queries = torch.zeros(shape[:2], dtype=torch.int64)
    visible = torch.ones(shape, dtype=torch.bool)
    found = track_end_point_error(points, points, visible=visible, scaling=scaling, query_frames=queries)
    assert found.shape == shape[:1] and found.isnan().all()
