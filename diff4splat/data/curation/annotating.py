"""What annotators say of a clip, brought together: metric depth, what moves, tracks in 3D."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from diff4splat.data.annotations import Annotation, Annotator, annotate, fit_annotation
from diff4splat.data.checking import CameraScale, camera_scale_from_depth
from diff4splat.data.curation.dynamic_mask import find_dynamic_mask
from diff4splat.data.curation.flow import camera_flow, estimate_flow
from diff4splat.data.curation.lifting import lift_tracks
from diff4splat.data.curation.settings import CurationSettings
from diff4splat.data.metric_depth import (
    Anchors,
    DepthAlignment,
    align_recording,
    anchors_from_masks,
    anchors_from_points,
    check_on_map,
    fit_scale_and_shift,
    mask_medians,
    metric_scale,
)
from diff4splat.data.readers import SparsePoints
from diff4splat.data.recordings import Recording
from diff4splat.data.stages import Rejected, seed_of_uid

__all__ = ["annotated"]


def annotated(
    recording: Recording,
    annotators: Sequence[Annotator],
    settings: CurationSettings,
    *,
    places: Sequence[int],
    points: SparsePoints | None = None,
) -> Recording:
    """A clip with all that its annotators and its own geometry tell.

    In this order: parts of annotations that the clip lacks and that fit its unit; metres, where the settings
    say how long a unit is; depth in metres from relative depth, its anchors being a metric annotator's
    readings or the sparse points of the cameras, and with it the scale of the cameras; a mask of what moves,
    from optical flow where the settings ask for it; and tracks in the world, from tracks in pixels.

    Args:
        recording: A clip.
        annotators: What is asked, in this order.
        settings: How.
        places: Frame of the source that each frame is, counted from 0, for annotations of the whole source.
        points: Sparse points of the cameras, whose frames count as `recording.numbers` do.

    Returns:
        The clip; `facts["metric_depth"]` says how its depth was scaled.

    Raises:
        Rejected: If relative depth cannot be aligned well enough; says why.
        ValueError: If an annotation does not fit, or a file of it is damaged.
        FileNotFoundError: If there is none.
    """
    said = [annotator(replace(recording, numbers=tuple(places))) for annotator in annotators]
    for annotation in said:
        recording = annotate(recording, annotation)
    if settings.metres_per_unit is not None and recording.unit != "metre":
        recording = replace(recording.scale(settings.metres_per_unit), unit="metre")
        if points is not None:
            points = replace(points, positions=points.positions * settings.metres_per_unit)
    fitted = [fit_annotation(recording, annotation) for annotation in said]
    if recording.depth is None:
        recording = _metric(recording, fitted, settings, points)
    can_tell = recording.depth is not None and recording.cameras is not None and recording.num_frames > 1
    if settings.masks == "flow" and can_tell and recording.dynamic_mask is None and not recording.static:
        flow = estimate_flow(recording.video, guess=camera_flow(recording))
        recording = replace(recording, dynamic_mask=find_dynamic_mask(recording, flow=flow))
    followed = next((each for each in fitted if each.track_pixels is not None), None)
    return recording if followed is None else _lifted(recording, followed, settings)


def _metric(
    recording: Recording,
    fitted: Sequence[Annotation],
    settings: CurationSettings,
    points: SparsePoints | None,
) -> Recording:
    """Depth in metres, if there is relative depth and something to anchor it by; else as it was."""
    with_depth = [each for each in fitted if each.depth is not None]
    relative = next((each for each in with_depth if each.unit != "metre" and each.one_scale), None)
    metric = next((each for each in with_depth if each.unit == "metre" and each.kind == "depth"), None)
    if relative is None or relative.depth is None:
        return _metric_alone(recording, metric)
    seen = None if points is None or recording.cameras is None else _anchors(recording, relative, points)
    if metric is not None:
        anchors = _tile_anchors(relative, metric, settings.tiles)
    elif seen is not None and recording.unit == "metre":
        anchors = seen
    else:
        return recording
    generator = torch.Generator().manual_seed(seed_of_uid(recording.name, "alignment") % 2**63)
    limits = settings.thresholds
    alignment = fit_scale_and_shift(
        anchors,
        space=relative.kind,
        method=settings.align_method,
        min_anchors=limits.min_anchors or 3,
        max_variation=limits.max_scale_variation,
        generator=generator,
    )
    alignment = check_on_map(relative.depth, alignment, mask=relative.depth_mask)
    if not alignment.accepted:
        raise Rejected(
            f"The depth cannot be brought to metres: {alignment.reason}.",
            {key: value for key, value in alignment.facts().items() if key != "reason"},
        )
    scale = _camera_scale(recording, relative, alignment, seen)
    return align_recording(recording, relative.depth, alignment, mask=relative.depth_mask, camera_scale=scale)


def _metric_alone(recording: Recording, metric: Annotation | None) -> Recording:
    """Depth of a metric annotator as it is, and cameras scaled to agree with it."""
    if metric is None or metric.depth is None or metric.depth_mask is None or recording.cameras is None:
        return recording
    known = replace(recording, depth=metric.depth, depth_mask=metric.depth_mask)
    found = _accepted(camera_scale_from_depth(known))
    scaled = replace(recording.scale(found.scale), depth=metric.depth, depth_mask=metric.depth_mask)
    return replace(scaled, unit="metre", facts={**recording.facts, "camera_scale": found.facts()})


def _camera_scale(
    recording: Recording, relative: Annotation, alignment: DepthAlignment, seen: Anchors | None
) -> float | None:
    """Metres per unit of the cameras: by sparse points where there are some, else by the depth itself."""
    if recording.unit == "metre" or recording.cameras is None:
        return None
    if seen is not None:
        return metric_scale(alignment, seen)
    if relative.depth is None:
        return None
    aligned = align_recording(
        replace(recording, tracks=None, visible=None, track_pixels=None),
        relative.depth,
        alignment,
        mask=relative.depth_mask,
        camera_scale=1.0,
    )
    return _accepted(camera_scale_from_depth(aligned)).scale


def _accepted(found: CameraScale) -> CameraScale:
    if not found.accepted:
        raise Rejected(
            f"The cameras cannot be brought to metres: {found.reason}.",
            {"camera_scale_variation": found.variation if math.isfinite(found.variation) else None},
        )
    return found


def _anchors(recording: Recording, relative: Annotation, points: SparsePoints) -> Anchors | None:
    """Anchors from sparse points in the frames that were matched, in the unit of the cameras."""
    cameras, values, mask = recording.cameras, relative.depth, relative.depth_mask
    if cameras is None or values is None:
        return None
    place = {number: index for index, number in enumerate(recording.numbers)}
    visible = torch.zeros(len(points.positions), recording.num_frames, dtype=torch.bool)
    for point, number in zip(points.points.tolist(), points.frames.tolist(), strict=True):
        if number in place:
            visible[point, place[number]] = True
    views = torch.bincount(points.points, minlength=len(points.positions))
    return anchors_from_points(
        values,
        points.positions.to(cameras.dtype),
        cameras,
        visible=visible,
        num_views=views,
        errors=points.errors_px.to(cameras.dtype),
        valid=mask,
    )


def _tile_anchors(relative: Annotation, metric: Annotation, tiles: int) -> Anchors:
    """Anchors where both annotators know the depth: medians over tiles of each frame."""
    values, readings = relative.depth, metric.depth
    if values is None or readings is None or metric.depth_mask is None:
        raise ValueError("annotations must have depth, got one without.")
    height, width = values.shape[1:]
    row = torch.arange(height) * tiles // height
    column = torch.arange(width) * tiles // width
    number = row[:, None] * tiles + column[None, :]
    masks = number[None] == torch.arange(tiles * tiles)[:, None, None]
    masks = masks.expand(len(values), -1, -1, -1)
    valid = metric.depth_mask if relative.depth_mask is None else metric.depth_mask & relative.depth_mask
    medians = mask_medians(readings, masks, valid=valid)
    objects = torch.arange(len(values) * tiles * tiles).reshape(len(values), -1) % (tiles * tiles)
    return anchors_from_masks(values, masks, medians, valid=valid, objects=objects)


def _lifted(recording: Recording, followed: Annotation, settings: CurationSettings) -> Recording:
    """Tracks in the world, where depth and cameras say where their pixels are."""
    depth, mask, cameras = recording.depth, recording.depth_mask, recording.cameras
    pixels, visible = followed.track_pixels, followed.visible
    if recording.tracks is not None or depth is None or mask is None or cameras is None:
        return recording
    if pixels is None or visible is None:
        return recording
    tracks, seen = lift_tracks(pixels, visible, depth, mask, cameras, max_jump=settings.max_track_jump)
    kept = seen.any(1)
    if not kept.any():
        return recording
    return replace(recording, tracks=tracks[kept], visible=seen[kept], track_pixels=pixels[kept])
