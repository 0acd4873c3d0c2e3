"""How much pictures move."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import check_compared, masked_mean

__all__ = ["flow_magnitude"]


def flow_magnitude(
    flow: Float[Tensor, "*batch height width xy=2"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
    share_of_diagonal: bool = False,
) -> Float[Tensor, " *batch"]:
    r"""Mean length of optical flow, pixels or diagonals of the image.

    $$m = \frac{1}{n} \sum_i \lVert f_i \rVert_2$$

    over the $n$ pixels where `mask` holds; divided by $\sqrt{h^2 + w^2}$ for the share of the diagonal, which
    can be compared between image sizes.

    Differs: the dynamic degree of VBench is the share of clips whose fastest 5 % of pixels exceed a limit,
    by a learned flow; this is the motion itself.

    Args:
        flow: x and y displacement of each pixel, pixels; may be NaN where the mask does not hold.
        mask: Pixels that count; all when omitted.
        share_of_diagonal: Whether the unit is the diagonal and not the pixel.

    Returns:
        One value per map, >= 0, in float64; NaN where no pixel counts.

    Raises:
        TypeError: If the flow holds no floats or the mask is not boolean.
        ValueError: If the last axis of `flow` is not x and y, or the mask has another shape.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(f"flow must have shape (..., height, width, 2), got {tuple(flow.shape)}.")
    check_compared("flow", flow, flow, mask, flow.shape[:-1])
    lengths = torch.linalg.vector_norm(flow.double(), dim=-1)
    mean = masked_mean(lengths, mask)
    return mean / math.hypot(*flow.shape[-3:-1]) if share_of_diagonal else mean
