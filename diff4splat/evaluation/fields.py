"""What the protocol asks of a batch of fields: images at times of their own, and first-frame motion."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.rendering import Rendering, render_field

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
        camera = replace(
            cameras, camera_to_world=cameras.camera_to_world[chosen], intrinsics=cameras.intrinsics[chosen]
        )
        parts.append(render_field(_scene(field, chosen), camera, times[index].tolist()))
    return Rendering(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("color", "alpha", "depth"))
    )


def first_frame_motion(
    field: DeformableGaussianField, height: int, width: int
) -> Float[Tensor, "batch time height width xyz=3"]:
    """Displacement from the first stored time of the Gaussians laid out on the pixels of the first frame.

    Args:
        field: Field that begins with these Gaussians, rows before columns.
        height: Rows of the first frame.
        width: Columns of the first frame.

    Returns:
        Displacement at the stored times, scene units, world axes.

    Raises:
        ValueError: If the field has fewer Gaussians than pixels.
    """
    if field.num_gaussians < height * width:
        raise ValueError(
            f"field must begin with one Gaussian per pixel, {height * width} in all, "
            f"got {field.num_gaussians}."
        )
    motion = field.delta_means[..., : height * width, :]
    return rearrange(motion - motion[:, :1], "b t (h w) c -> b t h w c", h=height)


def _scene(field: DeformableGaussianField, chosen: slice) -> DeformableGaussianField:
    canonical = replace(
        field.canonical, **{name: value[chosen] for name, value in vars(field.canonical).items()}
    )
    return replace(
        field,
        canonical=canonical,
        delta_means=field.delta_means[chosen],
        delta_quaternions=field.delta_quaternions[chosen],
        delta_scales=field.delta_scales[chosen],
    )
