"""Choice of Gaussians that hang before the lens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.editing.arguments import check_number, to_times
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["gaussians_near_cameras"]


def gaussians_near_cameras(
    field: DeformableGaussianField,
    cameras: Cameras,
    distance: float | int,
    *,
    times: Float[Tensor, " frame"] | None = None,
) -> Bool[Tensor, "*batch gaussian"]:
    """Which Gaussians come nearer than a distance to a camera of a path.

    Args:
        field: Any field.
        cameras: Path with the batch axes of `field`.
        distance: Distance between centre and camera, scene units, above 0.
        times: When each camera looks, in [0, 1]; equally spaced from 0 to 1 when omitted.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If `distance` is not above 0, the batch axes differ, or `times` has not one entry per
            camera or one outside [0, 1].
    """
    check_number("distance", distance, above=0)
    if cameras.batch_shape != field.batch_shape:
        raise ValueError(
            f"cameras must have the batch axes of field {list(field.batch_shape)}, "
            f"got {list(cameras.batch_shape)}."
        )
    if times is None:
        times = torch.linspace(0, 1, cameras.num_frames, dtype=torch.float64)
    moments = to_times("times", times, field)
    if moments.shape[0] != cameras.num_frames:
        raise ValueError(
            f"times must have one entry per camera, {cameras.num_frames}, got {moments.shape[0]}."
        )
    near = torch.zeros_like(field.canonical.opacities, dtype=torch.bool)
    for frame, moment in enumerate(moments):
        eye = cameras.positions[..., frame, None, :].to(field.canonical.means)
        near |= torch.linalg.vector_norm(field.at(moment).means.detach() - eye, dim=-1) < distance
    return near
