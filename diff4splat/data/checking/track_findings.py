"""Whether tracks are where the pictures show them: projected onto pixels, and against depth."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from diff4splat.data.checking.finding import Finding, Verdict
from diff4splat.data.recordings import Recording
from diff4splat.geometry import project, rigid_inverse

__all__ = ["track_findings"]

_PIXELS = 0.003  # of the longer side
_LEAST_PIXELS_LIMIT = 1.0
_DEPTH, _INLIERS = 0.05, 0.6
_INSIDE = 0.9
_LEAST = 5


def track_findings(recording: Recording) -> list[Finding]:
    """Whether 3D tracks, seen through the cameras, fall onto the pixels and the depth of the frames.

    Args:
        recording: With or without tracks.

    Returns:
        Findings on values, pixels and depth, and on the axes of the tracks if these explain a mistake; empty
        without tracks.
    """
    if recording.tracks is None or recording.visible is None:
        return []
    if recording.cameras is None:
        return [Finding("tracks onto pixels", "cannot tell", "there are no cameras")]
    visible = recording.visible
    finite = torch.isfinite(recording.tracks).all(-1)
    wrong = int((visible & ~finite).sum())
    findings = [
        Finding(
            "tracks finite",
            "fails" if wrong else "holds",
            "wherever they are visible" if not wrong else "visible points are NaN or infinite",
            float(wrong),
            "0",
            "points",
        )
    ]
    if int((visible & finite).sum()) < _LEAST:
        return [*findings, Finding("tracks onto pixels", "cannot tell", "hardly a point is visible")]
    recording = replace(recording, visible=visible & finite)
    measured = _measure(recording)
    findings += measured
    if any(finding.verdict == "fails" for finding in measured):
        for words, change in _READINGS.items():
            again = _measure(change(recording))
            if all(finding.verdict != "fails" for finding in again):
                findings.append(Finding("axes of the tracks", "fails", f"as if {words}"))
                break
    return findings


def _measure(recording: Recording) -> list[Finding]:
    cameras, tracks, visible = recording.cameras, recording.tracks, recording.visible
    if cameras is None or tracks is None or visible is None:
        return []
    points = tracks.double().transpose(0, 1)  # frame, track
    pixels, depth = project(
        torch.where(visible.T[..., None], points, 0.0),
        cameras.camera_to_world.double(),
        cameras.intrinsics.double(),
    )
    seen = visible.T
    size = pixels.new_tensor([recording.width, recording.height])
    inside = seen & (depth > 0) & (pixels >= 0).all(-1) & (pixels < size).all(-1)
    share = float(inside.sum() / seen.sum())
    findings = [
        Finding(
            "tracks inside the frame",
            "holds" if share >= _INSIDE else "fails",
            "of the points that are said to be visible",
            100 * share,
            f"at least {100 * _INSIDE:g}",
            "%",
        )
    ]
    if recording.track_pixels is not None:
        said = recording.track_pixels.double().transpose(0, 1)
        known = seen & torch.isfinite(said).all(-1)
        off = (pixels - said).norm(dim=-1)[known].nan_to_num(nan=1e9)
        limit = max(_LEAST_PIXELS_LIMIT, _PIXELS * max(recording.height, recording.width))
        if len(off) >= _LEAST:
            value = float(off.median())
            good: Verdict = "holds" if value <= limit else "fails"
            words = "between the projected point and the pixel that the dataset says"
            findings.append(Finding("tracks onto pixels", good, words, value, f"at most {limit:.3g}", "px"))
    if recording.depth is not None and recording.depth_mask is not None:
        findings.append(_against_depth(recording.depth, recording.depth_mask, pixels, depth, inside))
    return findings


def _against_depth(depth: Tensor, mask: Tensor, pixels: Tensor, z: Tensor, inside: Tensor) -> Finding:
    name, limit = "tracks onto depth", f"at most {100 * _DEPTH:g}"
    frame, track = inside.nonzero().unbind(-1)
    column, row = pixels[frame, track].floor().long().unbind(-1)
    found, known = depth[frame, row, column].double(), mask[frame, row, column]
    errors = (z[frame, track] / found - 1).abs()[known & (found > 0)]
    if len(errors) < _LEAST:
        return Finding(name, "cannot tell", "hardly a visible point has depth below it")
    value, share = float(errors.median()), float((errors <= _DEPTH).double().mean())
    good = value <= _DEPTH and share >= _INLIERS
    words = f"median; {100 * share:.0f} % of the points are within 5 %"
    return Finding(name, "holds" if good else "fails", words, 100 * value, limit, "%")


def _in_camera_axes(recording: Recording) -> Recording:
    """Tracks of each frame taken from the axes of its camera to the world."""
    if recording.cameras is None or recording.tracks is None:
        return recording
    return replace(recording, tracks=_moved(recording.tracks, recording.cameras.camera_to_world))


def _in_first_camera(recording: Recording) -> Recording:
    if recording.cameras is None or recording.tracks is None:
        return recording
    return replace(recording, tracks=_moved(recording.tracks, recording.cameras.camera_to_world[:1]))


def _inverted(recording: Recording) -> Recording:
    if recording.cameras is None:
        return recording
    poses = rigid_inverse(recording.cameras.camera_to_world)
    return replace(recording, cameras=replace(recording.cameras, camera_to_world=poses))


def _moved(tracks: Tensor, poses: Tensor) -> Tensor:
    poses = poses.double()
    moved = torch.einsum("fij,nfj->nfi", poses[:, :3, :3].expand(tracks.shape[1], -1, -1), tracks.double())
    return moved + poses[:, :3, 3]


_READINGS: dict[str, Callable[[Recording], Recording]] = {
    "the tracks were in the axes of each frame's camera": _in_camera_axes,
    "the tracks were in the axes of the first camera": _in_first_camera,
    "the poses were world-to-camera": _inverted,
}
