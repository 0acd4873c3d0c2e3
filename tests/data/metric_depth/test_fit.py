"""Scale and shift of a clip: found in spite of wrong anchors, rejected where they are not determined."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from reference import data_metric_depth as reference
from scipy.optimize import minimize

from diff4splat.data.metric_depth import Anchors, anchors_from_masks, apply_alignment, fit_scale_and_shift

SCALE, SHIFT, COUNT = 3.7, 0.013, 211
ROBUST = ("huber", "ransac", "median")


def as_anchors(relative: torch.Tensor, depth: torch.Tensor) -> Anchors:
    numbers = torch.arange(len(relative))
    return Anchors(relative, depth, torch.ones_like(relative), numbers % 7, numbers)


def disparity_like(*, noise: float = 0.0, wrong: float = 0.0, seed: int = 0, count: int = COUNT) -> Anchors:
    """Anchors 1 to 20 m away; depths with relative noise, and a share of them drawn from 0.5 to 30 m."""
    draw = torch.Generator().manual_seed(seed)
    uniform = partial(torch.rand, generator=draw, dtype=torch.float64)
    depth = 1 + 19 * uniform(count)
    relative = (1 / depth - SHIFT) / SCALE
    depth = depth * (1 + noise * torch.randn(count, generator=draw, dtype=torch.float64))
    bad = torch.randperm(count, generator=draw)[: round(wrong * count)]
    depth[bad] = 0.5 + 29.5 * uniform(len(bad))
    return as_anchors(relative, depth)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("method", ROBUST)
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_scale_and_shift_under_thirty_percent_wrong_anchors(method: str, noise: float) -> None:
    depth = torch.linspace(1, 20, 101, dtype=torch.float64)
    for seed in range(7):
        anchors = disparity_like(noise=noise, wrong=0.3, seed=seed)
        found = fit_scale_and_shift(anchors, method=method, generator=seeded())
        assert found.scale == pytest.approx(SCALE, rel=0.01)
        # the shift counts by what it does to inverse depth, 0.05 and more here
        assert found.shift == pytest.approx(SHIFT, abs=0.01 * 0.05)
        again = apply_alignment((1 / depth - SHIFT) / SCALE, found)
        torch.testing.assert_close(again, depth, rtol=0.015, atol=0)
        assert found.accepted and 0.69 < found.inlier_share < 0.8 and found.residual < 0.01
        assert found.num_anchors == found.num_sources == COUNT


def test_least_squares_fails_where_anchors_are_wrong() -> None:
    exact = fit_scale_and_shift(disparity_like(), generator=seeded())
    assert (exact.scale, exact.shift) == pytest.approx((SCALE, SHIFT), rel=1e-9)
    assert exact.accepted and exact.residual < 1e-9 and exact.scale_variation < 1e-9
    for seed in range(7):
        found = fit_scale_and_shift(disparity_like(wrong=0.3, seed=seed), generator=seeded())
        assert abs(found.scale / SCALE - 1) > 0.05
        assert not found.accepted and "the scale varies by" in found.reason


def test_wrong_anchors_on_one_side() -> None:
    anchors = disparity_like(wrong=0.0)
    nearer = torch.where(anchors.sources % 10 < 3, 0.4 * anchors.depth, anchors.depth)
    for method in ROBUST:
        found = fit_scale_and_shift(replace(anchors, depth=nearer), method=method, generator=seeded())
        assert found.scale == pytest.approx(SCALE, rel=0.01)


@pytest.mark.parametrize("space", ["disparity", "depth"])
def test_least_squares_is_algorithm_1(space: str) -> None:
    draw = np.random.default_rng(0)
    relative = draw.uniform(0.1, 1, size=(3, 13, 17))
    masks = draw.random((3, 5, 13, 17)) > 0.95
    readings = draw.uniform(1, 4, size=(3, 5))
    readings[1, 2] = np.nan
    anchors = anchors_from_masks(*(torch.tensor(value) for value in (relative, masks, readings)))
    found = fit_scale_and_shift(anchors, space=space)
    found = replace(found, reason=None)  # random readings say nothing; the numbers are compared
    got = apply_alignment(torch.tensor(relative), found)
    if space == "depth":
        expected = reference.algorithm_1(relative, masks, readings)
    else:
        expected = reference.in_disparity_space(relative, masks, readings, 1e-3)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_a_line_from_disparity_to_depth_falls_and_bends() -> None:
    """The trap of the printed algorithm: its relative model gives disparity."""
    anchors = disparity_like()
    literal = fit_scale_and_shift(anchors, space="depth")
    assert literal.scale < 0 and "perhaps they are a disparity" in literal.reason
    assert literal.residual > 0.15, "no line fits 1 / x"
    turned = replace(anchors, depth=1 / anchors.relative)
    other = fit_scale_and_shift(replace(anchors, relative=anchors.depth), space="disparity")
    assert other.scale < 0 and "perhaps they are a depth" in other.reason
    assert fit_scale_and_shift(replace(turned, relative=2 * turned.depth - 1), space="depth").accepted


@pytest.mark.parametrize("method", ["least-squares", *ROBUST])
@pytest.mark.parametrize("space", ["disparity", "depth"])
def test_an_affine_change_of_the_map_changes_nothing(method: str, space: str) -> None:
    anchors = disparity_like(noise=0.01, wrong=0.1)
    if space == "depth":
        anchors = replace(anchors, relative=1 / (SCALE * anchors.relative + SHIFT))
    changed = replace(anchors, relative=0.3 * anchors.relative + 0.02)
    one, other = (
        fit_scale_and_shift(a, space=space, method=method, generator=seeded()) for a in (anchors, changed)
    )
    assert other.scale == pytest.approx(one.scale / 0.3, rel=1e-7)
    results = [apply_alignment(a.relative, f) for a, f in ((anchors, one), (changed, other))]
    torch.testing.assert_close(results[0], results[1], rtol=1e-7, atol=1e-9)
    assert other.scale_variation == pytest.approx(one.scale_variation, rel=1e-6)


@pytest.mark.parametrize("method", ["least-squares", *ROBUST, "scale-only"])
def test_units_of_the_depth_and_of_the_weights(method: str) -> None:
    anchors = disparity_like(noise=0.01)
    fit = partial(fit_scale_and_shift, method=method, space="depth")
    anchors = replace(anchors, relative=anchors.depth.roll(1) * 0.1 + anchors.depth)
    one = fit(anchors, generator=seeded())
    double = fit(replace(anchors, depth=2 * anchors.depth, weights=7 * anchors.weights), generator=seeded())
    assert (double.scale, double.shift) == pytest.approx((2 * one.scale, 2 * one.shift), rel=1e-9)
    assert double.inlier_share == pytest.approx(one.inlier_share)


@pytest.mark.parametrize("method", ["least-squares", *ROBUST, "scale-only"])
def test_weights_count_anchors(method: str) -> None:
    """Weight 2 is the anchor twice, weight 0 is no anchor."""
    anchors = disparity_like(noise=0.02, count=23)
    weights = torch.arange(23.0, dtype=torch.float64) % 3
    index = torch.repeat_interleave(torch.arange(23), weights.long())
    repeated = as_anchors(anchors.relative[index], anchors.depth[index])
    fit = partial(fit_scale_and_shift, method=method, num_trials=4000, max_variation=None)
    weighted = fit(replace(anchors, weights=weights), generator=seeded())
    one = fit(repeated, generator=seeded())
    assert (weighted.scale, weighted.shift) == pytest.approx((one.scale, one.shift), rel=1e-6)
    assert weighted.residual == pytest.approx(one.residual) and weighted.num_anchors == 15


def test_anchors_that_hardly_count_change_no_verdict() -> None:
    anchors = disparity_like(noise=0.01)
    wild = anchors.sources % 3 == 0
    spoiled = replace(
        anchors,
        depth=torch.where(wild, 0.1 * anchors.depth, anchors.depth),
        relative=torch.where(wild, 40.0, anchors.relative),
        weights=torch.where(wild, 1e-12, 5.0).double(),
    )
    kept = {
        name: getattr(anchors, name)[~wild] for name in ("relative", "depth", "weights", "frames", "sources")
    }
    expected = fit_scale_and_shift(Anchors(**kept), generator=seeded())
    found = fit_scale_and_shift(spoiled, generator=seeded())
    assert found.scale == pytest.approx(expected.scale, rel=1e-4)
    assert found.spread == pytest.approx(expected.spread, rel=1e-4)
    assert found.scale_variation == pytest.approx(expected.scale_variation, rel=0.3)
    assert found.accepted and found.inlier_share == pytest.approx(expected.inlier_share)


def test_huber_is_the_least_of_its_cost() -> None:
    anchors = disparity_like(noise=0.02, wrong=0.1, count=53)
    x, y = anchors.relative.numpy(), 1 / anchors.depth.numpy()
    found = fit_scale_and_shift(anchors, method="huber")
    residual = np.abs(found.scale * x + found.shift - y)
    limit = 1.345 * 1.4826 * np.median(residual)
    solution = minimize(
        lambda p: 1e4 * reference.huber_cost(x, y, limit, *p),
        (3.0, 0.0),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    )
    assert (found.scale, found.shift) == pytest.approx(tuple(solution.x), rel=1e-5)


def test_scale_only_is_the_median_ratio() -> None:
    anchors = disparity_like(noise=0.3, count=23)
    found = fit_scale_and_shift(anchors, method="scale-only", max_variation=None)
    assert found.scale == pytest.approx(float(np.median(1 / (anchors.depth * anchors.relative))))
    assert found.shift == 0
    same = as_anchors(torch.full((3,), 2.0), torch.full((3,), 4.0))
    found = fit_scale_and_shift(same, space="depth", method="scale-only")
    assert (found.scale, found.reason) == (2, None), "a factor needs no spread"


@pytest.mark.parametrize(("method", "tolerance"), [("least-squares", 0.05), ("huber", 0.05), ("ransac", 0.2)])
def test_variation_of_the_scale_is_the_analytic_one(method: str, tolerance: float) -> None:
    """Of least squares under Gaussian noise: sigma / (s sqrt(sum (x - mean)^2)).

    "huber" needs 5 % more anchors for the same; "ransac" keeps all anchors at this tolerance.
    """
    draw = seeded(0)
    relative = 1 + torch.rand(4001, generator=draw, dtype=torch.float64)
    sigma = 0.2
    depth = 10 + 2 * relative + sigma * torch.randn(4001, generator=draw, dtype=torch.float64)
    expected = sigma / (2 * float((relative - relative.mean()).square().sum().sqrt()))
    found = fit_scale_and_shift(
        as_anchors(relative, depth),
        space="depth",
        method=method,
        tolerance=tolerance,
        num_resamples=800,
        generator=draw,
    )
    # one standard deviation: 2.5 % by the number of resamples, 1.4 % by the scale, 2 % by the drawn noise
    assert found.scale_variation == pytest.approx(expected, rel=0.08)


def test_anchors_of_one_point_are_drawn_together() -> None:
    """81 views of a point are not 81 measurements of its depth."""
    anchors = disparity_like(noise=0.05, count=23)
    copies = {name: getattr(anchors, name).repeat(13) for name in ("relative", "depth", "weights", "sources")}
    views = Anchors(**copies, frames=torch.arange(13).repeat_interleave(23))
    once = fit_scale_and_shift(anchors, generator=seeded(), max_variation=None)
    often = fit_scale_and_shift(views, generator=seeded(), max_variation=None)
    assert often.scale_variation == pytest.approx(once.scale_variation)
    assert (often.num_anchors, often.num_sources) == (13 * 23, 23)
    alone = replace(views, sources=torch.arange(13 * 23))
    assert fit_scale_and_shift(alone).scale_variation < 0.5 * once.scale_variation


def test_a_seed_gives_one_result() -> None:
    anchors = disparity_like(noise=0.02, wrong=0.3)
    for method in ("least-squares", *ROBUST):
        one, same, other = (
            fit_scale_and_shift(anchors, method=method, generator=seeded(seed)) for seed in (1, 1, 2)
        )
        assert one == same and one.scale_variation != other.scale_variation


@pytest.mark.parametrize("method", ["least-squares", *ROBUST])
def test_anchors_that_determine_nothing_are_rejected(method: str) -> None:
    fit = partial(fit_scale_and_shift, method=method, generator=seeded())
    good = disparity_like()
    two = as_anchors(good.relative[:2], good.depth[:2])
    assert fit(two).reason == "2 anchors are fewer than 3"
    assert fit(as_anchors(good.relative[:0], good.depth[:0])).reason == "0 anchors are fewer than 3"
    one_point = replace(good, sources=torch.zeros_like(good.sources))
    assert fit(one_point).reason == "1 anchors are fewer than 3, each object or point counted once"
    unweighted = replace(good, weights=torch.where(good.sources < 2, good.weights, 0.0))
    assert fit(unweighted).reason == "2 anchors are fewer than 3"
    assert math.isnan(fit(two).scale) and fit(two).num_anchors == 2

    flat = replace(good, relative=torch.full_like(good.relative, 0.1))
    assert "differ by 0 of their mean, less than 0.001" in fit(flat).reason
    nearly = replace(good, relative=1 + 1e-4 * good.relative)
    assert "less than 0.001" in fit(nearly).reason
    assert fit(nearly, min_spread=1e-6).accepted

    falling = fit(replace(good, relative=-good.relative))
    assert falling.scale == pytest.approx(-SCALE, rel=0.01) and "not above 0" in falling.reason
    assert not falling.accepted


def test_results_behind_the_camera_are_rejected() -> None:
    """The far third of the anchors, at 1000 m, where the line of the near ones is below 0."""
    relative = torch.linspace(0, 1, 23, dtype=torch.float64)
    depth = torch.where(relative > 0.3, 1 / (2 * relative - 0.6), 1000.0)
    found = fit_scale_and_shift(
        as_anchors(relative, depth), method="ransac", max_variation=None, generator=seeded()
    )
    assert found.positive_share < 0.9 and "of the anchors are in front, fewer than 90%" in found.reason
    assert fit_scale_and_shift(
        as_anchors(relative, depth), method="ransac", max_variation=None, min_positive=0.0
    ).accepted


def test_an_uncertain_scale_is_rejected() -> None:
    anchors = disparity_like(noise=0.5, count=13)
    found = fit_scale_and_shift(anchors, generator=seeded())
    assert found.scale_variation > 0.05
    assert found.reason == (
        f"the scale varies by {found.scale_variation:.1%} when anchors are drawn again, more than 5%"
    )
    measured = fit_scale_and_shift(anchors, max_variation=None, generator=seeded())
    assert measured == replace(found, reason=None)
    single = as_anchors(torch.tensor([1.0]), torch.tensor([2.0]))
    fit = partial(fit_scale_and_shift, single, method="scale-only", min_anchors=1)
    assert "cannot be measured" in fit().reason
    assert fit(max_variation=None).facts()["scale_variation"] is None


@pytest.mark.parametrize("method", ["least-squares", *ROBUST, "scale-only"])
def test_types(method: str) -> None:
    double = disparity_like(noise=0.01, wrong=0.1)
    values = {name: getattr(double, name).float() for name in ("relative", "depth", "weights")}
    single = replace(double, **values)
    one, other = (fit_scale_and_shift(a, method=method, generator=seeded()) for a in (double, single))
    assert (other.scale, other.shift) == pytest.approx((one.scale, one.shift), rel=1e-4)
    assert isinstance(other.scale, float) and isinstance(other.shift, float)


def test_many_anchors_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results do not depend on how many lines are computed at a time."""
    anchors = disparity_like(noise=0.01, wrong=0.2)
    whole = [fit_scale_and_shift(anchors, method=m, generator=seeded()) for m in ("huber", "ransac")]
    from diff4splat.data.metric_depth import fit

    monkeypatch.setattr(fit, "_BLOCK", 1000)
    parts = [fit_scale_and_shift(anchors, method=m, generator=seeded()) for m in ("huber", "ransac")]
    for one, other in zip(whole, parts, strict=True):
        assert (one.scale, one.scale_variation) == pytest.approx((other.scale, other.scale_variation))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "log"}, "space must be one of disparity, depth, got 'log'"),
        ({"method": "mean"}, "method must be one of least-squares, .*, got 'mean'"),
        ({"min_anchors": 1}, "min_anchors must be at least 2, got 1"),
        ({"num_resamples": 1}, "num_resamples must be at least 2, got 1"),
        ({"num_trials": 0}, "num_trials must be at least 1, got 0"),
        ({"min_positive": 1.5}, "min_positive must be from 0 to 1, got 1.5"),
        ({"tolerance": 0.0}, "tolerance must be above 0, got 0.0"),
        ({"min_spread": -1.0}, "min_spread must be at least 0, got -1.0"),
        ({"max_variation": math.nan}, "max_variation must be at least 0, got nan"),
    ],
)
def test_bad_options_are_named(options: dict, message: str, without_shape_checker: None) -> None:
    with pytest.raises(ValueError, match=message):
        fit_scale_and_shift(disparity_like(), **options)


def test_bad_values_are_named() -> None:
    anchors = disparity_like()
    with pytest.raises(ValueError, match="depth must be finite and > 0, got 211 other values"):
        fit_scale_and_shift(replace(anchors, depth=-anchors.depth))
