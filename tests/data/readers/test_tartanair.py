"""TartanAir v1, read from files written by hand from the description of the format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import tartanair
from data.layouts.scene import Scene

from diff4splat.data.readers import TartanAir, find_datasets, open_dataset
from diff4splat.geometry import project, unproject

NAME = "a room/Easy/P000/left"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wall 5 m ahead (NED x) under a sky; the camera of image n stands n / 10 m to the right (NED y)."""
    frames = np.zeros((4, 480, 640, 3), np.uint8)
    frames[..., 0] = np.arange(4)[:, None, None]
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, :3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]  # columns: right, down and forward among NED
    poses[:, :3, 3] = [[1.0, number / 10, 2.0] for number in range(4)]
    depth = np.full((4, 480, 640), 5.0)
    depth[:, :100] = 0
    nothing = np.zeros((4, 0, 3))
    lens = np.array([[320.0, 0, 320], [0, 320, 240], [0, 0, 1]])
    scene = Scene(frames, poses, lens, depth, depth < 0, nothing, nothing[..., :2], nothing[..., 0] > 0)
    return tartanair.write(tmp_path, scene).folder


def test_nothing_has_to_be_assumed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        open_dataset(folder).read(NAME, [0])
    assert not caplog.records


def test_a_recording_comes_back(folder: Path) -> None:
    assert find_datasets(folder) == {"tartanair": 1}
    reader = open_dataset(folder)
    assert isinstance(reader, TartanAir) and reader.names == (NAME,)
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.unit) == (4, 480, 640, "metre")
    assert info.holds == {"cameras", "depth"}
    recording = reader.read(NAME, [1, 3])
    recording.validate()
    assert recording.numbers == (1, 3) and recording.video[:, 0, 0, 0].tolist() == [1, 3]
    assert recording.depth_mask.float().mean().item() == pytest.approx(380 / 480)
    assert recording.cameras.intrinsics[0].tolist() == [[320, 0, 320], [0, 320, 240], [0, 0, 1]]
    # NED right is OpenCV's +x, so the wall at +5 of the camera's z moves left by 0.2 / 5 * 320 pixels
    poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
    points = unproject(recording.depth, poses, lenses)[0, 240, 320]
    assert points.tolist() == pytest.approx([1 + 5, 0.1 + 0.5 / 64, 2 + 0.5 / 64]), "forward, right, down"
    pixels, depth = project(points[None], poses[1], lenses[1])
    assert pixels[0].tolist() == pytest.approx([320.5 - 12.8, 240.5], abs=1e-3)
    assert depth.item() == pytest.approx(5)


@pytest.mark.parametrize("inside", ["a room", "a room/Easy/P000"])
def test_any_folder_around_it_will_do(folder: Path, inside: str) -> None:
    reader = open_dataset(folder / inside)
    assert torch.equal(reader.read(reader.names[0], [0]).video, open_dataset(folder).read(NAME, [0]).video)


def test_images_may_be_missing_as_poses_go_by_number(folder: Path) -> None:
    whole = open_dataset(folder).read(NAME)
    place = (folder / NAME).parent
    (place / "image_left/000001_left.png").unlink()
    (place / "depth_left/000001_left_depth.npy").unlink()
    some = open_dataset(folder).read(NAME)
    assert some.numbers == tuple(number for number in whole.numbers if number != 1)
    kept = [index for index, number in enumerate(whole.numbers) if number != 1]
    assert torch.equal(some.cameras.camera_to_world, whole.cameras.camera_to_world[kept])


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / "a room" / "Easy" / "P000"
    reader = TartanAir(folder)
    with pytest.raises(ValueError, match="frames must be from 0 to 3 and at least one, got \\[4\\]"):
        reader.read(NAME, [4])
    with pytest.raises(ValueError, match="name must be a recording of .*, got 'P001/left'"):
        reader.read("P001/left")
    (place / "image_left" / "000001_left.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="000001_left.png is not a readable picture"):
        reader.read(NAME, [0, 1])
    np.save(place / "depth_left" / "000002_left_depth.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="000002_left_depth.npy must hold 480 x 640 floats, got float32"):
        reader.read(NAME, [2])
    (place / "depth_left" / "000000_left_depth.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="000000_left_depth.npy is not a readable array"):
        reader.read(NAME, [0])
    (place / "depth_left" / "000003_left_depth.npy").unlink()
    with pytest.raises(ValueError, match="lacks 1, the first of them that of frame 3"):
        reader.info(NAME)
    (place / "pose_left.txt").write_text("1 2 3 0 0 0 1\n" * 2)
    for file in (place / "depth_left").iterdir():
        file.unlink()
    assert reader.info(NAME).holds == {"cameras"}
    with pytest.raises(ValueError, match="pose_left.txt must have a row for image 3, got 2 rows"):
        reader.read(NAME, [3])


def test_folders_that_hold_nothing_known(tmp_path: Path) -> None:
    assert find_datasets(tmp_path) == {}
    with pytest.raises(ValueError, match="folder must hold one dataset of tartanair.*, got none"):
        open_dataset(tmp_path)
    with pytest.raises(ValueError, match=r"folder must hold TartanAir \(v1\), got"):
        TartanAir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_datasets(tmp_path / "none")
    with pytest.raises(ValueError, match="dataset must be one of tartanair"):
        open_dataset(tmp_path, "imagenet")
