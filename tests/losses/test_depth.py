"""Pearson depth loss against the textbook formula."""

import inspect

import numpy as np
import pytest
import torch
from reference import losses_depth as reference

from diff4splat.losses import pearson_depth_loss

EPS = 1e-6


def maps(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 4 * torch.rand(2, 3, 5, 7, generator=generator, dtype=dtype)
    target = depth + torch.randn(2, 3, 5, 7, generator=generator, dtype=dtype)
    return depth, target, torch.rand(2, 3, 5, 7, generator=generator) > 0.3


@pytest.mark.parametrize("masked", [False, True])
def test_matches_reference(masked) -> None:
    depth, target, mask = maps()
    result = pearson_depth_loss(depth, target, mask=mask if masked else None)
    assert result.shape == (2, 3)
    for index in np.ndindex(2, 3):
        valid = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        expected = reference.pearson_depth_loss(depth[index].numpy(), target[index].numpy(), valid, EPS)
        assert result[index].item() == pytest.approx(expected, abs=1e-13)


def test_no_leading_axes() -> None:
    depth, target, _ = maps()
    assert pearson_depth_loss(depth[0, 0], target[0, 0]).shape == ()


@pytest.mark.parametrize("which", ["depth", "target"])
def test_unchanged_by_positive_scale_and_shift(which) -> None:
    depth, target, mask = maps()
    base = pearson_depth_loss(depth, target, mask=mask)
    changed = {"depth": depth, "target": target}
    changed[which] = 13 * changed[which] + 5
    # eps is 1e-6 of variances near 1
    torch.testing.assert_close(pearson_depth_loss(**changed, mask=mask), base, atol=2e-6, rtol=0)


def test_extremes() -> None:
    depth, _, _ = maps()
    torch.testing.assert_close(
        pearson_depth_loss(depth, 3 * depth + 1), torch.zeros(2, 3, dtype=torch.float64), atol=2e-6, rtol=0
    )
    torch.testing.assert_close(
        pearson_depth_loss(depth, -depth), torch.full((2, 3), 2.0, dtype=torch.float64), atol=2e-6, rtol=0
    )


def test_gradient() -> None:
    depth, target, mask = maps()
    depth, target = (
        depth[0, :2, :3, :3].clone().requires_grad_(),
        target[0, :2, :3, :3].clone().requires_grad_(),
    )
    assert torch.autograd.gradcheck(
        lambda d, t: pearson_depth_loss(d, t, mask=mask[0, :2, :3, :3]), (depth, target)
    )


@pytest.mark.parametrize("flat", ["depth", "target", "both"])
def test_flat_map_costs_one_with_finite_gradient(flat) -> None:
    depth, target, _ = maps()
    depth = torch.full_like(depth, 2.0) if flat != "target" else depth
    target = torch.full_like(target, 3.0) if flat != "depth" else target
    depth.requires_grad_()
    loss = pearson_depth_loss(depth, target)
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.ones(2, 3, dtype=torch.float64))
    assert depth.grad is not None
    assert depth.grad.isfinite().all()


@pytest.mark.parametrize("num_valid", [0, 1])
def test_hardly_any_valid_pixel(num_valid) -> None:
    depth, target, mask = maps()
    depth.requires_grad_()
    mask = torch.zeros_like(mask)
    mask[..., 2, 3] = num_valid == 1
    loss = pearson_depth_loss(depth, target, mask=mask)
    loss.sum().backward()
    assert (loss == num_valid).all()
    assert depth.grad is not None
    assert (depth.grad == 0).all()


def test_nan_outside_the_mask_changes_nothing() -> None:
    depth, target, mask = maps()
    gradients = []
    for fill in (0.0, float("nan"), float("inf")):
        leaf = torch.where(mask, depth, fill).requires_grad_()
        loss = pearson_depth_loss(leaf, torch.where(mask, target, fill), mask=mask)
        loss.sum().backward()
        gradients.append((loss.detach(), leaf.grad))
    for loss, gradient in gradients[1:]:
        assert torch.equal(loss, gradients[0][0])
        assert torch.equal(gradient, gradients[0][1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_type_is_kept_and_sums_are_wide(dtype) -> None:
    # 16,384 pixels near 50: the sum of squares is far beyond the range of float16
    generator = torch.Generator().manual_seed(0)
    depth = (50 + 10 * torch.rand(128, 128, generator=generator)).to(dtype)
    loss = pearson_depth_loss(depth, depth)
    assert loss.dtype == dtype
    # float32 rounding of the mean over 16,384 values, then that of the type itself
    assert abs(loss.item()) < 1e-5


def test_errors() -> None:
    depth, target, mask = maps()
    with pytest.raises(ValueError, match="eps must be > 0, got nan"):
        pearson_depth_loss(depth, target, eps=float("nan"))
    with pytest.raises(ValueError, match="eps must be > 0, got 0.0"):
        pearson_depth_loss(depth, target, eps=0.0)
    # Without the runtime shape checks of the tests, as users have it.
    plain = inspect.unwrap(pearson_depth_loss)
    with pytest.raises(
        ValueError, match=r"target must have the shape of depth \(2, 3, 5, 7\), got \(2, 3, 5, 1\)"
    ):
        plain(depth, target[..., :1])
    with pytest.raises(
        ValueError, match=r"mask must have the shape of depth \(2, 3, 5, 7\), got \(3, 5, 7\)"
    ):
        plain(depth, target, mask=mask[0])


@pytest.mark.parametrize("level", [1e3, 3333.3, 12345.6, 1e5])
def test_flat_maps_far_away_have_no_correlation(level: float) -> None:
    flat = torch.full((3, 37, 41), level)
    torch.testing.assert_close(pearson_depth_loss(flat, flat), torch.ones(3), atol=1e-3, rtol=0)


def test_numbers_that_are_no_maps_are_refused(without_shape_checker) -> None:
    depth, target, mask = maps()
    with pytest.raises(TypeError, match=r"depth must be floating point, got torch\.int64"):
        pearson_depth_loss(depth.long(), target)
    with pytest.raises(TypeError, match=r"target must be floating point, got torch\.uint8"):
        pearson_depth_loss(depth, target.to(torch.uint8))
    with pytest.raises(TypeError, match=r"mask must be boolean, got torch\.float32"):
        pearson_depth_loss(depth, target, mask=mask.float())
    with pytest.raises(ValueError, match=r"depth must have at least 2 axes, got shape \(7,\)"):
        pearson_depth_loss(depth[0, 0, 0], target[0, 0, 0])
