"""Anchors: places where relative and metric depth are both known, from object masks or from SfM points."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.metric_depth.weighted_median import weighted_median
from diff4splat.geometry import project

__all__ = ["Anchors", "anchors_from_masks", "anchors_from_points", "mask_medians"]

_WHOLLY = 0.999  # of a bilinear sample from pixels that count


@dataclass(frozen=True, eq=False)
class Anchors:
    """Pairs of a relative value and a z-depth, of one clip.

    Args:
        relative: What a relative depth model says, depth-like or disparity-like, any unit.
        depth: z-depth of the same place, metres; for `metric_scale` in the unit of the cameras.
        weights: How much each counts, at least 0.
        frames: Frame of the clip that each was seen in.
        sources: Number of the object or point that each is of. Anchors of one source share its error, so that
            resampling draws them together.

    Raises:
        ValueError: If the lengths differ.
    """

    relative: Float[Tensor, " anchor"]
    depth: Float[Tensor, " anchor"]
    weights: Float[Tensor, " anchor"]
    frames: Int[Tensor, " anchor"]
    sources: Int[Tensor, " anchor"]

    def __post_init__(self) -> None:
        for name in ("depth", "weights", "frames", "sources"):
            if getattr(self, name).shape != self.relative.shape:
                expected, got = list(self.relative.shape), list(getattr(self, name).shape)
                raise ValueError(f"{name} must have the shape of relative, {expected}, got {got}.")

    def __len__(self) -> int:
        """Number of anchors."""
        return len(self.relative)

    @property
    def num_sources(self) -> int:
        """Number of different objects or points among the anchors that count."""
        return len(self.sources[self.weights > 0].unique())

    def validate(self) -> None:
        """Refuse values that no measurement gives.

        Raises:
            ValueError: If a value is not finite, a depth not above 0, or a weight below 0.
        """
        for name, right, words in (
            ("relative", torch.isfinite(self.relative), "finite"),
            ("depth", torch.isfinite(self.depth) & (self.depth > 0), "finite and > 0"),
            ("weights", torch.isfinite(self.weights) & (self.weights >= 0), "finite and >= 0"),
        ):
            if not bool(right.all()):
                raise ValueError(f"{name} must be {words}, got {int((~right).sum())} other values.")


def mask_medians(
    values: Float[Tensor, "frame height width"],
    masks: Bool[Tensor, "frame object height width"],
    *,
    valid: Bool[Tensor, "frame height width"] | None = None,
    min_pixels: int = 1,
) -> Float[Tensor, "frame object"]:
    """Median of a map inside each object mask, line 10 of Algorithm 1.

    Of a relative map it is the representative value of the object; of a metric map it is a metric reading for
    `anchors_from_masks`.

    Args:
        values: Any unit; what is not finite is left out.
        masks: Pixels of each object in each frame; may overlap, may be empty.
        valid: Pixels that count; all when omitted.
        min_pixels: Fewest pixels that give a median.

    Returns:
        Medians; NaN where fewer pixels count.

    Raises:
        ValueError: If the sizes differ, or `min_pixels` is below 1.
    """
    if (len(masks), *masks.shape[2:]) != values.shape:
        expected = [len(values), "object", *values.shape[1:]]
        raise ValueError(f"masks must have shape {expected}, got {list(masks.shape)}.")
    if valid is not None and valid.shape != values.shape:
        raise ValueError(f"valid must have shape {list(values.shape)}, got {list(valid.shape)}.")
    if min_pixels < 1:
        raise ValueError(f"min_pixels must be at least 1, got {min_pixels}.")
    known = torch.isfinite(values) if valid is None else torch.isfinite(values) & valid
    medians = values.new_full(masks.shape[:2], torch.nan)
    for frame, number in masks.any(-1).any(-1).nonzero().tolist():
        inside = values[frame][masks[frame, number] & known[frame]]
        if len(inside) >= min_pixels:
            medians[frame, number] = weighted_median(inside)
    return medians


def anchors_from_masks(
    relative: Float[Tensor, "frame height width"],
    masks: Bool[Tensor, "frame object height width"],
    readings: Float[Tensor, "frame object"],
    *,
    valid: Bool[Tensor, "frame height width"] | None = None,
    objects: Int[Tensor, "frame object"] | None = None,
    min_pixels: int = 1,
) -> Anchors:
    """One anchor per object mask with a valid metric reading, lines 5 to 13 of Algorithm 1.

    Args:
        relative: Relative depth or disparity of a clip, any unit.
        masks: Pixels of each object in each frame.
        readings: Metric depth of each object, metres; what is not finite or not above 0 is not valid.
        valid: Pixels of `relative` that count; all when omitted.
        objects: Which object each mask shows, where masks are followed over frames and readings of one object
            share their error; each mask is an object of its own when omitted.
        min_pixels: Fewest pixels that a mask must have.

    Returns:
        Anchors of weight 1, in the order of frames.

    Raises:
        ValueError: If the sizes differ, or `min_pixels` is below 1.
    """
    medians = mask_medians(relative, masks, valid=valid, min_pixels=min_pixels)
    for name, given in (("readings", readings), ("objects", objects)):
        if given is not None and given.shape != medians.shape:
            raise ValueError(f"{name} must have shape {list(medians.shape)}, got {list(given.shape)}.")
    kept = torch.isfinite(medians) & torch.isfinite(readings) & (readings > 0)
    frames = kept.nonzero()[:, 0]
    sources = torch.arange(len(frames), device=frames.device) if objects is None else objects[kept]
    return Anchors(medians[kept], readings[kept], torch.ones_like(medians[kept]), frames, sources)


def anchors_from_points(
    relative: Float[Tensor, "frame height width"],
    points: Float[Tensor, "point xyz=3"],
    cameras: Cameras,
    *,
    visible: Bool[Tensor, "point frame"] | None = None,
    num_views: Int[Tensor, " point"] | None = None,
    errors: Float[Tensor, " point"] | None = None,
    weights: Float[Tensor, " point"] | None = None,
    valid: Bool[Tensor, "frame height width"] | None = None,
    min_views: int = 3,
    max_error: float = 2.0,
) -> Anchors:
    """One anchor per SfM point and frame that sees it: the relative map at its pixel, and its z-depth.

    A point counts in a frame where it is in front of the camera and inside the image. Nothing here knows what
    hides what: without `visible`, points behind a surface are anchors too, and the fit has to be robust.

    Args:
        relative: Relative depth or disparity of a clip, any unit; sampled bilinearly, receives gradients.
        points: World coordinates, in the unit of the cameras.
        cameras: One per frame, without batch axes, of the size of `relative`.
        visible: Frames that a point was matched in.
        num_views: Images that each point was matched in, also outside of the clip; counted in `visible` when
            omitted, and not looked at without either.
        errors: Mean reprojection error of each point, pixels; not looked at when omitted.
        weights: How much each point counts; 1 when omitted.
        valid: Pixels of `relative` that count; all when omitted.
        min_views: Fewest images that a point must have been matched in.
        max_error: Largest reprojection error, pixels.

    Returns:
        Anchors in the order of frames, in the unit of the cameras; the source of each is its point.

    Raises:
        ValueError: If the sizes differ.
    """
    frames, height, width = relative.shape
    found = (*cameras.batch_shape, cameras.num_frames, cameras.height, cameras.width)
    if found != (frames, height, width):
        raise ValueError(f"cameras must be {frames} of {height} x {width} pixels, got {found}.")
    for name, given, shape in (
        ("visible", visible, (len(points), frames)),
        ("num_views", num_views, (len(points),)),
        ("errors", errors, (len(points),)),
        ("weights", weights, (len(points),)),
        ("valid", valid, tuple(relative.shape)),
    ):
        if given is not None and tuple(given.shape) != shape:
            raise ValueError(f"{name} must have shape {list(shape)}, got {list(given.shape)}.")
    poses = cameras.camera_to_world
    pixels, depth = project(points.to(poses).expand(frames, -1, -1), poses, cameras.intrinsics)
    inside = (pixels >= 0).all(-1) & (pixels[..., 0] < width) & (pixels[..., 1] < height)
    kept = inside & (depth > 0) & torch.isfinite(depth)
    if visible is not None:
        kept = kept & visible.T
        num_views = visible.sum(1) if num_views is None else num_views
    if num_views is not None:
        kept = kept & (num_views >= min_views)
    if errors is not None:
        kept = kept & (errors <= max_error)

    size = pixels.new_tensor([width, height])
    places = torch.where(kept[..., None], pixels, 0) / size * 2 - 1
    sampled = _bilinear(relative, places.to(relative))
    kept = kept & torch.isfinite(sampled)
    if valid is not None:
        kept = kept & (_bilinear(valid.to(relative), places.to(relative)) > _WHOLLY)
    frame, point = kept.nonzero().unbind(1)
    relative = sampled[kept]
    counts = torch.ones_like(relative) if weights is None else weights.to(relative)[point]
    return Anchors(relative, depth[kept].to(relative), counts, frame, point)


def _bilinear(
    maps: Float[Tensor, "frame height width"], places: Float[Tensor, "frame point xy=2"]
) -> Float[Tensor, "frame point"]:
    """Values of a map at places from -1 to 1; a value that is not finite spoils the places around it."""
    sampled = F.grid_sample(maps[:, None], places[:, None], padding_mode="border", align_corners=False)
    return sampled[:, 0, 0]
