"""Depth metrics against loops, least squares of numpy and torchmetrics, and what alignment does to them."""

import numpy as np
import pytest
import torch
from einops import rearrange
from reference import evaluation_metrics as reference
from torchmetrics.functional import mean_absolute_percentage_error, pearson_corrcoef

from diff4splat.evaluation import absolute_relative_error, align_depth, depth_correlation, depth_delta1
from diff4splat.losses import pearson_depth_loss


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def maps(generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth, truth and mask."""
    depth = 1 + 4 * torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    target = 3 * depth - 1 + torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    return depth, target, torch.rand(2, 5, 7, generator=generator) > 0.4


def fitted(depth: np.ndarray, target: np.ndarray, alignment: str) -> tuple[float, float]:
    """Scale and shift by numpy."""
    if alignment == "none":
        return 1.0, 0.0
    if alignment == "median":
        return np.median(target) / np.median(depth), 0.0
    if alignment == "scale":
        return np.linalg.lstsq(depth[:, None], target, rcond=None)[0][0], 0.0
    return tuple(np.linalg.lstsq(np.stack([depth, np.ones_like(depth)], 1), target, rcond=None)[0])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("alignment", ["none", "median", "scale", "scale_shift"])
def test_alignment_is_that_of_numpy(alignment, masked, maps) -> None:
    depth, target, mask = maps
    given = mask if masked else None
    aligned = align_depth(depth, target, alignment=alignment, mask=given)
    errors = absolute_relative_error(depth, target, alignment=alignment, mask=given)
    shares = depth_delta1(depth, target, alignment=alignment, mask=given, threshold=1.05)
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        one, other = depth[index].numpy(), target[index].numpy()
        scale, shift = fitted(one[chosen], other[chosen], alignment)
        expected = scale * one + shift
        np.testing.assert_allclose(aligned[index].numpy(), expected, rtol=1e-11)
        error = reference.absolute_relative_error(expected, other, chosen)
        assert errors[index].item() == pytest.approx(error, abs=1e-11)
        near = [max(d / t, t / d) < 1.05 for d, t in zip(expected[chosen], other[chosen], strict=True)]
        assert shares[index].item() == pytest.approx(sum(near) / len(near))
        assert alignment == "none" or 0 < sum(near) < len(near)  # the case tells right from wrong


def test_medians_of_even_counts_are_between_two_values() -> None:
    depth, target = torch.tensor([[1.0, 2.0, 4.0, 8.0]]), torch.tensor([[3.0, 5.0, 6.0, 9.0]])
    assert align_depth(depth, target, alignment="median")[0, 0].item() == pytest.approx(5.5 / 3)


@pytest.mark.parametrize("masked", [False, True])
def test_correlation_matches_the_reference(masked, maps) -> None:
    depth, target, mask = maps
    found = depth_correlation(depth, target, mask=mask if masked else None)
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        expected = reference.correlation(depth[index].numpy(), target[index].numpy(), chosen)
        assert found[index].item() == pytest.approx(expected, abs=1e-13)


def test_torchmetrics_agrees(maps) -> None:
    depth, target, _ = maps
    for index in range(2):
        one, other = depth[index], target[index]
        library = mean_absolute_percentage_error(one, other)
        torch.testing.assert_close(absolute_relative_error(one, other, alignment="none"), library)
        torch.testing.assert_close(
            depth_correlation(one, other), pearson_corrcoef(one.flatten(), other.flatten())
        )


def test_correlation_ignores_scale_and_shift_of_either_map(maps) -> None:
    depth, target, mask = maps
    expected = depth_correlation(depth, target, mask=mask)
    for scale, shift in ((3.0, 2.0), (1e-4, 0.0), (1e5, -7.0)):
        torch.testing.assert_close(depth_correlation(scale * depth + shift, target, mask=mask), expected)
        torch.testing.assert_close(depth_correlation(depth, scale * target + shift, mask=mask), expected)
    torch.testing.assert_close(depth_correlation(-depth, target, mask=mask), -expected)


def test_correlation_of_small_numbers_is_not_that_of_the_loss(maps) -> None:
    """Pitfall: the loss adds 1e-6 to variances, which is no little where depths are small numbers."""
    depth, target, _ = maps
    small = 1e-3 * depth
    assert (depth_correlation(small, target) - depth_correlation(depth, target)).abs().max() < 1e-12
    assert (1 - pearson_depth_loss(small, target) - depth_correlation(depth, target)).abs().max() > 0.1


def test_a_flat_map_correlates_with_nothing() -> None:
    target = torch.arange(35.0).reshape(5, 7)
    assert depth_correlation(torch.full((5, 7), 0.1), target).item() == 0.0
    assert depth_correlation(target, torch.full((5, 7), 0.1)).item() == 0.0


def test_alignment_forgives_what_it_fits(maps) -> None:
    _, target, _ = maps
    for alignment in ("median", "scale", "scale_shift"):
        error = absolute_relative_error(0.3 * target, target, alignment=alignment)
        assert error.abs().max() < 1e-12
    moved = 0.3 * target + 2
    assert absolute_relative_error(moved, target, alignment="scale_shift").abs().max() < 1e-12
    assert (absolute_relative_error(moved, target, alignment="scale") > 0.1).all()
    assert (absolute_relative_error(3 * target, target, alignment="none") - 2).abs().max() < 1e-12


def test_alignment_can_turn_a_ranking_around() -> None:
    """Pitfall: which method is better depends on the alignment, so it has to be said."""
    target = torch.tensor([[2.0, 4.0, 6.0, 8.0]])
    shape = 2 * target  # twice too large, of exactly the right shape
    size = torch.tensor([[2.5, 3.5, 6.5, 7.5]])  # of about the right size
    errors = {
        alignment: [
            absolute_relative_error(depth, target, alignment=alignment).item() for depth in (shape, size)
        ]
        for alignment in ("none", "median")
    }
    assert errors["none"][0] == 1.0 > errors["none"][1]
    assert errors["median"][0] == 0.0 < errors["median"][1]


def test_one_fit_per_clip_is_stricter_than_one_per_frame() -> None:
    """Pitfall: frames whose scales differ look right if each is aligned by itself."""
    target = 1 + torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    depth = target * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)[:, None, None]
    per_frame = absolute_relative_error(depth, target, alignment="scale")
    assert per_frame.shape == (3,)
    assert per_frame.max() < 1e-12
    clip = [rearrange(part, "f h w -> (f h) w") for part in (depth, target)]
    per_clip = absolute_relative_error(*clip, alignment="scale")
    assert per_clip.shape == ()
    assert per_clip > 0.2


def test_depth_limits_choose_pixels_by_the_truth_and_clip_what_is_predicted() -> None:
    depth, target = torch.tensor([[1.0, 9.0, 9.0, 5.0]]), torch.tensor([[2.0, 4.0, 8.0, 100.0]])
    limits = {"min_depth": 2.0, "max_depth": 8.0}
    # 1 becomes 2, 9 becomes 8; the last pixel is too far away to count
    error = absolute_relative_error(depth, target, alignment="none", **limits)
    assert error.item() == pytest.approx((0 + 1 + 0) / 3)
    share = depth_delta1(depth, target, alignment="none", **limits)
    assert share.item() == pytest.approx(2 / 3)
    mask = torch.tensor([[True, False, True, True]])
    assert absolute_relative_error(depth, target, alignment="none", mask=mask, **limits).item() == 0.0
    # the fit uses the pixels that count alone
    scaled = torch.tensor([[1.0, 2.0, 4.0, 1.0]])
    assert absolute_relative_error(scaled, target, alignment="scale", **limits).item() == 0.0


def test_nothing_rendered_counts_as_an_error_of_one_and_is_never_within() -> None:
    nothing, target = torch.zeros(5, 7), torch.full((5, 7), 3.0)
    assert absolute_relative_error(nothing, target, alignment="none").item() == 1.0
    assert depth_delta1(nothing, target, alignment="none").item() == 0.0
    assert depth_delta1(-target, target, alignment="none").item() == 0.0
    # the factor itself is excluded
    assert depth_delta1(1.25 * target, target, alignment="none").item() == 0.0
    assert depth_delta1(1.24 * target, target, alignment="none").item() == 1.0


def test_maps_without_a_fit_are_nan_and_flat_ones_become_the_mean() -> None:
    target = torch.arange(1.0, 36.0).reshape(5, 7)
    assert absolute_relative_error(torch.zeros(5, 7), target, alignment="median").isnan()
    assert depth_delta1(torch.zeros(5, 7), target, alignment="median").isnan()
    assert absolute_relative_error(torch.zeros(5, 7), target, alignment="scale").item() == 1.0
    aligned = align_depth(torch.full((5, 7), 0.1), target, alignment="scale_shift")
    torch.testing.assert_close(aligned, torch.full((5, 7), 18.0, dtype=torch.float64))


@pytest.mark.parametrize("alignment", ["none", "median", "scale", "scale_shift"])
def test_nan_and_empty_masks_are_not_dropped(alignment) -> None:
    target = 1 + torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    depth = target + 0.1
    depth[1, 2, 3] = torch.nan
    for measure in (absolute_relative_error, depth_delta1):
        assert measure(depth, target, alignment=alignment).isnan().tolist() == [False, True]
        assert measure(target, depth, alignment=alignment).isnan().tolist() == [False, True]
        limited = measure(target, depth, alignment=alignment, min_depth=0.1)
        assert limited.isnan().tolist() == [False, True]
        seen = ~depth.isnan()
        assert measure(depth, target, alignment=alignment, mask=seen).isfinite().all()
        seen[0] = False
        assert measure(depth, target, alignment=alignment, mask=seen).isnan().tolist() == [True, False]
    assert depth_correlation(depth, target).isnan().tolist() == [False, True]
    assert depth_correlation(depth, target, mask=seen).isnan().tolist() == [True, False]


def test_errors(maps, without_shape_checker) -> None:
    depth, target, mask = maps
    with pytest.raises(
        ValueError, match="alignment must be one of none, median, scale, scale_shift, got 'affine'"
    ):
        absolute_relative_error(depth, target, alignment="affine")
    with pytest.raises(TypeError, match="alignment"):
        absolute_relative_error(depth, target)  # no default: it changes the number
    with pytest.raises(ValueError, match="0 <= min < max, got 3.0 and 2.0"):
        depth_delta1(depth, target, alignment="none", min_depth=3.0, max_depth=2.0)
    with pytest.raises(ValueError, match=r"threshold must be above 1, got 1\.0"):
        depth_delta1(depth, target, alignment="none", threshold=1.0)
    for measure in (
        depth_correlation,
        lambda d, t, mask=None: absolute_relative_error(d, t, alignment="none", mask=mask, min_depth=1.0),
        lambda d, t, mask=None: align_depth(d, t, alignment="scale", mask=mask),
    ):
        with pytest.raises(
            ValueError, match=r"target must have the shape of depth \(2, 5, 7\), got \(5, 7\)"
        ):
            measure(depth, target[0])
        with pytest.raises(ValueError, match=r"mask must have shape \(2, 5, 7\), got \(5, 7\)"):
            measure(depth, target, mask=mask[0])
        with pytest.raises(TypeError, match="mask must be boolean"):
            measure(depth, target, mask=mask.float())


def test_whole_numbers_are_refused_and_not_cut_off(without_shape_checker) -> None:
    # pitfall: depth in whole millimetres gave the error 0, which is the best one
    depth, target = torch.full((5, 7), 900), torch.full((5, 7), 1000)
    for measure in (absolute_relative_error, depth_delta1, align_depth):
        with pytest.raises(TypeError, match=r"depth must hold floats, got torch\.int64"):
            measure(depth, target, alignment="none")
    with pytest.raises(TypeError, match=r"target must hold floats, got torch\.int64"):
        depth_correlation(depth.float(), target)
