"""Gaussians after a deformation, Eq. 7: moved, turned and stretched."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians.gaussians import Gaussians
from diff4splat.geometry import quaternion_multiply, quaternion_normalize

__all__ = ["deform_gaussians"]

ScaleSpace = Literal["log", "linear"]

# In linear space a Gaussian never shrinks below this share of its canonical scale.
_SMALLEST_SHARE = 1e-3


def deform_gaussians(
    gaussians: Gaussians,
    delta_means: Float[Tensor, "*batch gaussian xyz=3"],
    delta_quaternions: Float[Tensor, "*batch gaussian wxyz=4"],
    delta_scales: Float[Tensor, "*batch gaussian xyz=3"],
    *,
    scale_space: ScaleSpace = "log",
) -> Gaussians:
    r"""Gaussians after a deformation; opacities and harmonics stay.

    $$\mu_t = \mu_0 + \Delta\mu_t, \qquad q_t = q_0 \otimes \Delta q_t, \qquad s_t = s_0 + \Delta s_t$$

    with $\mu_0, q_0, s_0$ from `gaussians` and $\Delta\mu_t, \Delta q_t, \Delta s_t$ the other arguments.
    Source: Diff4Splat, Eq. 7. Differs: the paper does not say in which space scales are added. By default it
    is log space, $s_t = s_0 \exp(\Delta s_t)$, positive as far as the range of the type goes; "linear" is the
    formula as printed, with $s_t \ge 10^{-3} s_0$. In both, (0, [1, 0, 0, 0], 0) is the identity.

    Args:
        gaussians: Canonical Gaussians.
        delta_means: Displacements in world axes, scene units.
        delta_quaternions: Rotations about the Gaussian's own axes, wxyz; the product is normalised.
        delta_scales: Change of scale: dimensionless in "log", scene units in "linear".
        scale_space: Space in which `delta_scales` is added.

    Returns:
        Gaussians with unit quaternions.

    Raises:
        ValueError: If the shapes do not agree or `scale_space` is unknown.
    """
    for name, delta, target in (
        ("delta_means", delta_means, gaussians.means),
        ("delta_quaternions", delta_quaternions, gaussians.quaternions),
        ("delta_scales", delta_scales, gaussians.scales),
    ):
        if delta.shape != target.shape:
            raise ValueError(f"{name} must have shape {list(target.shape)}, got {list(delta.shape)}.")
    if scale_space == "log":
        scales = gaussians.scales * delta_scales.exp()
    elif scale_space == "linear":
        scales = torch.maximum(gaussians.scales + delta_scales, gaussians.scales * _SMALLEST_SHARE)
    else:
        raise ValueError(f"scale_space must be 'log' or 'linear', got {scale_space!r}.")
    return replace(
        gaussians,
        means=gaussians.means + delta_means,
        quaternions=quaternion_normalize(quaternion_multiply(gaussians.quaternions, delta_quaternions)),
        scales=scales,
    )
