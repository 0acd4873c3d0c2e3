"""A video of any size and length as MoVieS reads it: some of its frames, small, with their cameras."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = ["WorkingClip", "prepare_clip", "view_indices", "working_size"]


class WorkingClip(NamedTuple):
    """Frames that the network reads.

    Args:
        video: Frames in [0, 1].
        cameras: Their cameras, at their size, in the world of those they came from.
        times: Their times in the clip.
    """

    video: Float[Tensor, "batch view rgb=3 height width"]
    cameras: Cameras
    times: Float[Tensor, " view"]


def view_indices(num_frames: int, num_views: int) -> list[int]:
    """Frames at equal distances, the first and the last among them; all of them where there are not more.

    Args:
        num_frames: Frames of the clip.
        num_views: Frames to pick; the first one when 1.

    Returns:
        Ascending indices.
    """
    if num_views >= num_frames:
        return list(range(num_frames))
    return [index * (num_frames - 1) // max(num_views - 1, 1) for index in range(num_views)]


def working_size(height: int, width: int, *, size: int, patch_size: int) -> tuple[int, int]:
    """Height and width for an image whose longer side becomes `size`, the shorter one cut to whole patches.

    Args:
        height: Image rows.
        width: Image columns.
        size: Longer side of the result, a multiple of `patch_size`.
        patch_size: Patch side in pixels.

    Returns:
        Height and width, multiples of `patch_size`.

    Examples:
        >>> working_size(480, 832, size=224, patch_size=14)
        (126, 224)
    """
    longer = max(height, width)
    rows, columns = (max(size * side // longer // patch_size, 1) * patch_size for side in (height, width))
    return rows, columns


def prepare_clip(
    video: Float[Tensor, "batch frame rgb=3 height width"],
    cameras: Cameras,
    *,
    num_views: int,
    size: int,
    patch_size: int,
) -> WorkingClip:
    """Pick frames, scale them to cover the working size, and cut off evenly what is beyond it.

    Intrinsics follow, so that every pixel keeps its ray; poses stay.

    Args:
        video: Frames in [0, 1].
        cameras: One camera per frame.
        num_views: Frames to pick.
        size: Longer side, pixels.
        patch_size: Patch side in pixels.

    Returns:
        The picked frames; frame i of F stands at time i / (F - 1).
    """
    frames, (height, width) = video.shape[1], video.shape[-2:]
    index = view_indices(frames, num_views)
    rows, columns = working_size(height, width, size=size, patch_size=patch_size)
    share = max(rows / height, columns / width)
    scaled = (max(round(height * share), rows), max(round(width * share), columns))
    top, left = (scaled[0] - rows) // 2, (scaled[1] - columns) // 2
    picked = video[:, index]
    if scaled != (height, width):
        small = F.interpolate(
            picked.flatten(0, 1), size=scaled, mode="bicubic", antialias=True, align_corners=False
        )
        picked = small.clamp(0, 1).unflatten(0, picked.shape[:2])
    return WorkingClip(
        video=picked[..., top : top + rows, left : left + columns],
        cameras=cameras.select(index).resize(*scaled).crop(top, left, rows, columns),
        times=torch.tensor(index, device=video.device, dtype=torch.float32) / max(frames - 1, 1),
    )
