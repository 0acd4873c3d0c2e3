"""How far images are from the true ones: one number per image."""

from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import masked_mean

__all__ = ["psnr"]

_SMALLEST_SQUARED_ERROR = 1e-10


def psnr(
    image: Float[Tensor, "*batch rgb=3 height width"],
    target: Float[Tensor, "*batch rgb=3 height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Peak signal-to-noise ratio of images with values in [0, 1], decibels.

    $$\mathrm{PSNR} = -10 \log_{10} \frac{1}{3 n} \sum_{i, c} (x_{i c} - y_{i c})^2$$

    with $x$ = `image`, clamped to [0, 1] as a screen would, $y$ = `target`, over the $n$ pixels where `mask`
    holds.

    Args:
        image: Colours; values outside [0, 1] are clamped.
        target: True colours in [0, 1].
        mask: Pixels that count; all when omitted.

    Returns:
        One value per image, at most 100 (images that agree); NaN where no pixel counts.
    """
    squared = (image.double().clamp(0, 1) - target.double()).square().mean(-3)
    error = masked_mean(squared, mask)
    return -10 * error.clamp_min(_SMALLEST_SQUARED_ERROR).log10().to(image.dtype)
