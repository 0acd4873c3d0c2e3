"""What is true about a batch of clips, in the form that the maps of a model are compared in."""

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import matrix_to_quaternion, project, unproject

__all__ = [
    "MotionTargets",
    "batch_cameras",
    "is_known",
    "motion_targets",
    "on_coarser_grid",
    "track_targets",
]

_MOVES = 0.02
"""Largest distance from where something was first, in scene units, or largest change of its rotation matrix,
above which it counts as moving."""


class MotionTargets(NamedTuple):
    """True motion of the pixels of the frames with Gaussians.

    Args:
        displacement: From each pixel's own time to the target times, in camera axes and units of depth,
            (batch, time, map_frame, xyz, height, width). Finite everywhere, without meaning where unknown.
        rotation: Over the same time, the vector part of a unit quaternion with a scalar part of at least 0,
            camera axes; None where it is not known.
        moving: Pixels on something that moves at any time of the clip, (batch, map_frame, height, width).
        known: Where the displacement is known, (batch, time, map_frame, height, width).
    """

    displacement: Tensor
    rotation: Tensor | None
    moving: Tensor
    known: Tensor


def batch_cameras(clips: dict[str, Tensor]) -> Cameras:
    """Cameras of a batch of clips.

    Args:
        clips: Batch with `video`, `camera_to_world` and `intrinsics`.

    Returns:
        One camera per pixel frame, in the clips' own world, float32 however they are kept.
    """
    height, width = clips["video"].shape[-2:]
    return Cameras(clips["camera_to_world"].float(), clips["intrinsics"].float(), height, width)


def is_known(depth: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Where depth is finite and above 0; it is 0 or NaN where it is unknown.

    Args:
        depth: z-depth.

    Returns:
        Mask.
    """
    return depth.isfinite() & (depth > 0)


def motion_targets(
    clips: dict[str, Tensor], picks: Int[Tensor, "batch time"], *, frame_stride: int = 4
) -> MotionTargets:
    r"""True rigid motion of every pixel of the frames with Gaussians, in camera axes.

    $$x = \frac{1}{d} R_k^\top (R X + s - X)$$

    A pixel of frame k sees the point $X$ at depth $d$ along the axes $R_k$ of its camera, on an object that
    turns by $R$ and shifts by $s$ from the pixel's own time to the target time.

    Args:
        clips: Batch with `depth`, `object_index`, `object_motion` and cameras; the intrinsics are those of
            the depth's grid. Depth may be 0, NaN or infinite where it is unknown.
        picks: Target frames.
        frame_stride: Pixel frames between frames with Gaussians.

    Returns:
        Motion, known where depth is; the rotation is $\sin(\theta / 2)\, n$ for an angle $\theta$ around $n$.
    """
    depth = clips["depth"].float()
    known = is_known(depth)
    depth = torch.where(known, depth, 1)  # NaN would spread from products
    batch, frames = depth.shape[:2]
    pose = clips["camera_to_world"][:, ::frame_stride].float()
    to_camera = pose[..., :3, :3].mT
    points = unproject(depth, pose, clips["intrinsics"][:, ::frame_stride].float())
    motion = clips["object_motion"].float()
    # From an object's place at the pixel's own time, back to time 0, on to the target time.
    axes0, shift0 = motion[:, :, ::frame_stride, :, :3], motion[:, :, ::frame_stride, :, 3]
    targets = motion[torch.arange(batch)[:, None], :, picks]
    axes1, shift1 = targets[..., :3], targets[..., 3]
    turn = torch.einsum("btoij,bofkj->botfik", axes1, axes0)
    shift = rearrange(shift1, "b t o i -> b o t 1 i") - torch.einsum("botfij,bofj->botfi", turn, shift0)
    local_turn = matrix_to_quaternion(to_camera[:, None, None] @ turn @ to_camera.mT[:, None, None])
    local_turn = local_turn[..., 1:] * torch.where(local_turn[..., :1] < 0, -1.0, 1.0)
    # The same for each pixel: that of its object. One row for each object and frame is quick to copy.
    index = clips["object_index"].long()
    clip, frame = torch.arange(batch)[:, None, None, None], torch.arange(frames)[:, None, None]
    rows = rearrange(torch.cat((turn.flatten(-2), shift, local_turn), dim=-1), "b o t f c -> b o f (t c)")
    chosen = rows[clip, index, frame].unflatten(-1, (picks.shape[1], -1))
    turn, shift, local_turn = chosen.split((9, 3, 3), dim=-1)
    change = turn.unflatten(-1, (3, 3)) - torch.eye(3, device=turn.device)
    displacement = torch.einsum("bfhwtij,bfhwj->bfhwti", change, points) + shift
    local = torch.einsum("bfij,bfhwtj->btfihw", to_camera, displacement)
    since_first = motion - motion[:, :, :1]
    shifts, turns = since_first[..., 3].norm(dim=-1), since_first[..., :3].norm(dim=(-2, -1))
    travels = torch.maximum(shifts, turns).amax(2) > _MOVES
    return MotionTargets(
        local / depth[:, None, :, None].clamp_min(1e-3),
        rearrange(local_turn, "b f h w t i -> b t f i h w"),
        travels[clip, index],
        repeat(known, "b f h w -> b t f h w", t=picks.shape[1]),
    )


def track_targets(
    clips: dict[str, Tensor],
    picks: Int[Tensor, "batch time"],
    *,
    size: tuple[int, int],
    frame_stride: int = 4,
) -> MotionTargets:
    r"""True motion at the pixels that tracked points fall into, in camera axes.

    $$x = \frac{1}{d} R_k^\top (X_t - X_k)$$

    with $X_k$ a track at the time of frame k, seen at depth $d$ along the axes $R_k$ of its camera, and $X_t$
    the same track at the target time.

    Args:
        clips: Batch with `tracks` (world), `visible` and cameras; the intrinsics are those of a grid of
            `size`. Tracks may hold anything where they are not visible, NaN among it.
        picks: Target frames.
        size: Rows and columns of the maps.
        frame_stride: Pixel frames between frames with Gaussians.

    Returns:
        Motion, without rotation; unknown where no track that is visible at both times falls into a pixel. Of
        several tracks in one pixel the first counts.
    """
    tracks, visible = clips["tracks"].float(), clips["visible"]
    batch, num_tracks, num_frames, _ = tracks.shape
    height, width = size
    keys = torch.arange(0, num_frames, frame_stride, device=tracks.device)
    here, seen = (
        rearrange(tracks[:, :, keys], "b p f i -> b f p i"),
        rearrange(visible[:, :, keys], "b p f -> b f p"),
    )
    pose = clips["camera_to_world"][:, keys].float()
    pixels, depth = project(here, pose, clips["intrinsics"][:, keys].float())
    column, row = pixels.floor().unbind(-1)
    inside = seen & (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = torch.where(inside, row * width + column, 0).long()
    number = torch.where(inside, torch.arange(num_tracks, device=tracks.device), num_tracks)
    first = torch.full((batch, len(keys), height * width), num_tracks, device=tracks.device)
    first = first.scatter_reduce(2, place, number, "amin")
    hit = first < num_tracks
    first = first.clamp_max(num_tracks - 1)

    there = tracks.gather(2, repeat(picks, "b t -> b p t i", p=num_tracks, i=3))
    shift = rearrange(there, "b p t i -> b t 1 p i") - here[:, None]
    local = torch.einsum("bfji,btfpj->btfpi", pose[..., :3, :3], shift) / depth[:, None, ..., None].clamp_min(
        1e-3
    )
    index = repeat(first, "b f n -> b t f n i", t=picks.shape[1], i=3)
    displacement = rearrange(local.gather(3, index), "b t f (h w) i -> b t f i h w", h=height)
    arrives = rearrange(visible.gather(2, repeat(picks, "b t -> b p t", p=num_tracks)), "b p t -> b t p")
    known = hit[:, None] & arrives.gather(
        2, rearrange(first, "b f n -> b 1 (f n)").expand(-1, picks.shape[1], -1)
    ).unflatten(2, first.shape[1:])
    first_seen = visible.int().argmax(2)
    since_first = tracks - tracks.gather(2, repeat(first_seen, "b p -> b p 1 i", i=3))
    travels = torch.where(visible, since_first.norm(dim=-1), 0).amax(2) > _MOVES
    moving = hit & travels.gather(1, first.flatten(1)).unflatten(1, first.shape[1:])
    known = rearrange(known, "b t f (h w) -> b t f h w", h=height)
    return MotionTargets(
        torch.where(known[:, :, :, None], displacement, 0),
        None,
        rearrange(moving, "b f (h w) -> b f h w", h=height),
        known,
    )


def on_coarser_grid(
    clips: dict[str, Tensor], *, stride: int, top: int = 0, left: int = 0
) -> dict[str, Tensor]:
    """Ground truth of every so many pixels, with the intrinsics of that grid; no averages over edges.

    Args:
        clips: Batch with `intrinsics`, and with `depth` and `object_index` where they are known.
        stride: Pixels between those kept, each way.
        top: First row kept, below `stride`.
        left: First column kept, below `stride`.

    Returns:
        Copy of the batch with these three replaced.

    Raises:
        ValueError: If `stride` is below 1, or `top` or `left` is not in [0, `stride`).
    """
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}.")
    for name, first in (("top", top), ("left", left)):
        if not 0 <= first < stride:
            raise ValueError(f"{name} must be in [0, stride={stride}), got {first}.")
    intrinsics = clips["intrinsics"].float().clone()
    # Kept pixel i has its centre at stride * i + left + 0.5 in the image and at i + 0.5 on the coarser grid.
    intrinsics[..., 0, 2] += 0.5 * stride - left - 0.5
    intrinsics[..., 1, 2] += 0.5 * stride - top - 0.5
    intrinsics[..., :2, :] /= stride
    kept: dict[str, Tensor] = {
        name: clips[name][..., top::stride, left::stride]
        for name in ("depth", "object_index")
        if name in clips
    }
    return {**clips, **kept, "intrinsics": intrinsics}
