"""Choice of Gaussians by what they cover in images."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.editing.arguments import check_number, to_times
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project

__all__ = ["gaussians_in_mask"]


def gaussians_in_mask(
    field: DeformableGaussianField,
    mask: Bool[Tensor, "frame height width"],
    cameras: Cameras,
    times: Float[Tensor, " frame"],
    *,
    near: float = 0.0,
    far: float | int | Float[Tensor, "frame height width"] = float("inf"),
    share: float = 0.5,
) -> Bool[Tensor, "*batch gaussian"]:
    """Which Gaussians have their centre behind the pixels of an image mask.

    A view counts for a Gaussian when its centre falls into the image, at a depth between `near` and `far`. It
    is chosen if the mask holds at its pixel in at least `share` of the views that count, and there is one:
    with one view, wherever the mask holds.

    Nothing else is known of what hides what. A mask of something in front takes all that lies behind it too,
    unless `far` says where it ends: a number, or a depth per pixel, such as `field.render(cameras,
    times).depth[:, 0] + 0.1` for what can be seen and what is at most 0.1 behind it.

    Args:
        field: Any field.
        mask: True where the pixel shows what is wanted, one image per camera.
        cameras: Where the masks were seen from, with the masks' height and width.
        times: When each was seen, in [0, 1].
        near: Smallest z-depth that counts, scene units, at least 0.
        far: Largest z-depth that counts, scene units, one for all or one per pixel.
        share: Share of the views that must agree, above 0 and at most 1.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If the masks, cameras, times and depths are not of one number and size, the cameras have
            other batch axes than the field, or a number is NaN or out of range.
    """
    expected = (cameras.num_frames, cameras.height, cameras.width)
    if tuple(mask.shape) != expected or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be boolean of shape {list(expected)}, as the cameras are, "
            f"got {mask.dtype} of shape {list(mask.shape)}."
        )
    if cameras.batch_shape != field.batch_shape:
        raise ValueError(
            f"cameras must have the batch axes of field {list(field.batch_shape)}, "
            f"got {list(cameras.batch_shape)}."
        )
    moments = to_times("times", times, field)
    if moments.shape[0] != cameras.num_frames:
        raise ValueError(f"times must have one entry per camera, {expected[0]}, got {moments.shape[0]}.")
    check_number("near", near, least=0)
    limits = torch.as_tensor(far, dtype=field.dtype, device=field.device).detach()
    if limits.ndim and tuple(limits.shape) != expected:
        raise ValueError(f"far must be one number or have shape {list(expected)}, got {list(limits.shape)}.")
    if limits.isnan().any() or (limits.ndim == 0 and limits <= near):
        raise ValueError(f"far must be above near = {near:g} and not NaN, got {limits.min().item():g}.")
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}.")
    shown = mask.to(field.device)
    poses, lenses = (
        matrix.to(field.canonical.means) for matrix in (cameras.camera_to_world, cameras.intrinsics)
    )
    size = torch.tensor([cameras.width, cameras.height], dtype=field.dtype, device=field.device)
    agreeing = torch.zeros_like(field.canonical.opacities, dtype=torch.long)
    counting = torch.zeros_like(agreeing)
    for frame in range(cameras.num_frames):
        pixels, depth = project(
            field.at(moments[frame]).means.detach(), poses[..., frame, :, :], lenses[..., frame, :, :]
        )
        seen = (depth > 0) & ((pixels >= 0) & (pixels < size)).all(dim=-1)
        # Outside of the image, where pixels may be infinite, any pixel will do.
        x, y = torch.where(seen[..., None], pixels, torch.zeros_like(pixels)).long().unbind(dim=-1)
        limit = limits[frame, y, x] if limits.ndim else limits
        counts = seen & (depth >= near) & (depth <= limit)
        counting += counts
        agreeing += counts & shown[frame, y, x]
    return (counting > 0) & (agreeing >= share * counting)
