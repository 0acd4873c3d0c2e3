"""How what the pixels of a camera show moves."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, rgb_to_harmonics
from diff4splat.rendering.render import render

__all__ = ["seen_motion"]

_FAINT = 1e-3
_NO_MOTION = 1e-6


def seen_motion(
    start: Gaussians, moved: Gaussians, cameras: Cameras
) -> Float[Tensor, "*batch frame height width xyz=3"]:
    r"""Displacement of what each pixel shows, from one moment of a scene to another.

    $$\Delta(p) = \frac{\sum_i \alpha_i T_i \, (\mu_i' - \mu_i)}{\sum_i \alpha_i T_i}$$

    with $\mu$ the means in `start` and $\mu'$ those in `moved`: the displacements of the Gaussians $i$ that
    pixel $p$ shows in `start`, blended as their colours are. So it is that of the surface that is seen,
    however the Gaussians are laid out; along silhouettes it mixes both sides.

    Args:
        start: What the cameras see.
        moved: The same Gaussians at another time.
        cameras: Cameras with the batch axes of `start`.

    Returns:
        Displacement in scene units, world axes; 0 where a camera sees no Gaussian.

    Raises:
        ValueError: If the numbers of Gaussians or the batch axes differ.
    """
    if moved.means.shape != start.means.shape:
        expected, got = list(start.means.shape), list(moved.means.shape)
        raise ValueError(f"moved must hold the Gaussians of start, means of shape {expected}, got {got}.")
    motion = moved.means - start.means
    reach = motion.abs().amax().clamp_min(_NO_MOTION)
    colors = rgb_to_harmonics(0.5 + 0.5 * motion / reach)[..., None, :]  # 0.5 is rest: none is negative
    shown = render(replace(start, harmonics=colors), cameras)
    seen = shown.alpha > _FAINT
    blended = shown.color / torch.where(seen, shown.alpha, torch.ones_like(shown.alpha))
    blended = torch.where(seen, (2 * blended - 1) * reach, torch.zeros_like(blended))
    return rearrange(blended, "... f c h w -> ... f h w c")
