"""A recording with metric depth, from its relative depth and an alignment."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.metric_depth.alignment import MIN_DISPARITY, DepthAlignment, apply_alignment
from diff4splat.data.recordings import Recording

__all__ = ["align_recording"]


def align_recording(
    recording: Recording,
    relative: Float[Tensor, "frame height width"],
    alignment: DepthAlignment,
    *,
    mask: Bool[Tensor, "frame height width"] | None = None,
    camera_scale: float | None = None,
    min_disparity: float = MIN_DISPARITY,
) -> Recording:
    """A recording in metres: depth from a relative map, cameras and tracks scaled.

    Args:
        recording: The clip; depth that it holds is replaced.
        relative: Relative depth or disparity of its frames, any unit.
        alignment: From `fit_scale_and_shift`, accepted.
        mask: Pixels of `relative` that count, for example those outside of the sky; all when omitted.
        camera_scale: Metres per unit of cameras and tracks, > 0, see `metric_scale`; may be omitted where the
            recording says that its unit is the metre, or where it has neither.
        min_disparity: Least disparity, per metre; pixels that reach it are too far to be known.

    Returns:
        The recording with `depth`, `depth_mask`, unit "metre", and scale, shift and their quality as
        `facts["metric_depth"]`.

    Raises:
        ValueError: If the sizes differ, the alignment is rejected, or `camera_scale` is missing or not above
            0.
    """
    shape = (recording.num_frames, recording.height, recording.width)
    for name, given in (("relative", relative), ("mask", mask)):
        if given is not None and given.shape != shape:
            raise ValueError(f"{name} must have shape {list(shape)}, got {list(given.shape)}.")
    if not alignment.accepted:
        raise ValueError(f"alignment must be accepted, got one that is rejected: {alignment.reason}.")
    if camera_scale is None:
        if recording.unit != "metre" and (recording.cameras is not None or recording.tracks is not None):
            raise ValueError(
                "camera_scale must be given for a recording whose unit is not known, got None; "
                "metric_scale finds it."
            )
        camera_scale = 1.0
    if not 0 < camera_scale < torch.inf:
        raise ValueError(f"camera_scale must be above 0, got {camera_scale}.")

    depth = apply_alignment(relative, alignment, min_disparity=min_disparity)
    known = torch.isfinite(depth) & (depth > 0)
    if alignment.space == "disparity":
        known = known & (depth * min_disparity < 1)
    if mask is not None:
        known = known & mask
    scaled = replace(recording, depth=None, depth_mask=None).scale(camera_scale)
    return replace(
        scaled,
        depth=torch.where(known, depth, 0),
        depth_mask=known,
        unit="metre",
        facts={**recording.facts, "metric_depth": {**alignment.facts(), "camera_scale": camera_scale}},
    )
