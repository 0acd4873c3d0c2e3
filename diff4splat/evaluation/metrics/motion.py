"""How far predicted motion is from the true one."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.evaluation.metrics.masks import check_compared, masked_mean

__all__ = ["end_point_error"]


def end_point_error(
    displacement: Float[Tensor, "*batch height width xyz=3"],
    target: Float[Tensor, "*batch height width xyz=3"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    r"""Mean distance of predicted and true end points, $\lVert \Delta_i - \Delta^*_i \rVert_2$ over pixels.

    Args:
        displacement: Predicted displacement of what each pixel shows, scene units.
        target: True displacement, scene units.
        mask: Pixels that count; all when omitted.

    Returns:
        One value per map, scene units; NaN where no pixel counts.

    Raises:
        TypeError: If values are no floats or the mask is not boolean.
        ValueError: If shapes disagree, or the last axis is not x, y and z.
    """
    if displacement.ndim < 3 or displacement.shape[-1] != 3:
        raise ValueError(
            f"displacement must have shape (..., height, width, 3), got {tuple(displacement.shape)}."
        )
    check_compared("displacement", displacement, target, mask, displacement.shape[:-1])
    distance = torch.linalg.vector_norm(displacement.double() - target.double(), dim=-1)
    return masked_mean(distance, mask).to(displacement.dtype)
