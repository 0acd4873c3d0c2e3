"""How alike the structure of images is around each pixel: one number per image."""

from itertools import repeat

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.images import check_image_range
from diff4splat.evaluation.metrics.masks import check_compared, masked_mean

__all__ = ["ssim"]

_RADIUS = 5
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim(
    image: Float[Tensor, "*batch rgb=3 height width"],
    target: Float[Tensor, "*batch rgb=3 height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Structural similarity of images with values in [0, 1], mean over colours and pixels.

    $$\mathrm{SSIM} = \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}
      {(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}, \quad C_1 = 0.01^2, \; C_2 = 0.03^2$$

    with $x$ = `image`, clamped to [0, 1], $y$ = `target`, and moments under a Gaussian window of 11 x 11
    pixels with deviation 1.5 around each pixel. Only pixels whose window lies within the image count: a
    border of 5 pixels does not. Source: Wang et al. 2004.

    With a mask, windows are made of the pixels where it holds, their weights made to sum to 1, and the mean
    is over these pixels, less the border. So a mask of all pixels changes nothing, and what the others hold
    does not matter.

    Agrees with scikit-image (with a Gaussian and without sample covariance; its default is another window),
    pytorch-msssim, and piq without its downsampling, which it does to images of more than 256 pixels unless
    told otherwise. torchmetrics and kornia keep the border, mirrored, which gives another number. Differs:
    mSSIM of Gao et al. 2022 (DyCheck) also takes the mean over windows around the other pixels, 1 where they
    are empty, and divides by the number of pixels of a window instead of their weights.

    Args:
        image: Colours; values a little outside [0, 1] are clamped.
        target: True colours in [0, 1].
        mask: Pixels that count; all when omitted.

    Returns:
        One value per image, in [-1, 1], 1 for images that agree; NaN where no pixel counts.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree, a side is below 11 pixels, or an image has another range or NaN; see
            `check_image_range`.
    """
    check_compared("image", image, target, mask, (*image.shape[:-3], *image.shape[-2:]))
    height, width = image.shape[-2:]
    if min(height, width) <= 2 * _RADIUS:
        raise ValueError(f"image must have sides of at least {2 * _RADIUS + 1}, got {height} x {width}.")
    check_image_range(image, mask=mask)
    check_image_range(target, name="target", mask=mask)
    shape = image.shape[:-3]
    images, targets = (part.reshape(-1, *part.shape[-3:]) for part in (image, target))
    masks = repeat(None) if mask is None else mask.reshape(-1, height, width)
    scores = [_of_one(x, y, m) for x, y, m in zip(images, targets, masks, strict=False)]
    found = torch.stack(scores) if scores else image.new_zeros(0, dtype=torch.float64)
    return found.reshape(shape).to(image.dtype)


def _of_one(
    image: Float[Tensor, "rgb=3 height width"],
    target: Float[Tensor, "rgb=3 height width"],
    mask: Bool[Tensor, "height width"] | None,
) -> Float[Tensor, ""]:
    x, y = image.double().clamp(0, 1), target.double()
    maps = (x, y, x * x + y * y, x * y)
    if mask is None:
        mean_x, mean_y, squares, products = (_blur(part) for part in maps)
        inner = None
    else:
        weight = _blur(mask.double())  # above 0 around each pixel of the mask
        mean_x, mean_y, squares, products = (_blur(part.masked_fill(~mask, 0)) / weight for part in maps)
        inner = mask[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    both, means = mean_x * mean_y, mean_x.square() + mean_y.square()
    similarity = (2 * both + _C1) * (2 * (products - both) + _C2)
    similarity /= (means + _C1) * (squares - means + _C2)
    return masked_mean(similarity.mean(0), inner)


def _blur(image: Float[Tensor, "*channel height width"]) -> Float[Tensor, "*channel inner_h inner_w"]:
    """Gaussian means where the window is within the image, rows first, then columns.

    Sums of shifted copies: several times faster in float64 than convolutions on a CPU.
    """
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    gaussian = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    weights: list[float] = (gaussian / gaussian.sum()).tolist()
    for axis in (-1, -2):
        size = image.shape[axis] - 2 * _RADIUS
        total = image.narrow(axis, 0, size) * weights[0]
        for start, weight in enumerate(weights[1:], start=1):
            total.add_(image.narrow(axis, start, size), alpha=weight)
        image = total
    return image
