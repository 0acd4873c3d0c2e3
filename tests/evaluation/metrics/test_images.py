"""Metrics of pixels against loops in float64, and what they must not notice."""

import math

import numpy as np
import pytest
import torch
from reference import evaluation_metrics as reference
from torchmetrics.functional.image import peak_signal_noise_ratio

from diff4splat.evaluation import end_point_error, psnr, ssim


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


def test_frames_of_a_clip_are_measured_one_by_one() -> None:
    """Pitfall: the decibels of the pooled error (torchmetrics without `dim`) are another, smaller number."""
    target = torch.full((2, 3, 5, 7), 0.5, dtype=torch.float64)
    image = target + torch.tensor([0.01, 0.2], dtype=torch.float64)[:, None, None, None]
    each = psnr(image, target)
    assert each.tolist() == pytest.approx([40.0, 20 * math.log10(5)])
    pooled = peak_signal_noise_ratio(image, target, data_range=1.0).item()
    assert pooled == pytest.approx(-10 * math.log10((0.01**2 + 0.2**2) / 2))
    assert each.mean().item() > pooled + 9
    library = peak_signal_noise_ratio(image, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(each, library)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_another_range_is_refused(measure, generator) -> None:
    """Pitfall: 0 to 255, or -1 to 1, given as 0 to 1 would be clamped and still give a number."""
    image = torch.rand(3, 13, 17, generator=generator)
    with pytest.raises(
        ValueError, match=r"image must have values in \[0, 1\], got values from 0\.\d+ to 25\d"
    ):
        measure(255 * image, image)
    with pytest.raises(
        ValueError, match=r"target must have values in \[0, 1\], got values from 0\.\d+ to 25\d"
    ):
        measure(image, 255 * image)
    with pytest.raises(ValueError, match=r"image .* got values from -0\.9\d+ to 1"):
        measure(2 * image - 1, image)
    measure(1.8 * image - 0.4, image)  # overshoot of a network is not another range
    broken = image.clone()
    broken[1, 3, 5] = torch.nan
    with pytest.raises(ValueError, match="image must have values in .*, got NaN"):
        measure(broken, image)
    mask = torch.ones(13, 17, dtype=torch.bool)
    mask[3, 5] = False
    assert measure(broken, image, mask=mask).isfinite()


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_shapes_that_would_be_broadcast_are_refused(measure, without_shape_checker) -> None:
    image = torch.zeros(2, 3, 13, 17)
    with pytest.raises(
        ValueError, match=r"target must have the shape of image \(2, 3, 13, 17\), got \(3, 13"
    ):
        measure(image, image[0])
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 13, 17\), got \(13, 17\)"):
        measure(image, image, mask=torch.ones(13, 17, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"mask must be boolean, got torch\.float32"):
        measure(image, image, mask=torch.ones(2, 13, 17))


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


def test_displacements_that_would_be_broadcast_are_refused(without_shape_checker) -> None:
    displacement = torch.zeros(2, 5, 7, 3)
    with pytest.raises(ValueError, match=r"shape of displacement \(2, 5, 7, 3\), got \(5, 7, 3\)"):
        end_point_error(displacement, displacement[0])
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 5, 7\), got \(5, 7\)"):
        end_point_error(displacement, displacement, mask=torch.ones(5, 7, dtype=torch.bool))


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int32])
@pytest.mark.parametrize("measure", [psnr, ssim, end_point_error])
def test_whole_numbers_are_refused_and_not_cut_off(measure, kind, without_shape_checker) -> None:
    # pitfall: the result had the type of the image, so PSNR of black and white was -10 and SSIM was 0 or True
    shape = (13, 17, 3) if measure is end_point_error else (3, 13, 17)
    floats = torch.zeros(shape)
    whole = floats.to(kind)
    with pytest.raises(TypeError, match=rf"must hold floats, got {kind}"):
        measure(whole, whole)
    with pytest.raises(TypeError, match=rf"target must hold floats, got {kind}"):
        measure(floats, whole)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.filterwarnings("error")
def test_gradients_pass_without_a_warning(measure) -> None:
    image = torch.full((3, 13, 17), 0.25, requires_grad=True)
    measure(image, torch.full((3, 13, 17), 0.5)).backward()
    assert image.grad is not None and image.grad.isfinite().all()


def test_displacements_have_x_y_z_last(without_shape_checker) -> None:
    channels_first = torch.zeros(3, 13, 17)
    with pytest.raises(ValueError, match=r"displacement must have shape .* 3\), got \(3, 13, 17\)"):
        end_point_error(channels_first, channels_first)
