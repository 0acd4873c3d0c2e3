"""How much of some views each Gaussian is."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, rgb_to_harmonics
from diff4splat.rendering.render import render_field

__all__ = ["filled_pixels"]


def filled_pixels(
    field: DeformableGaussianField, cameras: Cameras, times: Float[Tensor, " frame"]
) -> Float[Tensor, "*batch gaussian"]:
    r"""Pixels that each Gaussian fills in some views, all views together.

    $$w_i = \sum_{f, p} \alpha_{i, f, p} \, T_{i, f, p}$$

    with $\alpha$ the opacity of Gaussian $i$ in pixel $p$ of frame $f$ and $T$ what those in front of it let
    through: its weight in the rendered colours, and so their gradient by its own colour.

    Args:
        field: Any field.
        cameras: Cameras with the batch axes of `field`; their image size counts.
        times: One time in [0, 1] per camera.

    Returns:
        Pixels, >= 0; 0 for what is hidden or outside of every view. Not differentiable.
    """
    field = field.detach()
    total = torch.zeros_like(field.canonical.opacities)
    for frame in range(cameras.num_frames):
        color = torch.full_like(field.canonical.means, 0.5).requires_grad_()  # any but negative ones
        with torch.enable_grad():
            probe = replace(field.canonical, harmonics=rgb_to_harmonics(color)[..., None, :])
            view = render_field(
                replace(field, canonical=probe),
                cameras.select(slice(frame, frame + 1)),
                times[frame : frame + 1],
            )
            total += torch.autograd.grad(view.color[..., 0, :, :].sum(), color)[0][..., 0]
    return total
