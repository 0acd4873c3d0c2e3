"""Structural similarity against loops and libraries, and what its border and mask do."""

import numpy as np
import pytest
import torch
from reference import evaluation_ssim as reference
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from diff4splat.evaluation import ssim


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and noisy copies, some values beyond [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 17, 23, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 3, 17, 23, generator=generator, dtype=torch.float64)
    return (target + torch.tensor([0.05, 0.2])[:, None, None, None] * noise).clamp(-0.4, 1.4), target


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.rand(2, 17, 23, generator=torch.Generator().manual_seed(1)) > 0.4


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_matches_the_loop(masked, dtype, tolerance, pair, mask) -> None:
    image, target = (part.to(dtype) for part in pair)
    found = ssim(image, target, mask=mask if masked else None)
    assert found.dtype == dtype
    for index in range(2):
        chosen = mask[index].numpy() if masked else np.ones((17, 23), dtype=bool)
        expected = reference.ssim(image[index].double().numpy(), target[index].double().numpy(), chosen)
        assert found[index].item() == pytest.approx(expected, abs=tolerance)


def test_agrees_with_scikit_image_and_with_torchmetrics_less_its_border(pair) -> None:
    """Pitfall: torchmetrics keeps a mirrored border of 5 pixels, which gives another number."""
    image, target = pair[0].clamp(0, 1), pair[1]
    found = ssim(image, target)
    for index in range(2):
        expected = structural_similarity(
            image[index].numpy(),
            target[index].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        assert found[index].item() == pytest.approx(expected, abs=1e-12)
    whole, full = structural_similarity_index_measure(
        image, target, data_range=1.0, reduction="none", return_full_image=True
    )
    torch.testing.assert_close(found, full[..., 5:-5, 5:-5].mean((1, 2, 3)), rtol=0, atol=1e-12)
    assert (whole - found).abs().max() > 1e-3


def test_the_border_does_not_count_by_itself(pair) -> None:
    image, target = pair
    outside = torch.ones(2, 17, 23, dtype=torch.bool)
    outside[:, 5:-5, 5:-5] = False
    assert ssim(image, target, mask=outside).isnan().all()


def test_images_that_agree_have_one_and_negatives_less_than_nothing(pair) -> None:
    _, target = pair
    assert ssim(target, target).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    assert (ssim(1 - target, target) < -0.5).all()


def test_a_constant_shift_has_a_closed_form() -> None:
    """Without structure only the first factor is left: (2ab + C1) / (a² + b² + C1)."""
    found = ssim(torch.full((3, 11, 13), 0.3), torch.full((3, 11, 13), 0.7))
    assert found.item() == pytest.approx((2 * 0.21 + 1e-4) / (0.09 + 0.49 + 1e-4), abs=1e-6)


def test_a_mask_of_all_pixels_changes_nothing(pair) -> None:
    everything = torch.ones(2, 17, 23, dtype=torch.bool)
    torch.testing.assert_close(ssim(*pair, mask=everything), ssim(*pair), rtol=0, atol=1e-12)


def test_what_is_masked_out_does_not_matter(pair, mask) -> None:
    image, target = pair
    other = torch.where(mask[:, None], image, torch.nan)
    blank = torch.where(mask[:, None], target, 7.0)
    assert torch.equal(ssim(other, blank, mask=mask), ssim(image, target, mask=mask))


def test_leading_axes_are_kept_and_no_pixel_gives_nan(pair, mask) -> None:
    image, target = pair
    folded = ssim(image[None, :, None], target[None, :, None])
    assert torch.equal(folded, ssim(image, target)[None, :, None])
    mask[1] = False
    assert ssim(image, target, mask=mask).isnan().tolist() == [False, True]
    assert ssim(image[:0], target[:0]).shape == (0,)


def test_small_images_are_refused() -> None:
    assert ssim(torch.zeros(3, 11, 11), torch.zeros(3, 11, 11)).item() == 1.0
    with pytest.raises(ValueError, match="sides of at least 11, got 13 x 10"):
        ssim(torch.zeros(3, 13, 10), torch.zeros(3, 13, 10))
