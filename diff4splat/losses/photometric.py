"""Appearance supervision: squared error plus a perceptual distance."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from diff4splat.losses.inputs import check_boolean, check_floating
from diff4splat.losses.lpips_network import LpipsNet, lpips_network

__all__ = ["LpipsDistance", "PhotometricLoss", "photometric_mse"]


def photometric_mse(
    image: Float[Tensor, "*batch channel height width"],
    target: Float[Tensor, "*batch channel height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean squared error of two images over channels and valid pixels.

    Source: first term of Diff4Splat, Eq. 3.

    Args:
        image: Rendered image, usually in [0, 1]; receives gradients.
        target: Reference image, same range; may be NaN outside `mask`.
        mask: Valid pixels; all pixels when omitted.

    Returns:
        Values >= 0, not reduced over `*batch`; 0 where the mask is empty.

    Raises:
        TypeError: If an image is not floating point or `mask` not boolean.
        ValueError: If shapes disagree or an axis is missing.
    """
    check_floating(3, image=image, target=target)
    if image.shape != target.shape:
        raise ValueError(
            f"target must have the shape of image {tuple(image.shape)}, got {tuple(target.shape)}."
        )
    wide = torch.promote_types(torch.promote_types(image.dtype, target.dtype), torch.float32)
    if mask is None:
        return (image.to(wide) - target.to(wide)).square().mean((-3, -2, -1)).to(image.dtype)
    expected = (*image.shape[:-3], *image.shape[-2:])
    if mask.shape != expected:
        raise ValueError(f"mask must have shape {tuple(expected)}, got {tuple(mask.shape)}.")
    check_boolean("mask", mask)
    valid = mask[..., None, :, :]
    # Selecting before the difference keeps NaN outside the mask out of the gradients.
    error = torch.where(valid, image.to(wide), 0) - torch.where(valid, target.to(wide), 0)
    count = mask.sum((-2, -1)).clamp_min(1) * image.shape[-3]
    return (error.square().sum((-3, -2, -1)) / count).to(image.dtype)


class PhotometricLoss(nn.Module):
    r"""Squared error plus weighted perceptual distance between rendered and real images.

    $$\mathcal{L}_{photo} = \mathrm{MSE}(\hat I, I) + \lambda_p \, \mathrm{LPIPS}(\hat I, I)$$

    with $\lambda_p$ = `perceptual_weight`. Source: Diff4Splat, Eq. 3, with $\lambda_p = 0.5$.

    Args:
        perceptual_weight: Weight of the perceptual distance; 0 needs and builds no network.
        network: Perceptual distance as `network(image, target)`, which receives two tensors
            `"batch rgb=3 height width"` in [0, 1] and returns one value per image. `LpipsDistance()` when
            omitted.

    Raises:
        ValueError: If `perceptual_weight` is negative.

    Examples:
        >>> loss = PhotometricLoss(network=lambda image, target: (image - target).abs().mean((1, 2, 3)))
        >>> loss(torch.zeros(2, 5, 3, 8, 8), torch.ones(2, 5, 3, 8, 8)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, perceptual_weight: float = 0.5, *, network: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        if not perceptual_weight >= 0:
            raise ValueError(f"perceptual_weight must be >= 0, got {perceptual_weight}.")
        self.perceptual_weight = perceptual_weight
        self.network = LpipsDistance() if network is None and perceptual_weight > 0 else network

    def forward(
        self,
        image: Float[Tensor, "*batch rgb=3 height width"],
        target: Float[Tensor, "*batch rgb=3 height width"],
    ) -> Float[Tensor, " *batch"]:
        """Loss of each image.

        Args:
            image: Rendered image in [0, 1]; receives gradients.
            target: Reference image in [0, 1].

        Returns:
            Values not reduced over `*batch`.

        Raises:
            TypeError: If an image is not floating point or the network returns no tensor.
            ValueError: If the shapes differ or the network does not return one value per image.
        """
        error = photometric_mse(image, target)
        if self.network is None or self.perceptual_weight == 0:
            return error
        leading = image.shape[:-3]
        distance = self.network(image.reshape(-1, *image.shape[-3:]), target.reshape(-1, *image.shape[-3:]))
        if not isinstance(distance, Tensor):
            raise TypeError(f"network must return a tensor, got {distance!r}.")
        if distance.shape != (leading.numel(),):
            raise ValueError(
                f"network must return one value per image, shape ({leading.numel()},), "
                f"got {tuple(distance.shape)}."
            )
        return error + self.perceptual_weight * distance.reshape(leading).to(error.dtype)


class LpipsDistance(nn.Module):
    """LPIPS with frozen weights, for images in [0, 1]; the default network of `PhotometricLoss`.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric".

    The package `lpips` brings its own small weights, but those of the image network come from torchvision.
    They are read from the local torch cache; nothing is downloaded unless asked for. `train()` leaves the
    network in evaluation mode, where it has no dropout.

    Args:
        net: Image network: "vgg" (as usual for a loss), "alex" (as usual for a metric) or "squeeze"
            (smallest).
        download: Fetch the weights of the image network (vgg 528 MB, alex 233 MB, squeeze 5 MB) if they are
            not in the cache.

    Raises:
        ModuleNotFoundError: If `lpips` or torchvision is not installed.
        ValueError: If `net` is unknown.
        FileNotFoundError: If the weights are neither in the cache nor to be downloaded.
    """

    def __init__(self, net: LpipsNet = "vgg", *, download: bool = False) -> None:
        super().__init__()
        self.model, _ = lpips_network(net, download=download)

    def train(self, mode: bool = True) -> "LpipsDistance":
        """Keep evaluation mode whatever `mode` says.

        Args:
            mode: Ignored.

        Returns:
            The module itself.
        """
        return super().train(False)

    def forward(
        self,
        image: Float[Tensor, "batch rgb=3 height width"],
        target: Float[Tensor, "batch rgb=3 height width"],
    ) -> Float[Tensor, " batch"]:
        """Perceptual distance of each pair of images.

        Args:
            image: In [0, 1]; receives gradients.
            target: In [0, 1].

        Returns:
            Values >= 0, one per image, in the type of the network's weights.
        """
        weight = next(self.model.parameters())
        return self.model(image.to(weight.dtype), target.to(weight.dtype), normalize=True).flatten()
