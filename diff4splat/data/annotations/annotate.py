"""Recordings with what annotators say of them."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal, get_args

import torch

from diff4splat.cameras import Cameras
from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.resampling import (
    DepthResampling,
    FramePlacement,
    resample_depth,
    resample_nearest,
)
from diff4splat.data.recordings import Recording

__all__ = ["AnnotationPart", "annotate", "fit_annotation", "select_frames"]

AnnotationPart = Literal["cameras", "depth", "dynamic_mask"]
"""What a recording can take from an annotation."""

_ROUNDING = 1.51  # pixels; annotators round the sides of resized frames, some up to even numbers


def fit_annotation(
    recording: Recording,
    annotation: Annotation,
    *,
    first_number: int | None = None,
    resampling: DepthResampling = "nearest",
) -> Annotation:
    """An annotation of the frames of a recording, at their size.

    This is where relative depth stays: `fitted.depth` and `fitted.depth_mask` are what `align_recording`,
    `anchors_from_points` and `anchors_from_masks` take. A `Recording` holds depth in its own unit only. So it
    is with points that are followed in pixels, which have no place in the world yet.

    Motion is of the nearest pixel, and of the edge where the annotator cut frames; depth is not known there.

    Args:
        recording: The frames.
        annotation: What was said of them, or of the video that they are from.
        first_number: Where the annotator was given the whole video that the frames are from: what
            `recording.numbers` call the first frame that it was given, mostly 0, or 1 for datasets that count
            from 1; numbers must run without gaps. None where it was given just these frames.
        resampling: How depth is brought to the size of frames: "nearest" takes the nearest pixel;
            "bilinear" weighs four where they are known and within 3 %, and takes the nearest elsewhere.

    Returns:
        The annotation; `covers` is whole, and there are no `numbers`.

    Raises:
        ValueError: If frames are missing or too many, sides are in another proportion than the recording's,
            or an option is none.
    """
    if resampling not in get_args(DepthResampling):
        raise ValueError(
            f"resampling must be one of {', '.join(get_args(DepthResampling))}, got {resampling!r}."
        )
    annotation = select_frames(recording, annotation, first_number)
    full = (annotation.height / annotation.covers[0], annotation.width / annotation.covers[1])
    _check_proportion(recording, annotation, full)
    height, width = recording.height, recording.width
    placement = FramePlacement(height, width, *full)
    fitted: dict[str, Any] = {}
    if annotation.depth is not None and annotation.depth_mask is not None:
        fitted["depth"], fitted["depth_mask"] = resample_depth(
            annotation.depth, annotation.depth_mask, placement, resampling
        )
    for name in ("moving", "static_confidence"):
        value = getattr(annotation, name)
        if value is not None:
            fitted[name] = resample_nearest(value, placement)[0]
    across, down = width / full[1], height / full[0]
    stretch = torch.tensor([[across], [down], [1.0]])
    if annotation.cameras is not None:
        lenses = annotation.cameras.intrinsics
        fitted["cameras"] = Cameras(
            annotation.cameras.camera_to_world, lenses * stretch.to(lenses), height, width
        )
    if annotation.intrinsics is not None:
        fitted["intrinsics"] = annotation.intrinsics * stretch.to(annotation.intrinsics)
    if annotation.track_pixels is not None:
        scale = torch.tensor([across, down]).to(annotation.track_pixels)
        fitted["track_pixels"] = annotation.track_pixels * scale
    return replace(annotation, **fitted, height=height, width=width, covers=(1.0, 1.0))


def annotate(
    recording: Recording,
    annotation: Annotation,
    *,
    parts: Collection[AnnotationPart] | None = None,
    first_number: int | None = None,
    resampling: DepthResampling = "nearest",
) -> Recording:
    """A recording with the parts of an annotation that it lacks and can hold.

    What cannot be held is left out: disparity and depth with a scale of its own in each frame; depth of
    another unit than the cameras that it would stand with; cameras of another world than the tracks, or
    another unit than the depth, that the recording has; motion where the dataset says that nothing moves.
    With `parts`, what is named replaces what the recording has, and is refused where it cannot be held.
    `facts["annotations"]` says for each annotation what was taken and why the rest was not. The unit becomes
    that of the annotation where the recording held neither cameras nor depth nor tracks.

    Args:
        recording: The frames.
        annotation: What was said of them; see `fit_annotation`.
        parts: What to take; what the recording lacks when omitted.
        first_number: See `fit_annotation`.
        resampling: See `fit_annotation`.

    Returns:
        The recording with what was taken.

    Raises:
        ValueError: If the annotation does not fit the frames, or a named part cannot be taken.
    """
    unknown = sorted(set(parts or ()) - set(get_args(AnnotationPart)))
    if unknown:
        raise ValueError(f"parts must be of {', '.join(get_args(AnnotationPart))}, got {unknown[0]!r}.")
    fitted = fit_annotation(recording, annotation, first_number=first_number, resampling=resampling)
    wanted = set(get_args(AnnotationPart)) if parts is None else set(parts)
    forced = parts is not None
    reasons = _reasons(recording, fitted, wanted, forced)
    for name in sorted(wanted):
        if forced and reasons[name] is not None:
            raise ValueError(
                f"{name} of {fitted.source} cannot be taken for {recording.name!r}: {reasons[name]}."
            )
    given = {"cameras": fitted.cameras, "depth": fitted.depth, "dynamic_mask": fitted.moving}
    taken: dict[str, Any] = {name: given[name] for name in sorted(wanted) if reasons[name] is None}
    note = {
        "source": fitted.source,
        "taken": list(taken),
        "left": {name: reasons[name] for name in sorted(wanted - taken.keys()) if given[name] is not None},
        "facts": dict(fitted.facts),
    }
    facts = {**recording.facts, "annotations": [*recording.facts.get("annotations", ()), note]}
    unit = fitted.unit if taken.keys() & {"cameras", "depth"} else recording.unit
    if "depth" in taken:
        taken["depth_mask"] = fitted.depth_mask
    return replace(recording, **taken, unit=unit, facts=facts)


def select_frames(recording: Recording, annotation: Annotation, first_number: int | None) -> Annotation:
    """The frames of an annotation that are those of a recording.

    Args:
        recording: The frames.
        annotation: What was said of them, or of the video that they are from.
        first_number: See `fit_annotation`.

    Returns:
        An annotation of these frames in order, without `numbers`, at its own size.

    Raises:
        ValueError: If frames are missing or too many.
    """
    return replace(annotation.select(_places(recording, annotation, first_number)), numbers=None)


def _places(recording: Recording, annotation: Annotation, first_number: int | None) -> list[int]:
    """Places in the annotation of the recording's frames."""
    numbers = annotation.numbers or tuple(range(annotation.num_frames))
    if first_number is None:
        wanted: tuple[int, ...] = tuple(range(recording.num_frames))
        if annotation.num_frames > len(wanted) or max(numbers) >= len(wanted):
            raise ValueError(
                f"annotation of {annotation.source} must be of the {len(wanted)} frames of "
                f"{recording.name!r}, got {annotation.num_frames} up to frame {max(numbers)}; "
                "first_number takes frames of the whole video by their numbers."
            )
    else:
        wanted = tuple(number - first_number for number in recording.numbers)
    place = {number: index for index, number in enumerate(numbers)}
    missing = [number for number in wanted if number not in place]
    if missing:
        raise ValueError(
            f"annotation of {annotation.source} must be of every frame of {recording.name!r}, lacks "
            f"{len(missing)} of {len(wanted)}, the first of them {missing[0]}."
        )
    return [place[number] for number in wanted]


def _check_proportion(recording: Recording, annotation: Annotation, full: tuple[float, float]) -> None:
    sides = (recording.height, recording.width)
    least = max((found - _ROUNDING) / side for found, side in zip(full, sides, strict=True))
    most = min((found + _ROUNDING) / side for found, side in zip(full, sides, strict=True))
    if least > most:  # no one scale makes both sides
        raise ValueError(
            f"annotation of {annotation.source} must be of frames in the proportion of {recording.width} x "
            f"{recording.height}, as those of {recording.name!r}, got {full[1]:.6g} x {full[0]:.6g}."
        )


def _same(recording: Recording, fitted: Annotation) -> bool:
    """Whether units are known to be the same."""
    return recording.unit == fitted.unit == "metre"


def _reasons(
    recording: Recording, fitted: Annotation, wanted: set[str], forced: bool
) -> dict[str, str | None]:
    """Why each part cannot be taken; None where it can."""
    no_cameras = _why_no_cameras(recording, fitted, forced)
    takes_cameras = "cameras" in wanted and no_cameras is None
    no_depth = _why_no_depth(recording, fitted, forced, takes_cameras)
    keeps_depth = recording.depth is not None and not ("depth" in wanted and no_depth is None)
    if keeps_depth and no_cameras is None and not _same(recording, fitted):
        no_cameras = "their unit is not known to be that of the depth that the recording has"
    return {
        "cameras": no_cameras,
        "depth": no_depth,
        "dynamic_mask": _why_no_mask(recording, fitted, forced),
    }


def _why_no_cameras(recording: Recording, fitted: Annotation, forced: bool) -> str | None:
    if fitted.cameras is None:
        return "the annotation has none"
    if recording.cameras is not None and not forced:
        return "the recording has its own"
    if recording.tracks is not None:
        return "tracks of the recording are in the world of its own cameras"
    return None


def _why_no_depth(recording: Recording, fitted: Annotation, forced: bool, takes_cameras: bool) -> str | None:
    if fitted.depth is None:
        return "the annotation has none"
    if recording.depth is not None and not forced:
        return "the recording has its own"
    if fitted.kind == "disparity":
        return "it is disparity, which align_recording turns into depth"
    if not fitted.one_scale:
        return "every frame has a scale of its own"
    has_space = recording.tracks is not None or (recording.cameras is not None and not takes_cameras)
    if has_space and not _same(recording, fitted):
        return "its unit is not known to be that of the recording, which align_recording makes it"
    return None


def _why_no_mask(recording: Recording, fitted: Annotation, forced: bool) -> str | None:
    if fitted.moving is None:
        return "the annotation has none"
    if not forced and recording.dynamic_mask is not None:
        return "the recording has its own"
    if not forced and recording.static:
        return "the dataset says that nothing moves"
    return None
