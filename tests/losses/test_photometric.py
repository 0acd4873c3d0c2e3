"""Photometric loss: squared error against a loop, and the perceptual network around it."""

import inspect

import numpy as np
import pytest
import torch
from reference import losses_photometric as reference
from torch import Tensor, nn

from diff4splat.losses import LpipsDistance, PhotometricLoss, photometric_mse


def images(dtype=torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 5, 3, 7, 11)
    return (
        torch.rand(shape, generator=generator, dtype=dtype),
        torch.rand(shape, generator=generator, dtype=dtype),
        torch.rand(2, 5, 7, 11, generator=generator) > 0.3,
    )


def mean_difference(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).abs().mean((1, 2, 3))


@pytest.mark.parametrize("masked", [False, True])
def test_squared_error_matches_reference(masked) -> None:
    image, target, mask = images()
    result = photometric_mse(image, target, mask=mask if masked else None)
    assert result.shape == (2, 5)
    for index in np.ndindex(2, 5):
        valid = mask[index].numpy() if masked else np.ones((7, 11), dtype=bool)
        expected = reference.photometric_mse(image[index].numpy(), target[index].numpy(), valid)
        assert result[index].item() == pytest.approx(expected, rel=1e-13)


def test_gradient() -> None:
    image, target, mask = images()
    leaf = image[0, :2, :, :3, :3].clone().requires_grad_()
    part = target[0, :2, :, :3, :3]
    assert torch.autograd.gradcheck(lambda i: photometric_mse(i, part, mask=mask[0, :2, :3, :3]), leaf)
    loss = PhotometricLoss(network=lambda a, b: (a - b).square().sum((1, 2, 3)).sin())
    assert torch.autograd.gradcheck(lambda i: loss(i, part), leaf)


def test_empty_mask_and_nan_outside_it() -> None:
    image, target, mask = images()
    mask[0] = False
    leaf = torch.where(mask[:, :, None], image, float("nan")).requires_grad_()
    loss = photometric_mse(leaf, torch.where(mask[:, :, None], target, float("nan")), mask=mask)
    loss.sum().backward()
    assert (loss[0] == 0).all()
    assert torch.equal(loss.detach(), photometric_mse(image, target, mask=mask))
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


def test_perceptual_part_is_weighted_and_sees_flat_batches_in_unit_range() -> None:
    image, target, _ = images()
    seen: list[tuple[int, ...]] = []

    def network(a: Tensor, b: Tensor) -> Tensor:
        seen.append(tuple(a.shape))
        assert a.min() >= 0
        return mean_difference(a, b)

    loss = PhotometricLoss(0.25, network=network)(image, target)
    assert seen == [(10, 3, 7, 11)]
    expected = (image - target).square().mean((-3, -2, -1)) + 0.25 * (image - target).abs().mean((-3, -2, -1))
    torch.testing.assert_close(loss, expected, atol=1e-14, rtol=0)


def test_default_weight_is_that_of_the_paper() -> None:
    assert PhotometricLoss(network=mean_difference).perceptual_weight == 0.5


def test_single_image_gives_a_scalar() -> None:
    image, target, _ = images()
    assert PhotometricLoss(network=mean_difference)(image[0, 0], target[0, 0]).shape == ()


def test_equal_images_cost_nothing() -> None:
    image, _, _ = images()
    assert (PhotometricLoss(network=mean_difference)(image, image) == 0).all()


def test_network_module_is_a_child() -> None:
    class Distance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, image: Tensor, target: Tensor) -> Tensor:
            return self.gain * mean_difference(image, target)

    loss = PhotometricLoss(network=Distance()).to(torch.float64)
    assert next(loss.parameters()).dtype == torch.float64


def test_weight_zero_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    image, target, _ = images()
    assert torch.equal(PhotometricLoss(0.0)(image, target), photometric_mse(image, target))


def test_errors() -> None:
    image, target, mask = images()
    with pytest.raises(ValueError, match="perceptual_weight must be >= 0, got -0.5"):
        PhotometricLoss(-0.5)
    with pytest.raises(ValueError, match=r"one value per image, shape \(10,\), got \(10, 3\)"):
        PhotometricLoss(network=lambda a, b: (a - b).mean((2, 3)))(image, target)
    plain = inspect.unwrap(photometric_mse)
    with pytest.raises(ValueError, match="target must have the shape of image"):
        plain(image, target[0])
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 5, 7, 11\), got \(5, 7, 11\)"):
        plain(image, target, mask=mask[0])


def test_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(ModuleNotFoundError, match="pip install lpips torchvision"):
        PhotometricLoss()


def test_missing_weights_are_explained_and_not_fetched(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lpips")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: pytest.fail("download"))
    with pytest.raises(
        FileNotFoundError, match=r"(?s)vgg weights.*checkpoints.*vgg16.*download=True.*network="
    ):
        PhotometricLoss()


@pytest.fixture(scope="module")
def lpips_distance(tmp_path_factory: pytest.TempPathFactory) -> LpipsDistance:
    """LPIPS over a random SqueezeNet that lies where torchvision would have put the real one."""
    pytest.importorskip("lpips")
    from torchvision import models

    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        state = models.squeezenet1_1(weights=None).state_dict()
        url = models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url
        torch.save(state, folder / "checkpoints" / url.rsplit("/", 1)[-1])
        patch.setattr(torch.hub, "_hub_dir", str(folder))
        # torchvision asks for the hash in the file name only when it downloads
        return LpipsDistance("squeeze")


def test_lpips_is_a_frozen_distance(lpips_distance: LpipsDistance) -> None:
    generator = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 2, 3, 37, 41, generator=generator)
    image.requires_grad_()
    distance = lpips_distance(image, target)
    assert distance.shape == (2,)
    assert (distance > 0).all()
    assert (lpips_distance(target, target) == 0).all()
    distance.sum().backward()
    assert image.grad is not None
    assert (image.grad != 0).any()
    assert not any(parameter.requires_grad for parameter in lpips_distance.parameters())


def test_lpips_receives_images_from_minus_one_to_one(lpips_distance: LpipsDistance) -> None:
    image, target = torch.rand(2, 2, 3, 37, 41, generator=torch.Generator().manual_seed(0))
    expected = lpips_distance.model(2 * image - 1, 2 * target - 1).flatten()
    torch.testing.assert_close(lpips_distance(image, target), expected, atol=1e-7, rtol=1e-5)


def test_lpips_takes_half_precision(lpips_distance: LpipsDistance) -> None:
    image, target = torch.rand(2, 2, 3, 37, 41, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = PhotometricLoss(network=lpips_distance)(image, target)
    assert loss.dtype == torch.bfloat16
    assert loss.isfinite().all()


def test_lpips_has_no_dropout_in_training(lpips_distance: LpipsDistance) -> None:
    loss = PhotometricLoss(network=lpips_distance).train()
    assert not any(module.training for module in lpips_distance.modules())
    image, target = torch.rand(2, 2, 3, 37, 41, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loss(image, target), loss(image, target))


def test_numbers_that_are_no_images_are_refused(without_shape_checker) -> None:
    image, target, mask = images()
    with pytest.raises(TypeError, match=r"image must be floating point, got torch\.uint8"):
        photometric_mse((255 * image).to(torch.uint8), target)
    with pytest.raises(TypeError, match=r"target must be floating point, got torch\.uint8"):
        photometric_mse(image, (255 * target).to(torch.uint8))
    with pytest.raises(TypeError, match=r"mask must be boolean, got torch\.float32"):
        photometric_mse(image, target, mask=mask.float())
    with pytest.raises(ValueError, match=r"image must have at least 3 axes, got shape \(7, 11\)"):
        photometric_mse(image[0, 0, 0], target[0, 0, 0])
    with pytest.raises(TypeError, match=r"network must return a tensor, got 0\.5"):
        PhotometricLoss(network=lambda image, target: 0.5)(image, target)


def test_a_network_of_weight_zero_is_not_run() -> None:
    def fail(image: Tensor, target: Tensor) -> Tensor:
        raise AssertionError

    image, target, _ = images()
    loss = PhotometricLoss(0.0, network=fail)
    assert torch.equal(loss(image, target), photometric_mse(image, target))
