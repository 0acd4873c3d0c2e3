"""Total variation against a loop over pixels."""

import inspect

import numpy as np
import pytest
import torch
from reference import losses_smoothness as reference

from diff4splat.losses import total_variation_loss


def values(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 3, 5, 7, generator=generator) > 0.3
    return torch.randn(2, 3, 5, 7, generator=generator, dtype=dtype), mask


@pytest.mark.parametrize("masked", [False, True])
def test_matches_reference(masked) -> None:
    maps, mask = values()
    result = total_variation_loss(maps, mask=mask if masked else None)
    assert result.shape == (2, 3)
    for index in np.ndindex(2, 3):
        valid = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        expected = reference.total_variation_loss(maps[index].numpy(), valid)
        assert result[index].item() == pytest.approx(expected, abs=1e-14)


def test_ramp_has_its_slopes_as_loss() -> None:
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    assert total_variation_loss(2 * x - 3 * y + 11).item() == 5.0


def test_unchanged_by_shift_and_linear_in_scale() -> None:
    maps, mask = values()
    base = total_variation_loss(maps, mask=mask)
    torch.testing.assert_close(total_variation_loss(-3 * maps + 17, mask=mask), 3 * base)


def test_one_mask_holds_for_all_channels() -> None:
    maps, mask = values()
    shared = total_variation_loss(maps, mask=mask[:, :1])
    assert torch.equal(shared, total_variation_loss(maps, mask=mask[:, :1].expand_as(maps)))
    assert not torch.equal(shared, total_variation_loss(maps, mask=mask))


def test_gradient() -> None:
    maps, mask = values()
    leaf = maps[0, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: total_variation_loss(v, mask=mask[0, :2]), leaf)


@pytest.mark.parametrize("case", ["flat", "empty mask", "one pixel", "one row"])
def test_degenerate_maps(case) -> None:
    maps, mask = values()
    shape = {"one pixel": (1, 1), "one row": (1, 7)}.get(case, (5, 7))
    leaf = torch.full((2, 3, *shape), 2.0) if case != "empty mask" else maps
    leaf = leaf.clone().requires_grad_()
    loss = total_variation_loss(leaf, mask=torch.zeros_like(mask) if case == "empty mask" else None)
    loss.sum().backward()
    assert (loss == 0).all()
    assert leaf.grad is not None
    assert (leaf.grad == 0).all()


def test_nan_outside_the_mask_changes_nothing() -> None:
    maps, mask = values()
    leaf = torch.where(mask, maps, float("nan")).requires_grad_()
    loss = total_variation_loss(leaf, mask=mask)
    loss.sum().backward()
    assert torch.equal(loss.detach(), total_variation_loss(torch.where(mask, maps, 0.0), mask=mask))
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_type_is_kept_and_sums_are_wide(dtype) -> None:
    # 16,256 differences of 16 in each direction sum to 260,096, beyond float16
    board = 16.0 * ((torch.arange(128)[:, None] + torch.arange(128)) % 2)
    loss = total_variation_loss(board.to(dtype))
    assert loss.dtype == dtype
    assert loss.item() == 32.0


@pytest.mark.parametrize("shape", [(3, 5, 7), (5, 7), (2, 2, 5, 7), (2, 3, 5, 1), (1, 2, 3, 5, 7)])
def test_errors(shape) -> None:
    maps, _ = values()
    mask = torch.ones(shape, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"mask must have the shape of values \(2, 3, 5, 7\), or 1 .*, got"):
        inspect.unwrap(total_variation_loss)(maps, mask=mask)


def test_numbers_that_are_no_maps_are_refused(without_shape_checker) -> None:
    with pytest.raises(TypeError, match=r"values must be floating point, got torch\.uint8"):
        total_variation_loss(torch.ones(5, 7, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"mask must be boolean, got torch\.int64"):
        total_variation_loss(torch.ones(5, 7), mask=torch.ones(5, 7, dtype=torch.long))
    with pytest.raises(ValueError, match=r"values must have at least 2 axes, got shape \(7,\)"):
        total_variation_loss(torch.ones(7))
