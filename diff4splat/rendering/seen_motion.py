"""How what the pixels of a camera show moves."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, rgb_to_harmonics
from diff4splat.rendering.render import Rendering, render

__all__ = ["blend_vectors", "seen_motion"]

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
    motion, _ = blend_vectors(start, moved.means - start.means, cameras)
    return rearrange(motion, "... f c h w -> ... f h w c")


def blend_vectors(
    gaussians: Gaussians, vectors: Float[Tensor, "*batch gaussian 3"], cameras: Cameras
) -> tuple[Float[Tensor, "*batch frame 3 height width"], Rendering]:
    r"""Pictures of a vector per Gaussian, blended as colours are.

    $$v(p) = \frac{\sum_i \alpha_i T_i \, v_i}{\sum_i \alpha_i T_i}$$

    over the Gaussians $i$ that pixel $p$ shows, with $v_i$ = `vectors`, their opacity $\alpha$ there and what
    those in front let through, $T$.

    Args:
        gaussians: One set, or one per batch index.
        vectors: Any values, finite.
        cameras: Cameras with the same batch axes.

    Returns:
        Blended vectors, 0 where the cameras see no Gaussian; and the rendering that they were read from.
    """
    reach = vectors.abs().amax().clamp_min(_NO_MOTION) if vectors.numel() else vectors.new_ones(())
    # rendered as a colour: 0.5 stands for zero, as colours are not negative
    colors = rgb_to_harmonics(0.5 + 0.5 * vectors / reach)[..., None, :]
    shown = render(replace(gaussians, harmonics=colors), cameras)
    seen = shown.alpha > _FAINT
    blended = shown.color / torch.where(seen, shown.alpha, torch.ones_like(shown.alpha))
    return torch.where(seen, (2 * blended - 1) * reach, torch.zeros_like(blended)), shown
