"""Spring, read from files written by hand from the description of the format."""

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from data.layouts import spring
from data.layouts.spring import write_disparity
from data.readers.truth import (
    FRAMES,
    check_cameras,
    check_depth,
    cut,
    make_truth,
    write_png,
)

from diff4splat.data.readers import Spring, find_datasets, open_dataset

LEFT, RIGHT = make_truth(focal=(31.0, 29.0)), make_truth(focal=(31.0, 29.0), baseline=0.065)
NAME = "spring/train/0001/left"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return spring.write(tmp_path, LEFT, RIGHT).folder


@pytest.mark.parametrize(("side", "truth"), [("left", LEFT), ("right", RIGHT)])
def test_both_cameras_come_back(folder: Path, side: str, truth) -> None:
    assert find_datasets(folder) == {"spring": 2}
    reader = open_dataset(folder)
    assert isinstance(reader, Spring) and reader.names == (NAME, "spring/train/0001/right")
    name = f"spring/train/0001/{side}"
    info = reader.info(name)
    assert (info.num_frames, info.height, info.width, info.unit) == (FRAMES, 22, 34, "metre")
    assert info.holds == {"cameras", "depth", "dynamic_mask"}
    recording = reader.read(name)
    assert recording.numbers == (1, 2, 3, 4, 5), "counted from 1"
    check_cameras(recording, truth, list(range(FRAMES)))
    check_depth(recording, truth, list(range(FRAMES)), 1e-5)
    assert np.array_equal(recording.dynamic_mask.numpy(), truth.moving), "the last frame by the map backwards"
    some = reader.read(name, [2, 4])
    assert some.numbers == (3, 5) and some.video[:, 0, 0, 0].tolist() == [100, 180]
    check_cameras(some, truth, [2, 4])
    check_depth(some, truth, [2, 4], 1e-5)


def test_the_test_split_has_lenses_and_no_poses(folder: Path) -> None:
    place = folder / "spring" / "train" / "0001"
    (place / "cam_data" / "extrinsics.txt").unlink()
    for name in ("disp1_left", "disp1_right", "maps"):
        shutil.rmtree(place / name)
    shutil.move(folder / "spring" / "train", folder / "spring" / "test")
    reader = Spring(folder / "spring")
    assert reader.info("test/0001/left").holds == set()
    recording = reader.read("test/0001/left", [1, 2])
    assert recording.cameras is None and recording.depth is None and recording.dynamic_mask is None
    assert recording.facts["intrinsics"] == [[31.0, 29.0, 17.0, 11.0]] * 2


def test_a_lens_that_zooms_scales_depth_with_it(folder: Path) -> None:
    lenses = np.array([[31.0 * (1 + frame), 29.0, 17.0, 11.0] for frame in range(FRAMES)])
    np.savetxt(folder / "spring" / "train" / "0001" / "cam_data" / "intrinsics.txt", lenses)
    recording = Spring(folder).read(NAME, [0, 3])
    assert recording.cameras.intrinsics[:, 0, 0].tolist() == [31, 124]
    known = recording.depth_mask[1]
    torch.testing.assert_close(recording.depth[1][known], torch.from_numpy(LEFT.depth[3] * 4).float()[known])


def test_depth_is_unknown_without_disparity_or_where_a_map_says_sky(folder: Path) -> None:
    place = folder / "spring" / "train" / "0001"
    values = np.full((22, 34), 0.5, np.float16)  # of the size of the frame, and in another type
    values[0, :3] = [np.nan, 0, -1]
    write_disparity(place / "disp1_left" / "disp1_left_0001.dsp5", values)
    sky = np.zeros((44, 68, 3), np.uint8)  # coloured
    sky[10:12, 20:22] = 1
    write_png(place / "maps" / "skymap_left" / "skymap_left_0001.png", sky)
    expected = torch.ones(22, 34, dtype=torch.bool)
    expected[0, :3] = expected[5, 10] = False
    assert torch.equal(Spring(folder).read(NAME, [0]).depth_mask[0], expected)
    sky = np.zeros((7, 11), np.uint8)
    sky[0] = 255
    write_png(place / "maps" / "skymap_left" / "skymap_left_0001.png", sky)
    assert Spring(folder).read(NAME, [0]).depth_mask[0].any(1).int().argmax() == 4, (
        "row 3 of 22 is in row 0 of 7"
    )
    shutil.rmtree(place / "maps" / "skymap_left")
    assert Spring(folder).read(NAME, [0]).depth_mask[0].sum() == 22 * 34 - 3


@pytest.mark.parametrize("inside", ["spring", "spring/train", "spring/train/0001"])
def test_any_folder_around_it_will_do(folder: Path, inside: str) -> None:
    reader = open_dataset(folder / inside)
    assert torch.equal(reader.read(reader.names[0]).video, open_dataset(folder).read(NAME).video)


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / "spring" / "train" / "0001"
    reader = Spring(folder)
    file = place / "disp1_left" / "disp1_left_0002.dsp5"
    write_disparity(file, np.ones((3, 5), np.float32))
    with pytest.raises(
        ValueError, match=r"disp1_left_0002.dsp5 must hold .* 22 x 34, or twice that, got \[3, 5"
    ):
        reader.read(NAME, [1])
    with h5py.File(file, "w") as data:
        data["flow"] = np.ones((44, 68), np.float32)
    with pytest.raises(ValueError, match="disp1_left_0002.dsp5 is not a readable map of disparity"):
        reader.read(NAME, [1])
    cut(place / "disp1_left" / "disp1_left_0003.dsp5")
    with pytest.raises(ValueError, match="disp1_left_0003.dsp5 is not a readable map"):
        reader.read(NAME, [2])
    file.unlink()
    with pytest.raises(
        ValueError, match="disp1_left must hold a file for every frame, lacks 1, .* of frame 2"
    ):
        reader.info(NAME)
    shutil.rmtree(place / "disp1_left")
    assert reader.info(NAME).holds == {"cameras", "dynamic_mask"}
    write_png(place / "frame_left" / "frame_left_0003.png", np.zeros((11, 17, 3), np.uint8))
    with pytest.raises(
        ValueError, match="frame_left_0003.png must have the size of the first frame, 34 x 22"
    ):
        reader.read(NAME)
    cut(place / "frame_left" / "frame_left_0004.png")
    with pytest.raises(ValueError, match="frame_left_0004.png is not a readable picture"):
        reader.read(NAME, [3])
    tables = place / "cam_data"
    np.savetxt(tables / "extrinsics.txt", (LEFT.world_to_camera * 2).reshape(FRAMES, 16))
    with pytest.raises(
        ValueError, match="extrinsics.txt must hold rigid world-to-camera matrices, got .* row 0"
    ):
        reader.read(NAME, [0])
    np.savetxt(tables / "extrinsics.txt", LEFT.world_to_camera.reshape(FRAMES, 16)[:3])
    with pytest.raises(ValueError, match="extrinsics.txt must hold a row for each of 5 frames, got 3 rows"):
        reader.read(NAME, [0])
    (tables / "intrinsics.txt").write_text("31 29 17 11\n31 29 17\n")
    with pytest.raises(
        ValueError, match="intrinsics.txt, line 2, must hold 4 finite numbers, got '31 29 17'"
    ):
        reader.read(NAME, [0])
    (place / "frame_left" / "frame_left_0002.png").unlink()
    with pytest.raises(ValueError, match="frame_left must hold every frame from 1 to 5, lacks 1, .* them 2"):
        reader.info(NAME)


def test_what_to_install_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'Depth of Spring needs h5py: pip install "diff4splat\[data\]"'
    ):
        Spring(folder).read(NAME, [0])
