"""What a reconstruction has to beat: new views made without knowing any shape."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import pixel_rays, project

__all__ = ["flat_depth_warp", "nearest_frames"]

_SMALLEST_SLOPE = 1e-3


def flat_depth_warp(
    image: Float[Tensor, "batch rgb=3 height width"],
    source: Cameras,
    target: Cameras,
    depth: Float[Tensor, " batch"],
) -> Float[Tensor, "batch view rgb=3 height2 width2"]:
    r"""New views of an image as if all it shows lay on one plane facing its camera.

    $$x_s \sim K_s \left(R + \frac{t\, n^\top}{z_0}\right) K_t^{-1} x_t$$

    a homography: the ray of target pixel $x_t$ meets the plane $z = d$ of the source camera at a point that
    the source sees at $x_s$; $R, t$ take target to source axes, $z_0 = d - t_z$ is the distance of the plane
    from the target camera and $n = R^\top e_z$ its normal in target axes. Colours are read bilinearly; beyond
    the border the border pixels are replicated.

    Args:
        image: First frame, values in [0, 1].
        source: Its camera: one batch axis, one frame.
        target: Cameras of the new views, batch axis as in `image`.
        depth: Depth $d$ of the plane in source axes, scene units, > 0.

    Returns:
        One image per target camera. A ray that never meets the plane shows the border.

    Raises:
        ValueError: If the batch axes differ, or `source` has several frames.
    """
    batch = image.shape[0]
    if tuple(source.batch_shape) != (batch,) or tuple(target.batch_shape) != (batch,):
        raise ValueError(
            f"source and target must have the batch axis of image ({batch},), "
            f"got {tuple(source.batch_shape)} and {tuple(target.batch_shape)}."
        )
    if source.num_frames != 1:
        raise ValueError(f"source must have 1 frame, got {source.num_frames}.")
    seen = target.relative_to(source.camera_to_world[:, 0])  # target cameras in source axes
    pose = seen.camera_to_world
    rays = pixel_rays(target.intrinsics, height=target.height, width=target.width)
    rays = torch.einsum("bvij,bvhwj->bvhwi", pose[..., :3, :3], rays)
    origin = pose[..., None, None, :3, 3]
    # A ray that runs away from the plane is bent towards it: it ends far outside the image, at the border.
    slope = rays[..., 2].clamp_min(_SMALLEST_SLOPE)
    length = (depth[:, None, None, None] - origin[..., 2]).clamp_min(_SMALLEST_SLOPE) / slope
    points = origin + rays * length[..., None]
    identity = torch.eye(4, dtype=pose.dtype, device=pose.device).expand(batch, 4, 4)
    flat = rearrange(points, "b v h w c -> b (v h w) c")
    flat = torch.cat((flat[..., :2], repeat(depth, "b -> b n 1", n=flat.shape[1])), dim=-1)
    pixels, _ = project(flat, identity, source.intrinsics[:, 0])
    scale = pixels.new_tensor([2 / source.width, 2 / source.height])
    grid = rearrange(pixels * scale - 1, "b (n w) c -> b n w c", w=target.width)
    warped = F.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    return rearrange(warped, "b c (v h) w -> b v c h w", v=target.num_frames)


def nearest_frames(
    video: Float[Tensor, "batch frame rgb=3 height width"],
    frame_times: Float[Tensor, " frame"],
    times: Float[Tensor, "batch view"],
) -> Float[Tensor, "batch view rgb=3 height width"]:
    r"""Unchanged frames of a video as views at other times: frame $\arg\min_f |t_f - t|$ for time $t$.

    Args:
        video: Frames.
        frame_times: Their times $t_f$.
        times: Times $t$ of the views.

    Returns:
        One frame per view.
    """
    index = (times[..., None] - frame_times).abs().argmin(-1)
    return video[torch.arange(video.shape[0], device=video.device)[:, None], index]
