"""TartanAir v2, read from files written by hand from the description of the format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import tartanair2
from data.layouts.tartanair2 import write_depth
from data.readers.truth import FRAMES, check_cameras, check_depth, cut, make_truth, write_png

from diff4splat.data.readers import TartanAirV2, find_datasets, open_dataset

SIDE = 22
LEFT = make_truth(SIDE, SIDE, (SIDE / 2, SIDE / 2))
RIGHT = make_truth(SIDE, SIDE, (SIDE / 2, SIDE / 2), baseline=0.25)
NAME = "a house/Data_easy/P000/lcam_front"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tartanair2.write(tmp_path, LEFT, RIGHT).folder


def test_nothing_has_to_be_assumed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        open_dataset(folder).read(NAME, [0])
    assert not caplog.records


@pytest.mark.parametrize(("camera", "truth"), [("lcam_front", LEFT), ("rcam_front", RIGHT)])
def test_cameras_and_depth_come_back(folder: Path, camera: str, truth) -> None:
    assert find_datasets(folder) == {"tartanair2": 2}, "and not taken for the first version"
    reader = open_dataset(folder)
    assert isinstance(reader, TartanAirV2) and reader.names == (NAME, NAME.replace("lcam", "rcam"))
    name = NAME.replace("lcam_front", camera)
    info = reader.info(name)
    assert (info.num_frames, info.height, info.width, info.fps) == (FRAMES, SIDE, SIDE, 10)
    assert info.holds == {"cameras", "depth"}
    for frames in ([0, 1, 2, 3, 4], [1, 4]):
        recording = reader.read(name, frames)
        assert recording.numbers == tuple(frames) and recording.static
        assert recording.video[:, 0, 0, 0].tolist() == [40 * frame + 20 for frame in frames]
        check_cameras(recording, truth, frames)
        check_depth(recording, truth, frames, 1e-6)


def test_all_32_bits_of_depth_are_kept(folder: Path) -> None:
    depth = np.random.default_rng(0).uniform(0.1, 900, (SIDE, SIDE)).astype(np.float32)
    depth[0, :6] = [0, -1, np.nan, np.inf, 1000, 999.99994]
    write_depth(folder / "a house/Data_easy/P000/depth_lcam_front/000002_lcam_front_depth.png", depth)
    recording = TartanAirV2(folder).read(NAME, [2])
    expected = torch.ones(SIDE, SIDE, dtype=torch.bool)
    expected[0, :5] = False
    assert torch.equal(recording.depth_mask[0], expected)
    assert torch.equal(recording.depth[0][expected], torch.from_numpy(depth)[expected])


@pytest.mark.parametrize("inside", ["a house", "a house/Data_easy/P000"])
def test_any_folder_around_it_will_do(folder: Path, inside: str) -> None:
    reader = open_dataset(folder / inside)
    assert torch.equal(reader.read(reader.names[0]).depth, open_dataset(folder).read(NAME).depth)


def test_images_may_be_missing_as_poses_go_by_number(folder: Path) -> None:
    whole = open_dataset(folder).read(NAME)
    place = (folder / NAME).parent
    (place / "image_lcam_front/000001_lcam_front.png").unlink()
    (place / "depth_lcam_front/000001_lcam_front_depth.png").unlink()
    some = open_dataset(folder).read(NAME)
    assert some.numbers == tuple(number for number in whole.numbers if number != 1)
    kept = [index for index, number in enumerate(whole.numbers) if number != 1]
    assert torch.equal(some.cameras.camera_to_world, whole.cameras.camera_to_world[kept])


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / "a house" / "Data_easy" / "P000"
    depths, images = place / "depth_lcam_front", place / "image_lcam_front"
    reader = TartanAirV2(folder)
    write_png(depths / "000000_lcam_front_depth.png", np.zeros((SIDE, SIDE), np.uint16))
    with pytest.raises(ValueError, match="000000_lcam_front_depth.png must be a picture of kind bgra32"):
        reader.read(NAME, [0])
    write_depth(depths / "000001_lcam_front_depth.png", np.ones((11, 11)))
    with pytest.raises(
        ValueError, match="000001_lcam_front_depth.png must have the size of its frame, 22 x 22"
    ):
        reader.read(NAME, [1])
    (depths / "000002_lcam_front_depth.png").write_bytes(b"")
    with pytest.raises(ValueError, match="000002_lcam_front_depth.png is not a readable picture"):
        reader.read(NAME, [2])
    cut(depths / "000003_lcam_front_depth.png", 0.5)
    with pytest.raises(ValueError, match="000003_lcam_front_depth.png is not a readable picture"):
        reader.read(NAME, [3])
    (depths / "000004_lcam_front_depth.png").unlink()
    with pytest.raises(
        ValueError, match="depth_lcam_front must hold a file for every frame, lacks 1, .* frame 4"
    ):
        reader.info(NAME)
    for file in depths.iterdir():
        file.unlink()
    assert reader.info(NAME).holds == {"cameras"}
    poses = place / "pose_lcam_front.txt"
    poses.write_text("\n".join(poses.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(ValueError, match="pose_lcam_front.txt must have a row for image 4, got 2 rows"):
        reader.read(NAME, [0])
    poses.write_text("1 2 3 0 0 0 3\n" * FRAMES)
    with pytest.raises(ValueError, match="pose_lcam_front.txt: quaternions must have length 1"):
        reader.read(NAME, [0])
    write_png(images / "000000_lcam_front.png", np.zeros((SIDE, SIDE + 2, 3), np.uint8))
    with pytest.raises(ValueError, match="000000_lcam_front.png must be square, .*, got 24 x 22"):
        reader.read(NAME, [0])
    with pytest.raises(
        ValueError, match="000001_lcam_front.png must have the size of the first frame, 24 x 22"
    ):
        reader.read(NAME)
    for file in images.iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="image_lcam_front must hold frames such as 000000_lcam_front.png"):
        reader.info(NAME)
