"""What the protocol asks of a batch of fields: images at times of their own, and first-frame motion."""

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.rendering import Rendering, render_field, seen_motion

__all__ = ["first_frame_motion", "render_scenes"]


def render_scenes(
    field: DeformableGaussianField, cameras: Cameras, times: Float[Tensor, "batch frame"]
) -> Rendering:
    """Images of a batch of fields, each at times of its own.

    Args:
        field: Fields with one batch axis.
        cameras: Cameras with the same batch axis.
        times: One time in [0, 1] per camera.

    Returns:
        Colour, alpha and depth with the batch axis.
    """
    parts = []
    for index in range(times.shape[0]):
        chosen = slice(index, index + 1)
        parts.append(render_field(field.batch(chosen), cameras.batch(chosen), times[index].tolist()))
    return Rendering(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("color", "alpha", "depth"))
    )


def first_frame_motion(
    field: DeformableGaussianField, camera: Cameras, times: Float[Tensor, " time"]
) -> Float[Tensor, "batch time height width xyz=3"]:
    r"""Displacement from time 0 of what the pixels of a camera show at time 0.

    $$\Delta(p, t) = \frac{\sum_i \alpha_i T_i \, (\mu_i(t) - \mu_i(0))}{\sum_i \alpha_i T_i}$$

    the displacements of the Gaussians $i$ that pixel $p$ shows, blended as their colours are. So it is that
    of the surface that is seen, however the Gaussians are laid out; along silhouettes it mixes both sides.

    Args:
        field: Fields with one batch axis.
        camera: One camera per field.
        times: Times to follow the pixels to, in [0, 1].

    Returns:
        Displacement in scene units, world axes; 0 where the camera sees no Gaussian.
    """
    batch = []
    for index in range(field.batch_shape[0]):
        chosen = slice(index, index + 1)
        scene, view = field.batch(chosen), camera.batch(chosen)
        start = scene.at(0.0)
        batch.append(torch.cat([seen_motion(start, scene.at(float(t)), view) for t in times], dim=1))
    return torch.cat(batch)
