"""From what the reconstruction model encoded to a field: motion, visibility, layout, assembly, backdrop."""

from collections.abc import Callable
from dataclasses import replace

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.models.assembly import assemble_field, map_depth, map_displacement, seen_before
from diff4splat.models.backdrop import append_static, backdrop_gaussians
from diff4splat.models.layout import Layout, adaptive_layout, pixel_layout
from diff4splat.models.ldrm_features import LDRMFeatures
from diff4splat.models.ldrm_inputs import check_targets

_FIRST_FRAME_SHARE = 0.9


def decode_field(
    features: LDRMFeatures,
    deform: Callable[[LDRMFeatures, Tensor], Tensor],
    times: Float[Tensor, " time"] | None,
    *,
    stride: int,
    backdrop_cells: int,
    image: Float[Tensor, "batch rgb=3 image_height image_width"] | None,
    max_gaussians: int | None,
    deformation: Float[Tensor, "batch time map_frame channel=10 height width"] | None,
) -> DeformableGaussianField:
    """`LDRM.decode`, whose docstring says the rest; `stride` is in pixel frames per frame with Gaussians."""
    batch, num_frames = features.frame_times.shape
    known = times is None
    if times is None:
        times = clip_times((num_frames - 1) * stride + 1, features.frame_times)
    check_targets(features, times, image, max_gaussians, deformation)
    times = times.to(features.frame_times.dtype)
    every = repeat(times, "t -> b t", b=batch)
    if deformation is None:
        deformation = deform(features, every)
    start = deformation[:, :1] if known else deform(features, torch.zeros_like(every[:, :1]))
    depth = map_depth(features.gaussian_map)
    moved = _motion_between_frames(features, deform, depth, deformation[:, ::stride] if known else None)
    with torch.autocast(every.device.type, enabled=False):
        seen = seen_before(depth, moved, features.cameras)
        del moved  # large: displacement of every frame to every frame
        image = None if image is None else image.to(depth.dtype)
        backdrop = _backdrop(features, image, backdrop_cells)
        layout = None
        if image is not None:
            # Without a budget nothing has to wait for a count.
            others = 0 if max_gaussians is None else int((~seen[:, 1:]).sum())
            if backdrop is not None:
                others += backdrop.num_gaussians
            layout = _layout(image, max_gaussians, others)
        field = assemble_field(
            features.gaussian_map,
            deformation,
            start,
            cameras=features.cameras,
            times=times,
            seen=seen,
            layout=layout,
            image=image,
            origin=features.origin,
        )
    return field if backdrop is None else append_static(field, backdrop)


@torch.no_grad()
def _motion_between_frames(
    features: LDRMFeatures,
    deform: Callable[[LDRMFeatures, Tensor], Tensor],
    depth: Tensor,
    at_frames: Tensor | None,
) -> Tensor:
    """World displacement of each pixel from its own time to that of every frame with Gaussians.

    `at_frames` are the raw maps of these times, where they are there already.
    """
    moved = []
    for index, time in enumerate(features.frame_times.unbind(1)):
        raw = deform(features, time[:, None]) if at_frames is None else at_frames[:, index, None]
        with torch.autocast(depth.device.type, enabled=False):
            moved.append(map_displacement(raw, depth, features.cameras))
    return torch.cat(moved, dim=1)


def _backdrop(features: LDRMFeatures, image: Tensor | None, cells: int) -> Gaussians | None:
    if cells == 0:
        return None
    first = features.gaussian_map[:, 0]
    camera = features.cameras.select(0)
    camera = replace(camera, camera_to_world=features.origin[:, None] @ camera.camera_to_world)
    colors = (first[:, 1:4] + 0.5).clamp(0, 1) if image is None else image
    return backdrop_gaussians(colors, map_depth(first), camera, cells=cells)


def _layout(image: Tensor, max_gaussians: int | None, others: int) -> Layout:
    """Gaussians of the first frame, where the other frames and the backdrop have so many."""
    if max_gaussians is None:
        return pixel_layout(image)
    room = max(max_gaussians - others, int(_FIRST_FRAME_SHARE * max_gaussians), 1)
    if image.shape[-2] * image.shape[-1] <= room:
        return pixel_layout(image)
    return adaptive_layout(image, max_gaussians=room)


def clip_times(num_frames: int, like: Tensor) -> Tensor:
    """Times of the pixel frames of a clip, in float32 or the wider type of `like`."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.linspace(0, 1, num_frames, device=like.device, dtype=dtype)
