"""What is measured of a clip, each thing as one number by its name."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from diff4splat.data.checking import (
    Reprojection,
    camera_findings,
    camera_scale_from_depth,
    depth_findings,
    frame_agreement,
    pick_pairs,
    reproject,
    surface_depth,
)
from diff4splat.data.curation.continuity import color_changes, find_cuts, rotation_steps_deg
from diff4splat.data.curation.dynamic_mask import dynamic_from_flow, remove_small_blobs, residual_flow
from diff4splat.data.curation.flow import VideoFlow
from diff4splat.data.curation.seen_places import seen_places
from diff4splat.data.curation.thresholds import CurationThresholds
from diff4splat.data.recordings import Recording
from diff4splat.data.stages.item import Value

__all__ = ["METRICS", "measure"]

METRICS = {
    "num_frames": "frames",
    "min_brightness": "mean of the darkest frame, in [0, 1]",
    "frozen_share": "share of neighbouring frames that are the same picture",
    "color_change": "largest change of colours between neighbours, from 0 to 1",
    "cut": "where and why the clip has to be cut first; empty where nowhere",
    "camera_fault": "what makes cameras none; empty where nothing",
    "rotation_deg": "largest angle between neighbouring cameras, degrees",
    "camera_motion": "extent of the camera's path by the median depth",
    "wrong_depth": "pixels of known depth that are not finite and > 0",
    "depth_fault": "a mark left in the depth; empty where none was found",
    "known_depth": "share of known depth in the frame with the least",
    "median_depth_m": "median depth of clips in metres",
    "unit_ratio": "units of depth and poses, the larger by the smaller one",
    "depth_error": "relative error of depth carried between frames, median over pairs",
    "frame_depth_error": "the same in the frame that agrees least with its neighbours or those before",
    "worst_frame": "number of that frame",
    "pixel_error": "distance there and back, pixels of 512",
    "inlier_share": "share of carried pixels with depth within 5 %",
    "overlap": "share of a frame that falls into a neighbour, where it is the least",
    "color_ratio": "colour error of what is carried by that of what is left in place",
    "frame_color_ratio": "colour error between neighbours in the worst frame, by that in the middle one",
    "flow_error": "observed minus ego flow of what rests, pixels of 512",
    "dynamic_share": "share of pixels that move by the mask",
    "unmasked_motion": "share of pixels that move by the flow and not by the mask",
    "anchors": "anchors of metric depth",
    "scale_variation": "standard deviation of the scale of metric depth, by the scale",
    "visible_tracks": "tracks that are visible in two frames or more",
    "track_pixel_error": "distance of projected tracks from their pixels, median, pixels of 512",
    "track_depth_error": "relative distance of tracks from the depth, median",
}
"""What `measure` gives, in words."""

_LONG_SIDE = 512
_CHANGED, _FROZEN = 2, 1e-3  # pixels that differ by more than 2 of 255, and the share of them that is none
_LEAST_PIXELS = 50
_MOVES_COLORS = 1.5 / 255
_SCALE_PAIRS, _SCALE_PIXELS = 6, 800
_MOST_PIXELS = 20_000
_OFFSETS = (1, 2)
_HALO = 0.03  # of the longer side
_FAULTS = ("cameras finite", "rotation orthonormal", "rotation determinant", "focal length")


def measure(
    recording: Recording,
    thresholds: CurationThresholds | None = None,
    *,
    flow: VideoFlow | None = None,
) -> dict[str, Value]:
    """Everything that a clip is judged by.

    Depth is carried between pairs of frames with some baseline (`pick_pairs`), for the clip as a whole, and
    between neighbours, for each frame: what a frame has in common with the best of its neighbours counts, so
    that a bad frame does not make its neighbours bad; and so does the best of the pairs that lead past where
    a frame begins, which are all bad at a cut.

    Args:
        recording: Any; values need not be valid.
        thresholds: What is a cut; the defaults when omitted.
        flow: Observed between its frames, from a model or `estimate_flow`; without it, motion that the mask
            lacks is not measured.

    Returns:
        One value for each of `METRICS`; None for what cannot be measured.

    Raises:
        ValueError: If the flow is not that of these frames.
    """
    thresholds = thresholds or CurationThresholds()
    found: dict[str, Value] = dict.fromkeys(METRICS)
    found |= _of_pictures(recording)
    fault = "" if recording.cameras is None else _camera_fault(recording)
    sound = replace(recording, cameras=None) if fault else recording
    if recording.cameras is not None:
        found["camera_fault"] = fault
    if recording.depth is not None and recording.depth_mask is not None:
        found |= _of_depth(recording)
        good = recording.depth_mask & torch.isfinite(recording.depth) & (recording.depth > 0)
        sound = replace(sound, depth=torch.where(good, recording.depth, 1), depth_mask=good)
        if not good.any():
            sound = replace(sound, depth=None, depth_mask=None)
    found |= _of_cuts(sound, thresholds) | _of_cameras(sound)
    if sound.cameras is not None and sound.depth is not None:
        found |= _of_pairs(sound) | _of_neighbours(sound)
    if recording.dynamic_mask is not None:
        found["dynamic_share"] = float(recording.dynamic_mask.double().mean())
    elif recording.static:
        found["dynamic_share"] = 0.0
    if flow is not None and sound.cameras is not None and sound.depth is not None:
        found |= _of_flow(sound, flow)
    facts = recording.facts.get("metric_depth")
    if isinstance(facts, dict):
        found["anchors"] = facts.get("num_sources", facts.get("num_anchors"))
        found["scale_variation"] = facts.get("scale_variation")
    return found | _of_tracks(recording, sound)


def _of_pictures(recording: Recording) -> dict[str, Value]:
    video = recording.video
    brightness = min(float(frame.double().mean()) for frame in video) / 255
    found: dict[str, Value] = {"num_frames": recording.num_frames, "min_brightness": brightness}
    if recording.num_frames < 2:
        return found
    pairs = zip(video[:-1], video[1:], strict=True)
    change = [(one.short() - other.short()).abs().amax(0) > _CHANGED for one, other in pairs]
    same = [float(pixels.double().mean()) <= _FROZEN for pixels in change]
    return {**found, "frozen_share": sum(same) / len(same), "color_change": float(color_changes(video).max())}


def _camera_fault(recording: Recording) -> str:
    if recording.cameras is None:
        return ""
    for finding in camera_findings(recording.cameras):
        if finding.verdict == "fails" and finding.name in _FAULTS:
            return f"{finding.name}: {finding.words}"
    return ""


def _of_depth(recording: Recording) -> dict[str, Value]:
    depth, mask = recording.depth, recording.depth_mask
    if depth is None or mask is None:
        return {}
    good = mask & torch.isfinite(depth) & (depth > 0)
    known = depth[good]
    marks = [
        finding.words
        for finding in depth_findings(recording)
        if finding.name == "marks left in the depth" and finding.verdict == "fails"
    ]
    return {
        "wrong_depth": int((mask & ~good).sum()),
        "depth_fault": marks[0] if marks else "",
        "known_depth": float(good.flatten(1).double().mean(1).min()),
        "median_depth_m": float(known.median()) if len(known) and recording.unit == "metre" else None,
    }


def _of_cuts(recording: Recording, thresholds: CurationThresholds) -> dict[str, Value]:
    cuts = find_cuts(
        recording,
        max_rotation_deg=thresholds.max_rotation_deg,
        max_step_ratio=thresholds.max_step_ratio,
        max_color_change=thresholds.max_color_change,
    )
    first = next(iter(cuts.items()), None)
    return {"cut": "" if first is None else f"at frame {recording.numbers[first[0]]}, {first[1]}"}


def _of_cameras(recording: Recording) -> dict[str, Value]:
    cameras, found = recording.cameras, dict[str, Value]()
    if cameras is None:
        return found
    if recording.num_frames > 1:
        found["rotation_deg"] = float(rotation_steps_deg(cameras).max())
    if recording.depth is not None and recording.depth_mask is not None:
        centres = cameras.positions.double()
        extent = float((centres.amax(0) - centres.amin(0)).norm())
        found["camera_motion"] = extent / float(recording.depth[recording.depth_mask].median())
    return found


def _of_pairs(recording: Recording) -> dict[str, Value]:
    """The clip as a whole: medians over pairs with some baseline."""
    agreement = frame_agreement(recording, pick_pairs(recording), max_pixels=_MOST_PIXELS)
    if math.isnan(agreement.error):
        return {}
    moves = agreement.color_error_unmoved >= _MOVES_COLORS
    scale = camera_scale_from_depth(recording, num_pairs=_SCALE_PAIRS, num_pixels=_SCALE_PIXELS)
    return {
        "unit_ratio": max(scale.scale, 1 / scale.scale) if scale.accepted else None,
        "depth_error": agreement.error,
        "pixel_error": agreement.pixel_error * _to_long_side(recording),
        "inlier_share": agreement.inlier_share,
        "color_ratio": agreement.color_error / agreement.color_error_unmoved if moves else None,
    }


def _of_neighbours(recording: Recording) -> dict[str, Value]:
    """Each frame by itself, and each way past its beginning, so that cuts are seen: the best pair counts."""
    mask, frames = recording.depth_mask, recording.num_frames
    if mask is None or frames < 2:
        return {}
    moving = recording.dynamic_mask
    starts = (mask if moving is None else mask & ~moving).flatten(1).any(1).tolist()
    pairs: list[list[Reprojection]] = [[] for _ in range(frames)]
    for offset in _OFFSETS:
        for first in range(frames - offset):
            if starts[first]:
                pair = reproject(recording, first, first + offset, max_pixels=_MOST_PIXELS)
                pairs[first].append(pair)
                pairs[first + offset].append(pair)
    landed = [max(pair.landed_share for pair in own) for own in pairs if own]
    good = [[pair for pair in own if pair.num_pixels >= _LEAST_PIXELS] for own in pairs]
    errors = {frame: min(pair.error for pair in own) for frame, own in enumerate(good) if own}
    found: dict[str, Value] = {"overlap": min(landed) if landed else None}
    if errors:
        colors = [min(pair.color_error for pair in own) for own in good if own]
        usual = statistics.median(colors) + _MOVES_COLORS
        for frame in range(1, frames):
            past = [pair for pair in good[frame - 1] + good[frame] if pair.first < frame <= pair.second]
            if past:
                errors[frame] = max(errors.get(frame, 0.0), min(pair.error for pair in past))
                colors.append(min(pair.color_error for pair in past))
        worst = max(errors, key=lambda frame: errors[frame])
        found |= {
            "frame_depth_error": errors[worst],
            "worst_frame": recording.numbers[worst],
            "frame_color_ratio": max(colors) / usual,
        }
    return found


def _of_flow(recording: Recording, flow: VideoFlow) -> dict[str, Value]:
    residual = residual_flow(recording, flow)
    masked = recording.dynamic_mask
    resting = torch.isfinite(residual)
    if masked is not None:
        resting &= ~masked
    medians = [
        float(values[some].median()) for values, some in zip(residual, resting, strict=True) if some.any()
    ]
    unmasked = dynamic_from_flow(recording, flow)
    if masked is not None:  # flow is not sharp at the edges of what moves
        reach = round(_HALO * max(recording.height, recording.width))
        grown = F.max_pool2d(masked[:, None].float(), 2 * reach + 1, stride=1, padding=reach)[:, 0] > 0
        unmasked &= ~grown
    unmasked = remove_small_blobs(unmasked)
    return {
        "flow_error": statistics.median(medians) * _to_long_side(recording) if medians else None,
        "unmasked_motion": float(unmasked.double().mean()),
    }


def _of_tracks(recording: Recording, sound: Recording) -> dict[str, Value]:
    tracks, visible = recording.tracks, recording.visible
    if tracks is None or visible is None:
        return {}
    finite = visible & torch.isfinite(tracks).all(-1)
    found: dict[str, Value] = {"visible_tracks": int((finite.sum(1) >= 2).sum())}
    cameras = sound.cameras
    if cameras is None or not finite.any():
        return found
    points = torch.where(finite[..., None], tracks, 0.0).transpose(0, 1)
    pixels, z, _ = seen_places(points, cameras)
    if recording.track_pixels is not None:
        off = torch.where((z > 0)[..., None], pixels - recording.track_pixels.transpose(0, 1), torch.inf)
        lengths = off.norm(dim=-1)[finite.T].nan_to_num(nan=torch.inf)
        found["track_pixel_error"] = _median(lengths.clamp_max(1e6)) * _to_long_side(recording)
    if sound.depth is not None and sound.depth_mask is not None:
        errors = []
        for frame in range(recording.num_frames):
            inside = finite[:, frame] & (z[frame] > 0)
            inside &= (pixels[frame] >= 0).all(-1) & (pixels[frame, :, 0] < recording.width)
            inside &= pixels[frame, :, 1] < recording.height
            there, good = surface_depth(sound.depth[frame], sound.depth_mask[frame], pixels[frame, inside])
            errors.append((z[frame, inside] / there - 1).abs()[good])
        together = torch.cat(errors)
        found["track_depth_error"] = _median(together) if len(together) else None
    return found


def _median(values: Tensor | Sequence[float]) -> float:
    return float(torch.as_tensor(values).median())


def _to_long_side(recording: Recording) -> float:
    return _LONG_SIDE / max(recording.height, recording.width)
