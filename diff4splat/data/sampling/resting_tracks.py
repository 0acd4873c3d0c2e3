"""Tracks of points that rest, out of depth: the motion of static scenes, and of what surrounds movers."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.clips import KEY_STRIDE
from diff4splat.data.recordings import Recording
from diff4splat.data.sampling.draws import draw_some
from diff4splat.geometry import project, unproject_pixels

__all__ = ["resting_tracks"]


def resting_tracks(
    recording: Recording,
    num_tracks: int,
    *,
    generator: torch.Generator | None = None,
    tolerance: float = 0.05,
) -> tuple[Float[Tensor, "track frame xyz=3"], Bool[Tensor, "track frame"]]:
    """Points seen at pixels of key frames that show what rests: one place in the world in all frames.

    What rests is all of a static recording, and else what the dynamic mask leaves. A point is visible where
    it falls into the image, the depth there is known and agrees with its own, and the pixel rests.

    Args:
        recording: Frames with cameras and depth, and a dynamic mask unless it is static. Every fourth frame
            is a key frame.
        num_tracks: How many points to draw at most.
        generator: Random numbers; pixels evenly spread over the key frames when omitted.
        tolerance: Share of its own z-depth by which that of the pixel may differ.

    Returns:
        World positions, and where they are visible: at least in the frame that they were taken from. No track
        where no pixel rests.

    Raises:
        ValueError: If there are no cameras, no depth, or neither a static scene nor a dynamic mask.
    """
    cameras, depth, known = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or known is None:
        raise ValueError(f"recording must have cameras and depth, got {recording.name} without them.")
    rests = known
    if not recording.static:
        if recording.dynamic_mask is None:
            raise ValueError(
                f"recording must be static or have a dynamic mask, got {recording.name} with neither."
            )
        rests = known & ~recording.dynamic_mask
    places = rests[::KEY_STRIDE].nonzero()
    frame, row, column = places[draw_some(len(places), num_tracks, generator)].unbind(1)
    frame = frame * KEY_STRIDE
    poses, lenses = cameras.camera_to_world.double(), cameras.intrinsics.double()
    centres = torch.stack((column, row), dim=-1) + 0.5
    own = depth[frame, row, column].double()
    points = unproject_pixels(centres[:, None].double(), own[:, None], poses[frame], lenses[frame])[:, 0]

    count = recording.num_frames
    pixels, distance = project(points.expand(count, -1, -1), poses, lenses)
    in_front = distance > 0
    column, row = torch.where(in_front[..., None], pixels, -1.0).floor().unbind(-1)
    inside = (column >= 0) & (column < recording.width) & (row >= 0) & (row < recording.height)
    time = torch.arange(count)[:, None]
    row, column = (torch.where(inside, value, 0).long() for value in (row, column))
    agrees = (depth[time, row, column] - distance).abs() <= tolerance * distance
    visible = inside & rests[time, row, column] & agrees
    visible[frame, torch.arange(len(frame))] = True  # its own pixel, whatever rounding does
    return points.to(depth.dtype)[:, None].repeat(1, count, 1), visible.T.contiguous()
