"""One scale and one shift that turn the relative depth of a clip into metres, and how far to trust them."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.metric_depth.anchors import Anchors
from diff4splat.data.metric_depth.weighted_median import weighted_median

__all__ = ["AlignmentSpace", "DepthAlignment", "apply_alignment", "check_on_map", "metric_scale"]

AlignmentSpace = Literal["disparity", "depth"]
"""What the relative values are like: inverse depth, as relative depth models give it, or depth."""

MIN_DISPARITY = 1e-3
"""Per metre; what is farther than its inverse, or behind infinity by the shift, is put there."""


@dataclass(frozen=True)
class DepthAlignment:
    """Scale and shift of a clip with what was found on the way; rejected where `reason` says why.

    Args:
        scale: Factor of the relative values, > 0 unless rejected; NaN where none could be found.
        shift: Added after it; per metre in disparity space, metres in depth space.
        space: What scaled and shifted values are: inverse metres or metres.
        method: How they were fitted.
        residual: Median over the anchors of the relative error in that space.
        num_anchors: Anchors with a weight above 0.
        num_sources: Different objects or points that they are of.
        spread: Standard deviation of their relative values by the size of their mean.
        inlier_share: Share, by weight, of the anchors whose relative error is within the tolerance.
        positive_share: Share, by weight, of the anchors whose result is above 0; of the pixels after
            `check_on_map`.
        scale_variation: Standard deviation of the scale over resampled anchors by the scale; NaN where not
            measured.
        reason: Why it should not be used, in words; None where it may be.

    Raises:
        ValueError: If `space` is neither of the two.
    """

    scale: float
    shift: float
    space: AlignmentSpace = "disparity"
    method: str = "least-squares"
    residual: float = math.nan
    num_anchors: int = 0
    num_sources: int = 0
    spread: float = math.nan
    inlier_share: float = math.nan
    positive_share: float = math.nan
    scale_variation: float = math.nan
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.space not in get_args(AlignmentSpace):
            raise ValueError(
                f"space must be one of {', '.join(get_args(AlignmentSpace))}, got {self.space!r}."
            )

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return self.reason is None

    def facts(self) -> dict[str, Any]:
        """Every field as JSON knows it.

        Returns:
            Values by name; None for what is not a finite number.
        """
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def apply_alignment(
    relative: Float[Tensor, "*shape"], alignment: DepthAlignment, *, min_disparity: float = MIN_DISPARITY
) -> Float[Tensor, "*shape"]:
    r"""Metric depth of a relative map, line 17 of Algorithm 1.

    $$D^* = \frac{1}{\max(s D + t, \epsilon)} \;\text{(disparity)}, \qquad D^* = s D + t \;\text{(depth)}$$

    with $D$ = `relative`, $s$ and $t$ of `alignment`, $\epsilon$ = `min_disparity`. Differs: the paper writes
    the second form alone, which bends space where $D$ is inverse depth, as the relative models that it names
    give it.

    Args:
        relative: Relative depth or disparity, any unit; receives gradients, none where the limit holds.
        alignment: From `fit_scale_and_shift`.
        min_disparity: Least disparity, per metre, > 0.

    Returns:
        z-depth in metres. In depth space it is not limited and may be negative.

    Raises:
        ValueError: If the alignment has no finite scale and shift, or `min_disparity` is not above 0.
    """
    if not (math.isfinite(alignment.scale) and math.isfinite(alignment.shift)):
        raise ValueError(f"alignment must have a scale and a shift, got none: {alignment.reason}.")
    if not min_disparity > 0:
        raise ValueError(f"min_disparity must be above 0, got {min_disparity}.")
    values = alignment.scale * relative + alignment.shift
    return values if alignment.space == "depth" else 1 / values.clamp_min(min_disparity)


def check_on_map(
    relative: Float[Tensor, "*shape"],
    alignment: DepthAlignment,
    *,
    mask: Bool[Tensor, "*shape"] | None = None,
    min_positive: float = 0.5,
) -> DepthAlignment:
    """An alignment with the share of pixels that it puts in front of the camera, rejected where it is small.

    Anchors cover part of a picture. A shift that suits them may put the rest behind infinity.

    Args:
        relative: The map that the anchors are of.
        alignment: From `fit_scale_and_shift`; comes back as it is where it is rejected.
        mask: Pixels that count, for example those outside of the sky; all when omitted.
        min_positive: Least share of them, from 0 to 1.

    Returns:
        The alignment with `positive_share` and perhaps a `reason`.

    Raises:
        ValueError: If the sizes differ, or `min_positive` is not a share.
    """
    if mask is not None and mask.shape != relative.shape:
        raise ValueError(f"mask must have shape {list(relative.shape)}, got {list(mask.shape)}.")
    if not 0 <= min_positive <= 1:
        raise ValueError(f"min_positive must be from 0 to 1, got {min_positive}.")
    if not alignment.accepted:
        return alignment
    known = torch.isfinite(relative) if mask is None else torch.isfinite(relative) & mask
    count = int(known.sum())
    if not count:
        return replace(alignment, positive_share=math.nan, reason="no pixel of the map is known")
    share = float((alignment.scale * relative[known] + alignment.shift > 0).sum()) / count
    few = share < min_positive
    reason = f"{share:.1%} of the pixels are in front, fewer than {min_positive:.0%}" if few else None
    return replace(alignment, positive_share=share, reason=reason)


def metric_scale(alignment: DepthAlignment, anchors: Anchors) -> float:
    """Metres per unit of the cameras: the median of aligned depth by depth in that unit.

    Cameras and points of structure from motion have a unit of their own. Where metric depth came from
    elsewhere, this factor brings them to metres. A shift would mean nothing for them.

    Args:
        alignment: Of the relative map, in metres.
        anchors: From `anchors_from_points` on the same map; depth in the unit of the cameras.

    Returns:
        The factor for `Recording.scale` or `align_recording`.

    Raises:
        ValueError: If no anchor counts, the alignment has no scale, or the factor would not be above 0.
    """
    anchors.validate()
    ratios = apply_alignment(anchors.relative.detach().double(), alignment) / anchors.depth.detach()
    factor = float(weighted_median(ratios, anchors.weights.detach().double()))
    if not factor > 0:
        raise ValueError(f"anchors must give a factor above 0, got {factor} from {len(anchors)} of them.")
    return factor
