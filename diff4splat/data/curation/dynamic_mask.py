"""What moves by itself: from maps of confidence, from flow that the camera does not explain, or both."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.curation.flow import VideoFlow, ego_flow
from diff4splat.data.recordings import Recording

__all__ = [
    "ConfidenceMeaning",
    "dynamic_from_confidence",
    "dynamic_from_flow",
    "find_dynamic_mask",
    "remove_small_blobs",
    "residual_flow",
]

ConfidenceMeaning = Literal["static", "moving"]
"""What a large value says: that a pixel rests (MegaSaM's `motion_prob`, in spite of its name), or that it
moves."""


def dynamic_from_confidence(
    confidence: Float[Tensor, "frame rows columns"],
    *,
    height: int,
    width: int,
    meaning: ConfidenceMeaning = "static",
    share: float = 0.4,
    min_range: float = 0.1,
) -> Bool[Tensor, "frame height width"]:
    r"""Pixels whose confidence of being static is low among those of their frame.

    $$m(p) = \bigl[c(p) < \tau\bigr], \quad \tau = \min c + \alpha (\max c - \min c),$$

    and nothing moves in a frame with $\tau > \max c - r$, where all values are alike. Source: the masks of
    SpatialVID, which are made from MegaSaM's maps; $\alpha$ = `share` and $r$ = `min_range` are theirs.

    Args:
        confidence: One map per frame, of any size, in [0, 1]; NaN counts as static.
        height: Rows of the mask; maps are interpolated bilinearly.
        width: Columns of the mask.
        meaning: "static" if large values rest, "moving" if they move.
        share: $\alpha$, in (0, 1).
        min_range: $r$, no less than 0.

    Returns:
        Where something moves.

    Raises:
        ValueError: If an option is out of its range.
    """
    if meaning not in get_args(ConfidenceMeaning):
        raise ValueError(f"meaning must be one of {list(get_args(ConfidenceMeaning))}, got {meaning!r}.")
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}.")
    if not min_range >= 0:
        raise ValueError(f"min_range must be at least 0, got {min_range}.")
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, got {height} and {width}.")
    if not confidence.numel():
        raise ValueError(f"confidence must have values, got shape {list(confidence.shape)}.")
    static = confidence if meaning == "static" else 1 - confidence
    static = static.nan_to_num(nan=1.0).clamp(0, 1)
    least, most = static.amin((1, 2), keepdim=True), static.amax((1, 2), keepdim=True)
    limit = least + share * (most - least)
    size = (height, width)
    full = F.interpolate(static[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return (full < limit) & (limit <= most - min_range)


def residual_flow(recording: Recording, flow: VideoFlow) -> Float[Tensor, "frame height width"]:
    """How far pixels go that the camera does not explain: the length of observed minus ego flow.

    Each frame is compared with both of its neighbours and the smaller length counts, because what is
    uncovered or hidden has no right flow in one of the two directions.

    Args:
        recording: With cameras and depth, two frames or more.
        flow: Observed between its frames.

    Returns:
        Pixels; NaN where neither neighbour can tell.

    Raises:
        ValueError: If there are no cameras or no depth, or the flow is not that of these frames.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    shape = (recording.num_frames - 1, 2, recording.height, recording.width)
    if recording.num_frames < 2 or flow.forward.shape != shape:
        raise ValueError(
            f"flow must have shape {list(shape)} for two frames or more, got {list(flow.forward.shape)}."
        )
    lengths = torch.full(depth.shape, torch.nan, dtype=torch.float64)
    for first in range(recording.num_frames - 1):
        for observed, here, there in (
            (flow.forward[first], first, first + 1),
            (flow.backward[first], first + 1, first),
        ):
            known = torch.where(mask[here], depth[here], torch.nan)[None]
            ego = ego_flow(known, cameras.select(here), cameras.select(there))[0]
            lengths[here] = lengths[here].fmin((observed.double() - ego).norm(dim=0))
    return lengths


def dynamic_from_flow(
    recording: Recording, flow: VideoFlow, *, min_pixels: float = 2.0, min_share: float = 0.01
) -> Bool[Tensor, "frame height width"]:
    r"""Pixels whose flow is not that of the camera.

    $$m(p) = \bigl[\lVert f_\text{observed}(p) - f_\text{ego}(p) \rVert > \max(a, b\,W)\bigr]$$

    with the smaller length of both neighbours, see `residual_flow`, $a$ = `min_pixels`, $b$ = `min_share` and
    $W$ the width. What moves slower between two frames is not seen: take frames further apart.

    Args:
        recording: With cameras and depth, two frames or more.
        flow: Observed between its frames.
        min_pixels: Least motion, pixels.
        min_share: Least motion, share of the width.

    Returns:
        Where something moves; False where nothing is known.

    Raises:
        ValueError: If there are no cameras or no depth, the flow is not that of these frames, or a limit is
            negative.
    """
    if not (min_pixels >= 0 and min_share >= 0):
        raise ValueError(f"min_pixels and min_share must be at least 0, got {min_pixels} and {min_share}.")
    limit = max(min_pixels, min_share * recording.width)
    return residual_flow(recording, flow) > limit  # false for NaN


def remove_small_blobs(
    mask: Bool[Tensor, "frame height width"], min_share: float = 5e-4
) -> Bool[Tensor, "frame height width"]:
    """A mask without its small connected pieces, which are mostly noise at edges.

    Args:
        mask: Any mask; pixels are connected along rows, columns and diagonals.
        min_share: Least size of a piece that stays, share of the pixels of a frame, in [0, 1].

    Returns:
        The larger pieces.

    Raises:
        ValueError: If `min_share` is out of its range.
    """
    if not 0 <= min_share <= 1:
        raise ValueError(f"min_share must lie in [0, 1], got {min_share}.")
    from scipy.ndimage import label

    kept = torch.zeros_like(mask)
    least = min_share * mask[0].numel() if len(mask) else 0
    for frame, pixels in enumerate(mask.cpu().numpy()):
        pieces, _ = label(pixels, structure=[[1, 1, 1]] * 3)
        pieces = torch.from_numpy(pieces).long()
        large = pieces.flatten().bincount() >= least
        large[0] = False
        kept[frame] = large[pieces].to(mask.device)
    return kept


def find_dynamic_mask(
    recording: Recording,
    *,
    confidence: Float[Tensor, "frame rows columns"] | None = None,
    meaning: ConfidenceMeaning = "static",
    flow: VideoFlow | None = None,
    min_pixels: float = 2.0,
    min_share: float = 0.01,
    min_blob: float = 5e-4,
) -> Bool[Tensor, "frame height width"] | None:
    """Everything that is known to move: the dataset's own mask, and what is found beyond it.

    What the dataset says is kept as it is; pieces of the other masks that are too small are left out.

    Args:
        recording: The clip; its own `dynamic_mask` counts, and where it is `static`, nothing else does.
        confidence: Maps as `dynamic_from_confidence` takes them.
        meaning: What large values of them say.
        flow: Observed; counts where there are cameras and depth.
        min_pixels: As in `dynamic_from_flow`.
        min_share: As in `dynamic_from_flow`.
        min_blob: As `min_share` of `remove_small_blobs`.

    Returns:
        The union; None where nothing at all tells what moves.

    Raises:
        ValueError: If shapes do not agree or an option is out of its range.
    """
    if recording.static:
        size = (recording.num_frames, recording.height, recording.width)
        return (
            torch.zeros(size, dtype=torch.bool) if recording.dynamic_mask is None else recording.dynamic_mask
        )
    found = None
    if confidence is not None:
        if len(confidence) != recording.num_frames:
            raise ValueError(f"confidence must have {recording.num_frames} frames, got {len(confidence)}.")
        found = dynamic_from_confidence(
            confidence, height=recording.height, width=recording.width, meaning=meaning
        )
    if flow is not None and recording.cameras is not None and recording.depth is not None:
        moving = dynamic_from_flow(recording, flow, min_pixels=min_pixels, min_share=min_share)
        found = moving if found is None else found | moving
    if found is not None:
        found = remove_small_blobs(found, min_blob)
    if recording.dynamic_mask is None:
        return found
    return recording.dynamic_mask if found is None else recording.dynamic_mask | found
