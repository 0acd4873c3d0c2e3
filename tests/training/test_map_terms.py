"""Losses of maps against the truth: depth, its slopes, and motion with movers and rest balanced."""

import numpy as np
import pytest
import torch
from reference import training_maps as maps
from reference import training_motion as motion
from torch import Tensor
from training.parts import generator

from diff4splat.training import balanced_error, error_beside_movers, log_depth_error, log_depth_slope_error

DEPTH_LOSSES = [
    (log_depth_error, maps.log_depth_error),
    (log_depth_slope_error, maps.log_depth_slope_error),
]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def chosen(*shape: int, share: float, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=generator(seed)) < share


@pytest.mark.parametrize("size", [(11, 13), (3, 2)], ids=str)
@pytest.mark.parametrize(("loss", "by_loop"), DEPTH_LOSSES)
def test_errors_of_depth_match_the_loop(loss, by_loop, size) -> None:
    error, known = randn(2, 3, *size), chosen(2, 3, *size, share=0.7, seed=1)
    got = loss(error.where(known, torch.nan), known)
    expected = [by_loop(error[clip].numpy(), known[clip].numpy()) for clip in range(2)]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("loss", "by_loop"), DEPTH_LOSSES)
def test_gradients_of_the_errors_of_depth(loss, by_loop) -> None:
    error, known = randn(2, 1, 5, 7).requires_grad_(), chosen(2, 1, 5, 7, share=0.7, seed=1)
    assert torch.autograd.gradcheck(lambda values: loss(values, known), error)


@pytest.mark.parametrize(("loss", "by_loop"), DEPTH_LOSSES)
def test_unknown_depth_leaves_no_trace_in_values_or_gradients(loss, by_loop) -> None:
    known = chosen(2, 3, 11, 13, share=0.7, seed=1)
    results = []
    for filling in (0.0, torch.nan, torch.inf):
        error = randn(2, 3, 11, 13).where(known, filling).requires_grad_()
        value = loss(error, known)
        value.sum().backward()
        assert (error.grad[~known] == 0).all()
        results.append((value.detach(), error.grad))
    for value, gradient in results[1:]:
        assert torch.equal(value, results[0][0]) and torch.equal(gradient, results[0][1])


@pytest.mark.parametrize(("loss", "by_loop"), DEPTH_LOSSES)
def test_nothing_known_is_no_error_of_depth(loss, by_loop) -> None:
    error = randn(2, 3, 11, 13).requires_grad_()
    value = loss(error, torch.zeros(2, 3, 11, 13, dtype=torch.bool))
    value.sum().backward()
    assert (value == 0).all() and (error.grad == 0).all()


def test_a_few_known_depths_count_as_half_a_percent_of_the_map() -> None:
    known = torch.zeros(1, 3, 29, 31, dtype=torch.bool)
    known[0, 1, 5, 7] = True
    value = log_depth_error(torch.full(known.shape, 2.0), known)
    assert value.item() == pytest.approx(2 / (0.005 * 3 * 29 * 31))


def test_a_constant_factor_of_depth_has_no_slope() -> None:
    known = chosen(2, 3, 11, 13, share=0.7)
    assert (log_depth_slope_error(torch.full(known.shape, 0.7), known) == 0).all()


@pytest.mark.parametrize("share", [0.3, 0.005], ids=["movers", "few movers"])
def test_balanced_error_matches_the_loop(share) -> None:
    predicted, target = randn(2, 3, 2, 3, 11, 13), randn(2, 3, 2, 3, 11, 13, seed=1)
    moving = chosen(2, 2, 11, 13, share=share, seed=2)
    known = chosen(2, 3, 2, 11, 13, share=0.8, seed=3)
    assert moving.any()
    loss, sums = balanced_error(predicted, target.where(known[:, :, :, None], torch.nan), moving, known)
    for clip in range(2):
        arrays = [value[clip].numpy() for value in (predicted, target, moving, known)]
        got = loss[clip].item(), sums[0][clip].item(), sums[1][clip].item()
        assert got == pytest.approx(motion.balanced_error(*arrays), rel=1e-12)


def test_gradient_of_the_balanced_error() -> None:
    predicted, target = (randn(2, 2, 2, 3, 2, 3, seed=seed) for seed in (0, 1))
    moving, known = chosen(2, 2, 2, 3, share=0.4, seed=2), chosen(2, 2, 2, 2, 3, share=0.8, seed=3)
    assert moving.any() and not moving.all() and not known.all()
    assert torch.autograd.gradcheck(
        lambda p, t: balanced_error(p, t, moving, known)[0],
        (predicted.requires_grad_(), target.requires_grad_()),
    )
    _, sums = balanced_error(predicted, target, moving, known)
    assert not any(value.requires_grad for value in sums), "ratios are to be read, not trained"


@pytest.mark.parametrize("reach", [1, 4])
def test_error_beside_movers_matches_the_loop_with_its_gradient(reach) -> None:
    predicted, target = randn(2, 2, 2, 3, 11, 13), randn(2, 2, 2, 3, 11, 13, seed=1)
    moving, known = chosen(2, 2, 11, 13, share=0.02, seed=2), chosen(2, 2, 2, 11, 13, share=0.8, seed=3)
    moving[1] = False
    loss = error_beside_movers(
        predicted, target.where(known[:, :, :, None], torch.nan), moving, known, reach=reach
    )
    arrays = [value[0].numpy() for value in (predicted, target, moving, known)]
    assert loss[0].item() == pytest.approx(motion.error_beside_movers(*arrays, reach=reach), rel=1e-12)
    assert loss[0] > 0 and loss[1] == 0, "nothing moves in the second"
    small = [value[:1, :1, :1, ..., :5, :3].clone() for value in (predicted, target)]
    moving, known = torch.zeros(1, 1, 5, 3, dtype=torch.bool), chosen(1, 1, 1, 5, 3, share=0.8, seed=4)
    moving[0, 0, 0, 1] = True
    assert torch.autograd.gradcheck(
        lambda p: error_beside_movers(p, small[1], moving, known, reach=reach), (small[0].requires_grad_(),)
    )


def test_unknown_motion_leaves_no_trace_in_values_or_gradients() -> None:
    moving = chosen(2, 2, 5, 7, share=0.4)
    known = chosen(2, 3, 2, 5, 7, share=0.8, seed=1)
    places = known[:, :, :, None]
    results = []
    for filling in (0.0, torch.nan, torch.inf):
        predicted = randn(2, 3, 2, 3, 5, 7).requires_grad_()
        target = randn(2, 3, 2, 3, 5, 7, seed=1).where(places, filling)
        loss, sums = balanced_error(predicted, target, moving, known)
        loss.sum().backward()
        assert (predicted.grad[~places.expand_as(predicted)] == 0).all()
        results.append(torch.cat((loss.detach(), *sums, predicted.grad.flatten())))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_balanced_error_without_movers_is_a_share_of_the_error_at_rest() -> None:
    predicted = (30 * randn(1, 2, 1, 3, 3, 5)).requires_grad_()
    moving, known = torch.zeros(1, 1, 3, 5, dtype=torch.bool), torch.ones(1, 2, 1, 3, 5, dtype=torch.bool)
    loss, sums = balanced_error(predicted, torch.zeros_like(predicted), moving, known, rest_weight=0.4)
    assert loss.item() == pytest.approx(0.4 * predicted.norm(dim=3).mean().item(), rel=1e-2)
    assert [value.item() for value in sums] == [0, 0]
    loss.backward()
    assert torch.isfinite(predicted.grad).all()


def test_a_few_movers_count_as_half_a_percent_of_the_map() -> None:
    """One pixel that moves must not weigh as much as all the others together."""
    moving = torch.zeros(1, 1, 29, 31, dtype=torch.bool)
    moving[0, 0, 3, 5] = True
    known = torch.ones(1, 3, 1, 29, 31, dtype=torch.bool)
    target = torch.zeros(1, 3, 1, 3, 29, 31, dtype=torch.float64)
    target[:, :, :, 0, 3, 5] = 2.0
    loss, _ = balanced_error(torch.zeros_like(target), target, moving, known, softness=1e-9)
    assert loss.item() == pytest.approx(3 * 2 / (0.005 * 3 * 29 * 31), rel=1e-6)


def test_a_guess_that_points_the_right_way_pays_even_when_everything_makes_it() -> None:
    """A model that cannot yet tell movers apart must not be held at zero by the pixels at rest."""
    target = torch.zeros(1, 1, 1, 3, 3, 5)
    moving = torch.zeros(1, 1, 3, 5, dtype=torch.bool)
    known = torch.ones(1, 1, 1, 3, 5, dtype=torch.bool)
    moving[..., 0, 0] = True
    target[0, 0, 0, 0, 0, 0] = 0.2
    guess = torch.zeros_like(target)
    guess[:, :, :, 0] = 0.02
    still = balanced_error(0 * guess, target, moving, known)[0]
    assert balanced_error(guess, target, moving, known)[0] < still


@pytest.mark.usefixtures("without_shape_checker")
def test_what_does_not_fit_is_refused() -> None:
    error, known = torch.zeros(2, 1, 5, 7), torch.ones(2, 1, 5, 6, dtype=torch.bool)
    for loss, _ in DEPTH_LOSSES:
        with pytest.raises(ValueError, match=r"known must have shape \(2, 1, 5, 7\), got \(2, 1, 5, 6\)\."):
            loss(error, known)
    given = {
        "predicted": torch.zeros(2, 3, 1, 3, 5, 7),
        "target": torch.zeros(2, 3, 1, 3, 5, 7),
        "moving": torch.zeros(2, 1, 5, 7, dtype=torch.bool),
        "known": torch.ones(2, 3, 1, 5, 7, dtype=torch.bool),
    }
    for name in ("target", "moving", "known"):
        with pytest.raises(ValueError, match=rf"{name} must have shape \(2, .*, got \(1, "):
            balanced_error(**{**given, name: given[name][:1]})
    for name, value, expected in (("rest_weight", -0.1, ">= 0"), ("softness", 0.0, "> 0")):
        with pytest.raises(ValueError, match=f"{name} must be {expected}, got {value}"):
            balanced_error(**given, **{name: value})
    with pytest.raises(ValueError, match="reach must be at least 1, got 0"):
        error_beside_movers(**given, reach=0)
