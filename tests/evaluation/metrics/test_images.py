"""Metrics against loops in float64, and what they must not notice."""

import numpy as np
import pytest
import torch
from reference import evaluation_metrics as reference

from diff4splat.evaluation import absolute_relative_error, depth_correlation, end_point_error, psnr


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def mask(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(2, 5, 7, generator=generator) > 0.4


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_psnr_matches_reference(masked, dtype, generator, mask) -> None:
    image = 1.4 * torch.rand(2, 3, 5, 7, generator=generator, dtype=dtype) - 0.2  # some beyond [0, 1]
    target = torch.rand(2, 3, 5, 7, generator=generator, dtype=dtype)
    result = psnr(image, target, mask=mask if masked else None)
    assert result.dtype == dtype
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        expected = reference.psnr(image[index].double().numpy(), target[index].double().numpy(), chosen)
        assert result[index].item() == pytest.approx(expected, abs=1e-5)


def test_psnr_of_a_known_error_and_of_equal_images() -> None:
    target = torch.full((3, 5, 7), 0.5)
    assert psnr(target + 0.1, target).item() == pytest.approx(20.0, abs=1e-4)
    assert psnr(target, target).item() == pytest.approx(100.0)


def test_an_empty_mask_has_no_error() -> None:
    nothing = torch.zeros(5, 7, dtype=torch.bool)
    assert psnr(torch.zeros(3, 5, 7), torch.ones(3, 5, 7), mask=nothing).isnan()
    assert absolute_relative_error(torch.ones(5, 7), torch.ones(5, 7), mask=nothing).isnan()
    some = torch.stack([nothing, ~nothing])
    depth = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert depth_correlation(depth, 2 * depth, mask=some).isnan().tolist() == [True, False]


@pytest.mark.parametrize("masked", [False, True])
def test_depth_metrics_match_reference(masked, generator, mask) -> None:
    depth = 1 + 4 * torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    target = depth + torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    given = mask if masked else None
    correlations = depth_correlation(depth, target, mask=given)
    errors = absolute_relative_error(depth, target, mask=given)
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        one, other = depth[index].numpy(), target[index].numpy()
        # the loss adds 1e-6 to variances near 1
        assert correlations[index].item() == pytest.approx(
            reference.correlation(one, other, chosen), abs=2e-6
        )
        expected = reference.absolute_relative_error(one, other, chosen)
        assert errors[index].item() == pytest.approx(expected, abs=1e-13)


def test_correlation_ignores_scale_and_shift_and_the_relative_error_does_not(generator) -> None:
    target = 1 + 4 * torch.rand(5, 7, generator=generator)
    assert depth_correlation(3 * target + 2, target).item() == pytest.approx(1.0, abs=1e-5)
    assert depth_correlation(-target, target).item() == pytest.approx(-1.0, abs=1e-5)
    assert absolute_relative_error(3 * target, target).item() == pytest.approx(2.0, abs=1e-5)
    assert depth_correlation(torch.full_like(target, 2.0), target).item() == 0.0


def test_nothing_rendered_counts_as_an_error_of_one() -> None:
    assert absolute_relative_error(torch.zeros(5, 7), torch.full((5, 7), 3.0)).item() == 1.0


@pytest.mark.parametrize("masked", [False, True])
def test_end_point_error_matches_reference(masked, generator, mask) -> None:
    displacement, target = torch.randn(2, 2, 5, 7, 3, generator=generator, dtype=torch.float64).unbind(0)
    result = end_point_error(displacement, target, mask=mask if masked else None)
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((5, 7), dtype=bool)
        expected = reference.end_point_error(displacement[index].numpy(), target[index].numpy(), chosen)
        assert result[index].item() == pytest.approx(expected, abs=1e-13)


def test_end_point_error_is_the_same_in_turned_axes(generator) -> None:
    displacement, target = torch.randn(2, 5, 7, 3, generator=generator, dtype=torch.float64).unbind(0)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    turned = end_point_error(displacement @ turn, target @ turn)
    torch.testing.assert_close(turned, end_point_error(displacement, target))
