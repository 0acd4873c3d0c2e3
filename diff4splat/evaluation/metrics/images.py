"""How far images are from the true ones, pixel by pixel: one number per image."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import check_compared, masked_mean

__all__ = ["check_image_range", "psnr"]

_SMALLEST_SQUARED_ERROR = 1e-10
_OVERSHOOT = 0.5
"""How far beyond [0, 1] a value may be before it says that the range is another one."""


def psnr(
    image: Float[Tensor, "*batch rgb=3 height width"],
    target: Float[Tensor, "*batch rgb=3 height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Peak signal-to-noise ratio of images with values in [0, 1], decibels.

    $$\mathrm{PSNR} = -10 \log_{10} \frac{1}{3 n} \sum_{i, c} (x_{i c} - y_{i c})^2$$

    with $x$ = `image`, clamped to [0, 1] as a screen would, $y$ = `target`, over the $n$ pixels where `mask`
    holds. The mean over frames that papers print is the mean of these decibels; the decibels of the mean
    error are another, smaller number.

    Args:
        image: Colours; values a little outside [0, 1] are clamped.
        target: True colours in [0, 1].
        mask: Pixels that count; all when omitted. What other pixels hold does not matter.

    Returns:
        One value per image, at most 100 (images that agree); NaN where no pixel counts.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree, or an image has another range, or NaN; see `check_image_range`.
    """
    check_compared("image", image, target, mask, (*image.shape[:-3], *image.shape[-2:]))
    check_image_range(image, mask=mask)
    check_image_range(target, name="target", mask=mask)
    # Differences of numbers in [0, 1] lose nothing in float32; their sums are taken in float64.
    wide = torch.promote_types(torch.promote_types(image.dtype, target.dtype), torch.float32)
    squared = (image.to(wide).clamp(0, 1) - target.to(wide)).square_()
    if mask is None:
        error = squared.sum(-1).double().sum((-2, -1)) / squared.shape[-3:].numel()
    else:
        error = masked_mean(squared.double().mean(-3), mask)
    return -10 * error.clamp_min(_SMALLEST_SQUARED_ERROR).log10().to(image.dtype)


def check_image_range(
    image: Float[Tensor, "*batch rgb=3 height width"],
    *,
    name: str = "image",
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> None:
    """Refuse images whose values are not meant to be in [0, 1].

    Up to 0.5 beyond [0, 1] is taken for overshoot, which networks have and metrics clamp. Values from 0 to
    255 and most from -1 to 1 are beyond that. Clamped, they would give a number that looks like one.

    Args:
        image: Colours.
        name: What to call them.
        mask: Pixels that count; all when omitted.

    Raises:
        ValueError: If a pixel that counts is NaN, or too far outside [0, 1]; the message says the range.
    """
    if image.numel() == 0:
        return
    if mask is not None:
        image = image.masked_fill(~mask[..., None, :, :], 0.5)
    low, high = (float(end) for end in image.detach().aminmax())
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):
        found = "NaN" if low != low else f"values from {low:.3g} to {high:.3g}"
        raise ValueError(f"{name} must have values in [0, 1], got {found}.")
