"""Tracks in other axes, or off their pixels, are found."""

from dataclasses import replace

import torch
from data.checking.scenes import recording

from diff4splat.data import Recording
from diff4splat.data.checking import check_recording, track_findings
from diff4splat.geometry import rigid_inverse


def failing(one: Recording) -> dict[str, str]:
    return {item.name: item.words for item in track_findings(one) if item.verdict == "fails"}


def moved(poses: torch.Tensor) -> torch.Tensor:
    points = recording().tracks
    return torch.einsum("fij,nfj->nfi", poses[:, :3, :3].expand(13, 3, 3), points) + poses[:, :3, 3]


def test_exact_tracks_hold() -> None:
    findings = track_findings(recording())
    assert {item.verdict for item in findings} == {"holds"} and len(findings) == 4
    assert track_findings(replace(recording(), tracks=None, visible=None, track_pixels=None)) == []


def test_tracks_in_camera_axes_are_named() -> None:
    inverse = rigid_inverse(recording().cameras.camera_to_world)
    of_each = replace(recording(), tracks=moved(inverse))
    assert (
        failing(of_each)["axes of the tracks"] == "as if the tracks were in the axes of each frame's camera"
    )
    assert check_recording(of_each).verdict == "fails"
    of_first = replace(recording(), tracks=moved(inverse[:1]))
    assert failing(of_first)["axes of the tracks"] == "as if the tracks were in the axes of the first camera"


def test_depth_alone_tells_camera_axes() -> None:
    inverse = rigid_inverse(recording().cameras.camera_to_world)
    one = replace(recording(), tracks=moved(inverse), track_pixels=None)
    assert failing(one)["axes of the tracks"] == "as if the tracks were in the axes of each frame's camera"


def test_poses_the_wrong_way_are_named() -> None:
    one = recording()
    cameras = replace(one.cameras, camera_to_world=rigid_inverse(one.cameras.camera_to_world))
    assert (
        failing(replace(one, cameras=cameras))["axes of the tracks"] == "as if the poses were world-to-camera"
    )


def test_pixels_and_values_that_are_off_are_found() -> None:
    one = recording()
    assert list(failing(replace(one, track_pixels=one.track_pixels + 2))) == ["tracks onto pixels"]
    assert failing(replace(one, track_pixels=one.track_pixels + 0.5)) == {}
    tracks = one.tracks.clone()
    tracks[3] = torch.nan
    broken = replace(one, tracks=tracks, visible=one.visible | (torch.arange(len(tracks)) == 3)[:, None])
    assert list(failing(broken)) == ["tracks finite"]
    hidden = track_findings(replace(one, visible=one.visible & False))
    assert hidden[-1].verdict == "cannot tell"
    assert track_findings(replace(one, cameras=None))[0].verdict == "cannot tell"
