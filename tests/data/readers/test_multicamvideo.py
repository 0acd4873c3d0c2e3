"""MultiCamVideo, from files written by hand from the description of the format."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import multicamvideo
from data.readers.wall import camera_to_world, pixel, shades, video, wall_scene

from diff4splat.data.readers import MultiCamVideo, find_datasets, open_dataset
from diff4splat.geometry import project

NAME = "train/f24_aperture5/scene 1/cam02"
SIDE, COUNT = 64, 7


STILL = np.array([[1, 0, 0, 13.8], [0, 1, 0, -2.4], [0, 0, 1, 33.9], [0, 0, 0, 1]])


def cameras(count: int = COUNT) -> dict[str, dict[str, str]]:
    """cam01 rests, cam02 is that of the wall."""
    moving = np.stack([camera_to_world(index) for index in range(count)])
    return multicamvideo.cameras(np.tile(STILL, (count, 1, 1)), moving)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    scene = wall_scene(range(COUNT), SIDE, SIDE, 24 / 23.76 * SIDE)
    multicamvideo.write(tmp_path, scene, scene)
    place = tmp_path / "train" / "f24_aperture5" / "scene 1"
    (place / "cameras" / "camera_extrinsics.json").write_text(json.dumps(cameras(), indent=4))
    return place


def test_a_camera_comes_back(scene: Path) -> None:
    root = scene.parents[2]
    assert find_datasets(root) == {"multicamvideo": 2}
    reader = open_dataset(root)
    assert reader.names == (NAME.replace("cam02", "cam01"), NAME)
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.fps) == (COUNT, SIDE, SIDE, 15)
    assert info.holds == {"cameras"} and info.unit == "metre"
    recording = reader.read(NAME, [1, 4, 6])
    recording.validate()
    assert recording.numbers == (1, 4, 6) and shades(recording.video.numpy()) == [1, 4, 6]
    truth = np.stack([camera_to_world(index) for index in (1, 4, 6)])
    # %g prints six digits
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=2e-6)
    assert torch.linalg.det(recording.cameras.camera_to_world[:, :3, :3]).tolist() == pytest.approx([1, 1, 1])


def test_the_lens_stands_in_the_name_of_a_folder(scene: Path) -> None:
    """24 mm before 23.76 mm: 24 / 23.76 of the 64 pixels; a point lands where the wall's camera sees it."""
    recording = open_dataset(scene).read("cam02", [3])
    focal = 24 / 23.76 * SIDE
    assert recording.cameras.intrinsics[0, 0].tolist() == pytest.approx([focal, 0, SIDE / 2])
    point = np.array([0.3, 0.2, 5.0])
    seen, _ = project(
        torch.tensor(point[None], dtype=torch.float32),
        recording.cameras.camera_to_world[0],
        recording.cameras.intrinsics[0],
    )
    assert seen[0].tolist() == pytest.approx(pixel(point, 3, SIDE, SIDE, focal).tolist(), abs=1e-3)


def test_a_left_handed_world_is_mirrored(scene: Path) -> None:
    """Looking along Unreal's x at (33.9, 13.8, 2.4) m: right is y, so our place is (13.8, -2.4, 33.9)."""
    file = scene / "cameras" / "camera_extrinsics.json"
    assert (
        json.loads(file.read_text())["frame0"]["cam01"]
        == "[1 0 -0 0] [0 1 -0 0] [-0 -0 1 0] [3390 1380 240 1] "
    )
    matrix = open_dataset(scene).read("cam01", [0]).cameras.camera_to_world[0]
    assert torch.equal(matrix[:3, :3], torch.eye(3))
    assert matrix[:3, 3].tolist() == pytest.approx([13.8, -2.4, 33.9])


def test_without_a_focal_length_there_are_no_cameras(scene: Path) -> None:
    place = scene.rename(scene.parents[1] / "10basic_trajectories")
    reader = open_dataset(place)
    assert reader.info("cam02").holds == frozenset() and reader.read("cam02", [0]).cameras is None
    said = MultiCamVideo(place, focal_mm=35.0).read("cam02", [0])
    assert said.cameras.intrinsics[0, 0, 0].item() == pytest.approx(35 / 23.76 * SIDE)
    with pytest.raises(ValueError, match="focal_mm must be positive, got 0.0"):
        MultiCamVideo(place, focal_mm=0.0)


@pytest.mark.parametrize(("of_video", "of_cameras"), [(5, 7), (7, 12)])
def test_frame_counts_that_differ(scene: Path, of_video: int, of_cameras: int) -> None:
    video(scene / "videos" / "cam02.mp4", of_video, SIDE, SIDE)
    (scene / "cameras" / "camera_extrinsics.json").write_text(json.dumps(cameras(of_cameras)))
    reader = open_dataset(scene)
    both = min(of_video, of_cameras)
    assert reader.info("cam02").num_frames == both
    recording = reader.read("cam02")
    assert shades(recording.video.numpy()) == list(range(both))
    np.testing.assert_allclose(recording.cameras.camera_to_world[-1], camera_to_world(both - 1), atol=2e-6)
    assert recording.facts["frames_of_video"] == of_video
    assert recording.facts["frames_of_cameras"] == of_cameras
    with pytest.raises(ValueError, match=f"frames must be from 0 to {both - 1} "):
        reader.read("cam02", [both])


def test_what_is_wrong_is_named(scene: Path) -> None:
    reader = open_dataset(scene)
    file, mp4 = scene / "cameras" / "camera_extrinsics.json", scene / "videos" / "cam02.mp4"
    content = cameras()
    del content["frame3"]["cam02"]
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match="extrinsics.json must hold cam02 in frame0 to frame6, got none in frame3"
    ):
        reader.info("cam02")
    assert reader.info("cam01").num_frames == COUNT
    content = cameras()
    content["frame2"]["cam02"] = "[1 0 0 0] [0 2 0 0] [0 0 1 0] [0 0 0 1] "
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="extrinsics.json: cameras must be rigid"):
        reader.read("cam02")
    file.write_text("{")
    with pytest.raises(ValueError, match="extrinsics.json is not readable JSON"):
        reader.info("cam02")
    file.write_text(json.dumps(cameras()))
    whole = mp4.read_bytes()
    mp4.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match="cam02.mp4 is cut off: its header tells of 7 frames, none can be decoded"
    ):
        reader.info("cam02")
    mp4.write_bytes(b"")
    with pytest.raises(ValueError, match="cam02.mp4 is not a readable video"):
        reader.info("cam02")
    mp4.unlink()
    with pytest.raises(FileNotFoundError, match="no such file: .*cam02.mp4"):
        reader.read("cam02")
