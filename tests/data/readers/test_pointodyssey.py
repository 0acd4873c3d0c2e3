"""PointOdyssey v1.2, read from files written by hand from the description of the format."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import pointodyssey
from data.layouts.pointodyssey import NAME, annotation
from data.readers.truth import (
    FRAMES,
    check_cameras,
    check_depth,
    check_tracks,
    cut,
    make_truth,
    write_png,
)
from PIL import Image

from diff4splat.data.readers import PointOdyssey, find_datasets, open_dataset
from diff4splat.geometry import project

TRUTH = make_truth()
ALL = list(range(FRAMES))
METRES, PIXELS = 2**-9 + 1e-6, 2**-6 + 1e-6  # float16: half a step at 4 to 8 m, and at 32 px


def write_annotation(folder: Path, **changes: np.ndarray | None) -> None:
    arrays = {**annotation(TRUTH), **changes}
    pointodyssey.write_annotation(folder, {key: each for key, each in arrays.items() if each is not None})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pointodyssey.write(tmp_path, TRUTH).folder


def test_cameras_depth_and_tracks_come_back(folder: Path) -> None:
    assert find_datasets(folder) == {"pointodyssey": 1}
    reader = open_dataset(folder)
    assert isinstance(reader, PointOdyssey) and reader.names == (NAME,)
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.fps) == (FRAMES, 22, 34, 30)
    assert info.holds == {"cameras", "depth", "tracks"}
    for frames in (ALL, [1, 3, 4], [2]):
        recording = reader.read(NAME, frames)
        assert recording.numbers == tuple(frames)
        assert np.abs(recording.video[:, 0, 0, 0].numpy() - 20 - 40.0 * np.array(frames)).max() <= 3
        check_cameras(recording, TRUTH, frames, 2e-3)  # rotations were rounded to 11 bits
        check_depth(recording, TRUTH, frames, 1000 / 65535 + 2e-3)
        check_tracks(recording, TRUTH, frames, METRES, PIXELS)
        poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
        seen, _ = project(recording.tracks.transpose(0, 1), poses, lenses)
        off = (seen.transpose(0, 1) - recording.track_pixels)[recording.visible]
        assert off.abs().max() < 0.05, "tracks lie on their pixels"


def test_rotations_of_11_bits_are_made_exact(folder: Path) -> None:
    stored = torch.from_numpy(annotation(TRUTH)["extrinsics"].astype(np.float64))[:, :3, :3]
    identity = torch.eye(3, dtype=torch.float64)
    assert (stored.mT @ stored - identity).abs().max() > 1e-4, "as stored they are none"
    rotations = PointOdyssey(folder).read(NAME).cameras.camera_to_world[:, :3, :3].double()
    assert (rotations.mT @ rotations - identity).abs().max() < 1e-6


def test_pixels_that_count_from_whole_numbers_are_moved_by_half(folder: Path) -> None:
    arrays = annotation(TRUTH)
    lens = arrays["intrinsics"].copy()
    lens[:, :2, 2] -= np.float16(0.5)
    pixels = (TRUTH.pixels - 0.5).astype(np.float16)
    write_annotation(folder / NAME, intrinsics=lens, trajs_2d=pixels)
    recording = PointOdyssey(folder).read(NAME)
    check_cameras(recording, TRUTH, ALL, 2e-3)
    check_depth(recording, TRUTH, ALL, 1000 / 65535 + 2e-3)
    check_tracks(recording, TRUTH, ALL, METRES, PIXELS)


def test_tracks_that_cannot_be_are_not_visible(folder: Path) -> None:
    arrays = annotation(TRUTH)
    sure = np.flatnonzero(TRUTH.visible.all(0))[:4]
    arrays["trajs_2d"][1, sure[0]] = np.inf
    arrays["trajs_3d"][2, sure[1], 0] = np.nan
    arrays["valids"][3, sure[2]] = 0
    arrays["visibs"][:, sure[3]] = 2  # invalid depth, in the codes of the authors' program
    gone = np.flatnonzero(TRUTH.visible[0] & TRUTH.visible[4])
    gone = next(index for index in gone if index not in sure)
    arrays["trajs_3d"][1, gone] += 60  # there and back is more than 100 m
    visible = TRUTH.visible.copy()
    visible[1, sure[0]] = visible[2, sure[1]] = visible[3, sure[2]] = False
    visible[:, [sure[3], gone]] = False
    write_annotation(folder / NAME, **arrays)
    recording = PointOdyssey(folder).read(NAME)
    recording.validate()
    assert torch.isfinite(recording.tracks).all() and torch.isfinite(recording.track_pixels).all()
    assert np.array_equal(recording.visible.numpy(), visible[:, visible.any(0)].T)
    outside = annotation(TRUTH)
    outside["trajs_2d"][..., 0] += 100
    write_annotation(folder / NAME, **outside)
    assert len(PointOdyssey(folder).read(NAME).tracks) == 0, "said to be visible outside of the image"


def test_some_sequences_have_no_annotation_and_some_no_points(folder: Path) -> None:
    place = folder / NAME
    none = annotation(TRUTH)
    for key in ("trajs_2d", "trajs_3d", "visibs", "valids"):
        none[key] = none[key][:, :0]
    write_annotation(place, **none)
    reader = PointOdyssey(folder)
    assert reader.info(NAME).holds == {"cameras", "depth"}
    recording = reader.read(NAME)
    assert recording.tracks is None and recording.visible is None and recording.cameras is not None
    (place / "info.npz").unlink()
    assert reader.info(NAME).holds == {"cameras", "depth"}, "which only repeats the shapes"
    (place / "anno.npz").unlink()
    shutil.rmtree(place / "depths")
    assert reader.info(NAME).holds == set()
    recording = reader.read(NAME, [2])
    assert recording.cameras is None and recording.depth is None and recording.numbers == (2,)


def test_arrays_in_other_orders_and_compressed_are_the_same(folder: Path) -> None:
    expected = PointOdyssey(folder).read(NAME, [1, 4])
    np.savez_compressed(
        folder / NAME / "anno.npz",
        **{key: np.asfortranarray(value) for key, value in annotation(TRUTH).items()},
    )
    found = PointOdyssey(folder).read(NAME, [1, 4])
    assert torch.equal(found.tracks, expected.tracks) and torch.equal(found.visible, expected.visible)
    assert torch.equal(found.cameras.camera_to_world, expected.cameras.camera_to_world)


def test_the_sky_and_what_is_nearer_than_a_step_have_no_depth(folder: Path) -> None:
    stored = np.full((22, 34), 65534, np.uint16)
    stored[0, :2] = [0, 65535]
    write_png(folder / NAME / "depths" / "depth_00001.png", stored)
    recording = PointOdyssey(folder).read(NAME, [1])
    assert recording.depth_mask[0, 0].tolist() == [False] * 2 + [True] * 32
    assert recording.depth[0, 5, 5].item() == pytest.approx(1000 * 65534 / 65535)


@pytest.mark.parametrize("inside", ["train", NAME])
def test_any_folder_around_it_will_do(folder: Path, inside: str) -> None:
    reader = open_dataset(folder / inside)
    assert torch.equal(reader.read(reader.names[0]).video, open_dataset(folder).read(NAME).video)


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / NAME
    reader = PointOdyssey(folder)
    for changes, message in (
        ({"valids": None}, "anno.npz must hold an array valids, got none"),
        (
            {"visibs": annotation(TRUTH)["visibs"][:4]},
            "anno.npz must hold visibs for each of 5 frames in rgbs, got 4",
        ),
        (
            {"visibs": annotation(TRUTH)["visibs"][:, :3]},
            "anno.npz must hold as many points in each array, got .*'visibs': 3",
        ),
        (
            {"extrinsics": annotation(TRUTH)["extrinsics"][:, :3]},
            r"hold extrinsics of shape \[frame, 4, 4\], got \[5, 3, 4\]",
        ),
        ({"extrinsics": np.array([{}] * 5)}, r"not a readable archive of arrays \(extrinsics\): numbers"),
    ):
        write_annotation(place, **changes)
        with pytest.raises(ValueError, match=message):
            reader.info(NAME)
    write_annotation(place, extrinsics=annotation(TRUTH)["extrinsics"] * np.float16(1.1))
    with pytest.raises(
        ValueError, match="anno.npz must hold rigid world-to-camera matrices, got one in row 0"
    ):
        reader.read(NAME)
    flipped = annotation(TRUTH)["extrinsics"] * np.array([-1, 1, 1, 1], np.float16)[:, None]
    write_annotation(place, extrinsics=flipped)
    with pytest.raises(ValueError, match="anno.npz must hold rigid .* determinant -1"):
        reader.read(NAME)
    unknown = annotation(TRUTH)["intrinsics"]
    unknown[1, 0, 0] = np.nan
    write_annotation(place, intrinsics=unknown)
    with pytest.raises(ValueError, match="anno.npz must hold finite lenses, got others in row 1"):
        reader.read(NAME)
    write_annotation(place)
    (place / "depths" / "depth_00001.png").write_bytes(b"")
    with pytest.raises(ValueError, match="depth_00001.png is not a readable picture"):
        reader.read(NAME, [1])
    cut(place / "rgbs" / "rgb_00002.jpg")
    with pytest.raises(ValueError, match="rgb_00002.jpg is not a readable picture"):
        reader.read(NAME, [2])
    Image.new("RGB", (17, 11)).save(place / "rgbs" / "rgb_00003.jpg")
    with pytest.raises(ValueError, match="rgb_00003.jpg must have the size of the first frame, 34 x 22"):
        reader.read(NAME, [0, 3])
    (place / "depths" / "depth_00004.png").unlink()
    with pytest.raises(ValueError, match="depths must hold a file for every frame, lacks 1, .* frame 4"):
        reader.info(NAME)
    shutil.rmtree(place / "depths")
    cut(place / "anno.npz")
    with pytest.raises(ValueError, match="anno.npz is not a readable archive of arrays"):
        reader.info(NAME)
    (place / "rgbs" / "rgb_00001.jpg").unlink()
    with pytest.raises(ValueError, match="rgbs must hold every frame from 0 to 4, lacks 1, .* of them 1"):
        reader.info(NAME)
