"""LPIPS as a metric: how different people would find two images."""

import hashlib
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.metrics.images import check_image_range
from diff4splat.evaluation.metrics.masks import check_compared, masked_mean
from diff4splat.losses.lpips_network import lpips_network

__all__ = ["LpipsMetric"]

_LICENCE = "BSD-2-Clause (lpips), BSD-3-Clause (torchvision)"


class LpipsMetric:
    """LPIPS of images in [0, 1], at the size they come in; smaller is more alike.

    The heads come with the package `lpips`. The weights of the image network are read from the local torch
    cache or from a file, and never downloaded: `diff4splat.losses.LpipsDistance("alex", download=True)` does
    that, once. Source: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric".

    Args:
        net: Image network: "alex", as most tables have, or "vgg". Their numbers cannot be compared.
        weights: File with the weights of the image network, as torchvision saves them.
        seed: Draws these weights instead. Such distances need no files and say little: for tests of the rest.
        device: Where the network runs.
        images_at_once: Images per pass, for memory.

    Attributes:
        spec: What it is, with the hash of the weights.

    Raises:
        ModuleNotFoundError: If `lpips` or torchvision is not installed.
        ValueError: If `net` is unknown, both `weights` and `seed` are given, the file holds weights of
            another network, or `images_at_once` is below 1.
        FileNotFoundError: If the weights are not there.
    """

    def __init__(
        self,
        net: Literal["alex", "vgg"] = "alex",
        *,
        weights: str | Path | None = None,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        images_at_once: int = 8,
    ) -> None:
        if net not in ("alex", "vgg"):
            raise ValueError(f'net must be "alex" or "vgg", got {net!r}.')
        if images_at_once < 1:
            raise ValueError(f"images_at_once must be at least 1, got {images_at_once}.")
        model, file = lpips_network(net, weights=weights, seed=seed)
        self._model = model.to(device)
        self._device = torch.device(device)
        self._images_at_once = images_at_once
        self.spec = ExtractorSpec(
            name="LPIPS 0.1, " + {"alex": "AlexNet", "vgg": "VGG-16"}[net],
            layer="five layers, trained heads",
            preprocessing="RGB from [0, 1] to [-1, 1], size as given",
            weights=f"seed {seed}" if file is None else f"sha256:{_sha256(file)}",
            licence=_LICENCE if file is not None else "",
            trained=file is not None,
        )

    @torch.no_grad()
    def __call__(
        self,
        image: Float[Tensor, "*batch rgb=3 height width"],
        target: Float[Tensor, "*batch rgb=3 height width"],
        *,
        mask: Bool[Tensor, "*batch height width"] | None = None,
    ) -> Float[Tensor, " *batch"]:
        """Distance of each pair of images.

        With a mask, pixels where it does not hold are black in both images, so what they showed does not
        matter, and the mean is over the map of distances, in the size of the images, where it holds. Source:
        mLPIPS of Gao et al. 2022 (DyCheck). Such means differ a little from those without a mask, which
        average each layer in its own size, also for a mask of all pixels.

        Args:
            image: Colours; values a little outside [0, 1] are clamped.
            target: True colours in [0, 1].
            mask: Pixels that count; all when omitted.

        Returns:
            One value per pair, >= 0, in float32 where `image` is; NaN where no pixel counts. No gradients.

        Raises:
            TypeError: If the mask is not boolean.
            ValueError: If shapes disagree, a side is below 32 pixels, or an image has another range or NaN;
                see `diff4splat.evaluation.metrics.check_image_range`.
        """
        check_compared("image", image, target, mask, (*image.shape[:-3], *image.shape[-2:]))
        height, width = image.shape[-2:]
        if min(height, width) < _SMALLEST:
            raise ValueError(f"image must have sides of at least {_SMALLEST}, got {height} x {width}.")
        check_image_range(image, mask=mask)
        check_image_range(target, name="target", mask=mask)
        if mask is not None:
            image, target = (part.masked_fill(~mask[..., None, :, :], 0) for part in (image, target))
        images, targets = (part.reshape(-1, 3, height, width) for part in (image, target))
        masks = None if mask is None else mask.reshape(-1, height, width)
        found = []
        for start in range(0, len(images), self._images_at_once):
            rows = slice(start, start + self._images_at_once)
            found.append(self._distances(images[rows], targets[rows], None if masks is None else masks[rows]))
        distances = torch.cat(found) if found else image.new_zeros(0)
        return distances.reshape(image.shape[:-3]).to(image)

    def _distances(self, images: Tensor, targets: Tensor, masks: Tensor | None) -> Tensor:
        images, targets = (part.to(self._device, torch.float32).clamp(0, 1) for part in (images, targets))
        self._model.spatial = masks is not None  # type: ignore[assignment]
        distances = self._model(images, targets, normalize=True)
        if masks is None:
            return distances.flatten()
        return masked_mean(distances[:, 0].double(), masks.to(self._device))


_SMALLEST = 32  # below, the last layers have no pixel left


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
