"""Stereo4D, from files written by hand from the description of the format."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import stereo4d
from data.layouts.scene import Scene
from data.readers.wall import camera_to_world, pixel, shades, video, wall_scene

from diff4splat.data.readers import find_datasets, open_dataset
from diff4splat.geometry import project

CLIP = stereo4d.CLIPS[0]  # names of videos may begin with a dash
NAME = f"npz/{CLIP}"
SIDE, COUNT = 62, 7
FOCAL = SIDE / 2 / math.tan(math.pi / 6)


def place_of(track: int, frame: int) -> np.ndarray:
    """Points that move: 5 of them, each on its own line."""
    return np.array([0.1 * track - 0.2, 0.05 * frame, 3 + 0.3 * track + 0.02 * frame])


SEEN = {0: [0, 1, 2, 3, 4, 5, 6], 1: [2, 3], 2: [], 3: [0, 5, 6], 4: [4]}  # frames of the points


def scene(count: int = COUNT) -> Scene:
    """The wall's cameras and these points."""
    frames = range(count)
    points = np.array([[place_of(track, frame) for track in SEEN] for frame in frames])
    visible = np.array([[frame in SEEN[track] for track in SEEN] for frame in frames])
    wall = wall_scene(frames, SIDE, SIDE, FOCAL)
    return replace(wall, points=points, pixels=points[..., :2], visible=visible)


def arrays(count: int = COUNT, **changes: np.ndarray) -> dict[str, np.ndarray]:
    return stereo4d.arrays(scene(count)) | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stereo4d.write(tmp_path / "stereo clips", scene()).folder


def test_a_clip_comes_back(folder: Path) -> None:
    assert find_datasets(folder) == {"stereo4d": 1}
    reader = open_dataset(folder)
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.unit) == (COUNT, SIDE, SIDE, "metre")
    assert info.fps == pytest.approx(30, abs=1e-3) and info.holds == {"cameras", "tracks"}
    recording = reader.read(NAME)
    recording.validate()
    assert shades(recording.video.numpy()) == list(range(COUNT))
    truth = np.stack([camera_to_world(index) for index in range(COUNT)])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=2e-7)
    assert recording.facts["timestamps_us"][1] == 130030030 + 33333
    assert recording.facts["url"].endswith("=-MwZrkhQ0ck")


def test_tracks_are_where_they_are_seen(folder: Path) -> None:
    recording = open_dataset(folder).read(NAME)
    kept = [track for track, frames in SEEN.items() if frames]
    assert len(recording.tracks) == len(kept)
    for row, track in enumerate(kept):
        for frame in range(COUNT):
            assert recording.visible[row, frame].item() == (frame in SEEN[track])
            if frame in SEEN[track]:
                place = recording.tracks[row, frame]
                np.testing.assert_allclose(place, place_of(track, frame), atol=3e-7)
                seen, _ = project(
                    place[None], recording.cameras.camera_to_world[frame], recording.cameras.intrinsics[frame]
                )
                expected = pixel(place_of(track, frame), frame, SIDE, SIDE, FOCAL)
                np.testing.assert_allclose(seen[0], expected, atol=1e-3)


def test_some_frames_have_their_own_tracks(folder: Path) -> None:
    """In frames 2 and 4, tracks 0, 1 and 4 are seen."""
    recording = open_dataset(folder).read(NAME, [2, 4])
    assert recording.visible.tolist() == [[True, True], [True, False], [False, True]]
    np.testing.assert_allclose(recording.tracks[2, 1], place_of(4, 4), atol=3e-7)
    whole = open_dataset(folder).read(NAME).select([2, 4])
    assert torch.equal(whole.visible, recording.visible)
    assert torch.equal(whole.tracks[whole.visible], recording.tracks[recording.visible])
    assert torch.equal(whole.video, recording.video)


def test_points_that_are_not_finite_are_not_visible(folder: Path) -> None:
    places = arrays()["track_coordinates"]
    places[1], places[2, 0] = np.nan, np.inf
    np.savez(folder / "npz" / f"{CLIP}.npz", **arrays(track_coordinates=places))
    recording = open_dataset(folder).read(NAME)
    recording.validate()
    assert recording.visible[0].tolist() == [True, False, False, True, True, True, True]


@pytest.mark.parametrize(("of_video", "of_arrays"), [(5, 7), (9, 7)])
def test_frame_counts_that_differ(folder: Path, of_video: int, of_arrays: int) -> None:
    np.savez(folder / "npz" / f"{CLIP}.npz", **arrays(of_arrays))
    video(folder / "processed" / CLIP / f"{CLIP}-left_rectified.mp4", of_video, SIDE, SIDE, fps=30)
    reader = open_dataset(folder)
    assert reader.info(NAME).num_frames == min(of_video, of_arrays)
    recording = reader.read(NAME)
    assert shades(recording.video.numpy()) == list(range(min(of_video, of_arrays)))
    assert recording.facts["frames_of_video"] == of_video


@pytest.mark.parametrize("place", ["npz", f"npz/{CLIP}", f"npz/processed/{CLIP}"])
def test_other_places_of_the_video(folder: Path, place: str) -> None:
    name = f"{CLIP}-left_rectified.mp4"
    (folder / place).mkdir(exist_ok=True, parents=True)
    (folder / "processed" / CLIP / name).rename(folder / place / name)
    assert open_dataset(folder).info(NAME).num_frames == COUNT
    assert open_dataset(folder / "npz").info(CLIP).num_frames == COUNT


def test_without_the_video(folder: Path) -> None:
    (folder / "processed" / CLIP / f"{CLIP}-left_rectified.mp4").unlink()
    reader = open_dataset(folder)
    assert reader.info(NAME).num_frames == 0 and "=-MwZrkhQ0ck, rectify it" in reader.info(NAME).missing
    with pytest.raises(FileNotFoundError, match="cannot be read: the video of the left eye: fetch https"):
        reader.read(NAME)


def test_what_is_wrong_is_named(folder: Path) -> None:
    reader = open_dataset(folder)
    file = folder / "npz" / f"{CLIP}.npz"
    lengths, indices = arrays()["track_lengths"], arrays()["track_indices"]
    for changes, words in (
        (
            {"track_lengths": lengths + 1},
            "must hold 18 rows of tracks, the sum of track_lengths, got \\[13\\]",
        ),
        ({"track_indices": indices + 1}, "must hold track_indices from 0 to 6, got 1 to 7"),
        (
            {"camera2world": arrays()["camera2world"][:5]},
            "must hold camera2world of \\[7, 3, 4\\], .* got \\[5, 3, 4\\]",
        ),
        ({"camera2world": arrays()["camera2world"] * 2}, "npz: camera2world must be rigid"),
    ):
        np.savez(file, **arrays(**changes))
        with pytest.raises(ValueError, match=words):
            reader.read(NAME)
    content = arrays()
    del content["track_indices"]
    np.savez(file, **content)
    with pytest.raises(ValueError, match="npz must hold .*, got no track_indices"):
        reader.read(NAME)
    whole = file.read_bytes()
    file.write_bytes(whole[:-60])
    with pytest.raises(ValueError, match=f"{CLIP}.npz is not a readable npz"):
        reader.info(NAME)
    assert open_dataset(folder).names == (NAME,), "a damaged one is still found, and named when it is read"
