"""Whether a path that ends where it starts shows the same there."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.metrics.images import psnr

__all__ = ["cycle_consistency_psnr", "is_closed"]

_ROUNDING = 1e-6  # of positions in float32, by their size


def cycle_consistency_psnr(
    frames: Float[Tensor, "*batch frame rgb=3 height width"],
    *,
    mask: Bool[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, " *batch"]:
    """PSNR of the last frame of a closed path against the first, decibels.

    That the path is closed is for the caller to see to, with `is_closed`: a path whose last camera is one
    step short of the first measures that step, too. An explicit scene whose time stands still is rendered
    twice from one camera, so it reaches the limit of 100 whatever it looks like; only where time goes on, or
    for models without a scene, does the number say something. Tables must say which of the two it is. Source:
    Diff4Splat, Supp. Sec. 4, which does not.

    Args:
        frames: Frames in [0, 1] along the path.
        mask: Pixels that count; all when omitted.

    Returns:
        One value per clip, at most 100; NaN where no pixel counts.

    Raises:
        ValueError: If there are fewer than two frames, or they have another range or NaN; see
            `check_image_range`.
    """
    if frames.shape[-4] < 2:
        raise ValueError(f"frames must be at least 2, got {frames.shape[-4]}.")
    return psnr(frames[..., -1, :, :, :], frames[..., 0, :, :, :], mask=mask)


def is_closed(cameras: Cameras, *, tolerance: float = 1e-4) -> Bool[Tensor, " *batch"]:
    """Whether the last camera of each path is the first one, and the path leads away from it.

    Args:
        cameras: Paths of at least two frames.
        tolerance: Largest difference of a pose, and relative one of a lens, between first and last frame.
            Positions count by the longest way from the first camera, and have room for rounding.

    Returns:
        One answer per path. A camera that never moves closes nothing.

    Raises:
        ValueError: If `tolerance` is not above 0 or the paths have fewer than two frames.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}.")
    if cameras.num_frames < 2:
        raise ValueError(f"cameras must have at least 2 frames, got {cameras.num_frames}.")
    poses, lenses = cameras.camera_to_world.double(), cameras.intrinsics.double()
    change = (poses - poses[..., :1, :, :]).abs()
    ways = torch.linalg.vector_norm(change[..., :3, 3], dim=-1)
    turns = change[..., :3, :3].amax((-2, -1))
    rounding = _ROUNDING * (1 + torch.linalg.vector_norm(poses[..., :3, 3], dim=-1).amax(-1))
    moved = (ways.amax(-1) > rounding) | (turns.amax(-1) > tolerance)
    back = (ways[..., -1] <= tolerance * ways.amax(-1) + rounding) & (turns[..., -1] <= tolerance)
    lens = (lenses[..., -1, :, :] - lenses[..., 0, :, :]).abs() <= tolerance * lenses[..., 0, :, :].abs()
    return moved & back & lens.all(-1).all(-1)
