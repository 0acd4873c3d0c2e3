"""Tracks of what rests: a pixel is unprojected once, and looked for in the other frames."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.checking.surface import surface_depth
from diff4splat.data.curation.seen_places import seen_places
from diff4splat.data.recordings import Recording
from diff4splat.geometry import unproject_pixels

__all__ = ["static_tracks"]

_EDGE = 0.1
_MOST_SOURCES = 8


def static_tracks(
    recording: Recording,
    num: int,
    *,
    generator: torch.Generator | None = None,
    sources: Sequence[int] | None = None,
    tolerance: float = 0.03,
    min_frames: int = 2,
) -> tuple[Float[Tensor, "track frame xyz=3"], Bool[Tensor, "track frame"]]:
    """Tracks of points that rest, from depth, cameras and the dynamic mask; no tracker is needed.

    Pixels of some frames are drawn among those that have depth, do not move and are
    not at an edge of depth. Each is one place in the world in all frames. It is visible in its own frame, and
    in others where it falls on pixels that do not move and whose depth agrees.

    Args:
        recording: With cameras and depth. If it is static, or without a dynamic mask, it is taken to rest as
            a whole, so give a mask (see `find_dynamic_mask`) unless it does.
        num: Tracks at most.
        generator: Source of the draws; one seeded with 0 when omitted.
        sources: Frames that points are drawn in; up to eight, evenly spread, when omitted.
        tolerance: Relative difference of depth up to which a point is visible.
        min_frames: Frames that a point must be visible in, to be kept.

    Returns:
        Positions, the same in each frame, and where they are visible; fewer than `num` where too few of the
        pixels drawn, four times as many, will do.

    Raises:
        ValueError: If there are no cameras or no depth, or an option is out of its range.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    if num < 1 or min_frames < 1:
        raise ValueError(f"num and min_frames must be at least 1, got {num} and {min_frames}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}.")
    frames, height, width = depth.shape
    moving = None if recording.static else recording.dynamic_mask
    resting = mask if moving is None else mask & ~moving
    if sources is None:
        chosen_frames = torch.linspace(0, frames - 1, min(frames, _MOST_SOURCES)).round().long()
    else:
        chosen_frames = torch.tensor(list(sources), dtype=torch.long)
    places = resting[chosen_frames].flatten().nonzero()[:, 0]
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(places), generator=generator, device=generator.device).to(places.device)
    chosen = places[order[: 4 * num]]  # some of them will not do
    source = chosen_frames[chosen // (height * width)]
    row, column = (chosen % (height * width)) // width, chosen % width
    pixels = torch.stack((column, row), -1).double() + 0.5
    z, good = torch.zeros(len(chosen), dtype=torch.float64), torch.zeros(len(chosen), dtype=torch.bool)
    for frame in chosen_frames.tolist():
        here = source == frame
        z[here] = depth[frame].double()[row[here], column[here]]
        _, good[here] = surface_depth(depth[frame], resting[frame], pixels[here] + 0.25, edge=_EDGE)
        _, also = surface_depth(depth[frame], resting[frame], pixels[here] - 0.25, edge=_EDGE)
        good[here] &= also
    pixels, z, source = pixels[good], z[good], source[good]
    points = unproject_pixels(
        pixels[:, None],
        z[:, None],
        cameras.camera_to_world.double()[source],
        cameras.intrinsics.double()[source],
    )[:, 0]
    visible = _visible(recording, points, resting, tolerance)
    visible[torch.arange(len(points)), source] = True
    kept = (visible.sum(1) >= min_frames).nonzero()[:num, 0]
    tracks = points[kept][:, None].expand(-1, frames, -1).to(cameras.dtype).contiguous()
    return tracks, visible[kept]


def _visible(recording: Recording, points: Tensor, resting: Tensor, tolerance: float) -> Tensor:
    """Whether the depth of each frame agrees with where a point is."""
    cameras, depth = recording.cameras, recording.depth
    visible = torch.zeros(len(points), recording.num_frames, dtype=torch.bool)
    if cameras is None or depth is None:
        return visible
    for frame in range(recording.num_frames):
        pixels, z, inside = seen_places(points[None], cameras.select(frame))
        places = torch.where(inside[0, :, None], pixels[0], 0.5)
        found, good = surface_depth(depth[frame], resting[frame], places, edge=_EDGE)
        visible[:, frame] = inside[0] & good & ((z[0] / found - 1).abs() <= tolerance)
    return visible
