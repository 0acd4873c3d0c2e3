"""Motion loss against a loop over points."""

import inspect

import pytest
import torch
from reference import losses_motion as reference

from diff4splat.losses import motion_loss


def tracks(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(2, 11, 3, generator=generator, dtype=dtype)
    target = torch.randn(2, 11, 3, generator=generator, dtype=dtype)
    return (
        predicted,
        target,
        torch.rand(2, 11, generator=generator) > 0.3,
        torch.rand(2, 11, generator=generator, dtype=dtype),
    )


@pytest.mark.parametrize("distance", ["l2", "squared"])
@pytest.mark.parametrize("l1_of", ["motion", "error"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_matches_reference(distance, l1_of, masked, weighted) -> None:
    predicted, target, visible, weight = tracks()
    result = motion_loss(
        predicted,
        target,
        visibility=visible if masked else None,
        point_weight=weight if weighted else None,
        error_weight=1.5,
        l1_weight=0.7,
        distance=distance,
        l1_of=l1_of,
    )
    assert result.shape == (2,)
    visible = visible if masked else torch.ones_like(visible)
    weight = weight if weighted else torch.ones_like(weight)
    for batch in range(2):
        expected = reference.motion_loss(
            predicted[batch],
            target[batch],
            visible[batch],
            weight[batch],
            error_weight=1.5,
            l1_weight=0.7,
            distance=distance,
            l1_of=l1_of,
        )
        assert result[batch].item() == pytest.approx(expected, rel=1e-13)


def test_points_as_batch_elements_have_a_value_each() -> None:
    predicted, target, visible, _ = tracks()
    each = motion_loss(predicted[..., None, :], target[..., None, :], visibility=visible[..., None])
    assert each.shape == (2, 11) and (each[~visible] == 0).all()
    mean = each.sum(-1) / visible.sum(-1)
    torch.testing.assert_close(mean, motion_loss(predicted, target, visibility=visible))


def test_default_is_the_equation_with_weight_two() -> None:
    predicted, target, _, _ = tracks()
    expected = 2 * (predicted - target).norm(dim=-1) + predicted.abs().sum(-1)
    torch.testing.assert_close(motion_loss(predicted, target), expected.mean(-1), atol=1e-13, rtol=0)


def test_true_motion_is_the_minimum_of_the_default() -> None:
    """2 > sqrt(3): the L1 term never outweighs the distance, so no step away from the truth pays."""
    generator = torch.Generator().manual_seed(1)
    target = torch.cat((torch.tensor([[1.0, 1.0, 1.0]]), torch.randn(97, 3, generator=generator)))
    best = motion_loss(target[:, None], target[:, None])
    for size in (1e-3, 0.1, 1.0):
        steps = size * torch.randn(101, 98, 3, generator=generator)
        # straight towards zero is the direction in which the L1 term pays the most
        steps[0] = -size * target.sign()
        moved = motion_loss((target + steps)[..., None, :], target.expand(101, -1, -1)[..., None, :])
        assert (moved > best).all()


def test_unchanged_by_order_and_by_axis_permutation() -> None:
    predicted, target, visible, weight = tracks()
    base = motion_loss(predicted, target, visibility=visible, point_weight=weight)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    shuffled = motion_loss(
        predicted[:, order][..., [2, 0, 1]],
        target[:, order][..., [2, 0, 1]],
        visibility=visible[:, order],
        point_weight=weight[:, order],
    )
    torch.testing.assert_close(shuffled, base, atol=1e-13, rtol=0)


def test_scale_of_the_point_weights_does_not_matter() -> None:
    predicted, target, visible, weight = tracks()
    base = motion_loss(predicted, target, visibility=visible, point_weight=weight)
    torch.testing.assert_close(
        motion_loss(predicted, target, visibility=visible, point_weight=1e-9 * weight),
        base,
        rtol=1e-12,
        atol=0,
    )


@pytest.mark.parametrize("distance", ["l2", "squared"])
@pytest.mark.parametrize("l1_of", ["motion", "error"])
def test_gradient(distance, l1_of) -> None:
    predicted, target, visible, weight = tracks()
    inputs = [value[:, :5].clone().requires_grad_() for value in (predicted, target, weight)]
    assert torch.autograd.gradcheck(
        lambda p, t, w: motion_loss(
            p, t, visibility=visible[:, :5], point_weight=w, distance=distance, l1_of=l1_of
        ),
        inputs,
    )


@pytest.mark.parametrize("case", ["still", "empty", "no points", "zero weights", "one point"])
def test_degenerate_tracks_have_finite_gradients(case) -> None:
    predicted, target, visible, weight = tracks()
    num_points = {"no points": 0, "one point": 1}.get(case, 11)
    leaf = (
        (torch.zeros_like(predicted) if case == "still" else predicted)[:, :num_points]
        .clone()
        .requires_grad_()
    )
    loss = motion_loss(
        leaf,
        (torch.zeros_like(target) if case == "still" else target)[:, :num_points],
        visibility=torch.zeros(2, 11, dtype=torch.bool) if case == "empty" else None,
        point_weight=torch.zeros_like(weight) if case == "zero weights" else None,
    )
    loss.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert (loss > 0).all() if case == "one point" else (loss == 0).all()


def test_nan_where_invisible_changes_nothing() -> None:
    predicted, target, visible, weight = tracks()
    expected = motion_loss(predicted, target, visibility=visible, point_weight=weight)
    leaf = predicted.clone().requires_grad_()
    loss = motion_loss(
        leaf,
        torch.where(visible[..., None], target, float("nan")),
        visibility=visible,
        point_weight=torch.where(visible, weight, float("nan")),
    )
    loss.sum().backward()
    assert torch.equal(loss.detach(), expected)
    assert leaf.grad is not None
    assert (leaf.grad[~visible] == 0).all()
    assert leaf.grad[visible].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_type_is_kept_and_sums_are_wide(dtype) -> None:
    predicted = torch.full((4099, 3), 16.0, dtype=dtype)
    loss = motion_loss(predicted, torch.zeros_like(predicted), error_weight=0.0)
    assert loss.dtype == dtype
    assert loss.item() == 48.0  # the sum, 196,752, is beyond float16


def test_errors() -> None:
    predicted, target, visible, weight = tracks()
    with pytest.raises(ValueError, match="l1_weight must be >= 0, got -1.0"):
        motion_loss(predicted, target, l1_weight=-1.0)
    plain = inspect.unwrap(motion_loss)
    with pytest.raises(ValueError, match="distance must be 'l2' or 'squared', got 'l1'"):
        plain(predicted, target, distance="l1")
    with pytest.raises(ValueError, match="l1_of must be 'motion' or 'error', got 'x'"):
        plain(predicted, target, l1_of="x")
    with pytest.raises(
        ValueError, match=r"target must have the shape of predicted \(2, 11, 3\), got \(11, 3\)"
    ):
        plain(predicted, target[0])
    with pytest.raises(ValueError, match=r"visibility must have shape \(2, 11\), got \(11,\)"):
        plain(predicted, target, visibility=visible[0])
    with pytest.raises(ValueError, match=r"point_weight must have shape \(2, 11\), got \(2, 1\)"):
        plain(predicted, target, point_weight=weight[:, :1])


def test_numbers_that_are_no_displacements_are_refused(without_shape_checker) -> None:
    predicted, target, visible, _ = tracks()
    with pytest.raises(TypeError, match=r"predicted must be floating point, got torch\.int64"):
        motion_loss(predicted.long(), target)
    with pytest.raises(TypeError, match=r"visibility must be boolean, got torch\.float64"):
        motion_loss(predicted, target, visibility=visible.double())
    with pytest.raises(
        ValueError, match=r"predicted must have shape \[\*batch, point, 3\], got \[2, 11, 2\]"
    ):
        motion_loss(predicted[..., :2], target[..., :2])
    with pytest.raises(ValueError, match=r"predicted must have at least 2 axes, got shape \(3,\)"):
        motion_loss(predicted[0, 0], target[0, 0])


def test_second_derivative_is_finite_where_points_are_still_or_unseen() -> None:
    predicted, target, visible, _ = tracks()
    visible[0, :3] = False
    target[1, 0] = predicted[1, 0]
    leaf = predicted.clone().requires_grad_()
    loss = motion_loss(leaf, target, visibility=visible)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), leaf)
    assert second.isfinite().all() and (second != 0).any()


def test_weights_that_are_no_numbers_are_refused() -> None:
    predicted, target, _, _ = tracks()
    with pytest.raises(ValueError, match="error_weight must be >= 0, got nan"):
        motion_loss(predicted, target, error_weight=float("nan"))
