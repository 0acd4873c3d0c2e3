"""A dataset as its authors lay it out, as a list of recordings; which of them show one scene."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.data import ReaderSource, SampledClips, open_dataset
from diff4splat.data.readers import DATASETS
from diff4splat.data.recording_source import RecordingSource


def touch(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("key", "files", "scenes"),
    [
        (
            "tartanair",
            [f"a room/Easy/P00{n}/{f}" for n in (0, 1) for side in ("left", "right")
             for f in (f"image_{side}/x", f"pose_{side}.txt")],
            {"a room/Easy/P000": 2, "a room/Easy/P001": 2},
        ),
        (
            "tartanair2",
            [f"e/Data_easy/P000/{f}" for c in ("lcam_front", "rcam_back")
             for f in (f"image_{c}/x", f"pose_{c}.txt")],
            {"e/Data_easy/P000": 2},
        ),
        (
            "spring",
            [f"train/000{n}/{f}" for n in (1, 2) for f in ("cam_data/x", "frame_left/x", "frame_right/x")],
            {"train/0001": 2, "train/0002": 2},
        ),
        (
            "vkitti2",
            [f"Scene01/{v}/frames/rgb/Camera_{c}/x" for v in ("clone", "fog") for c in (0, 1)],
            {"Scene01/clone": 2, "Scene01/fog": 2},
        ),
        (
            "multicamvideo",
            [f"train/f24_aperture5/scene7/{f}"
             for f in ("cameras/camera_extrinsics.json", "videos/cam01.mp4", "videos/cam02.mp4")],
            {"train/f24_aperture5/scene7": 2},
        ),
        (
            "dynamicreplica",
            [f"train/ab-3_obj_source_{side}/images/x" for side in ("left", "right")],
            {"train/ab-3_obj": 2},
        ),
        ("pointodyssey", ["train/ani/rgbs/x", "train/bat/rgbs/x"], {"train/ani": 1, "train/bat": 1}),
    ],
)  # fmt: skip
def test_cameras_of_one_scene_say_so(key, files, scenes, tmp_path) -> None:
    touch(tmp_path, *files)
    reader = DATASETS[key](tmp_path)
    found = [reader.scene_of(name) for name in reader.names]
    assert {scene: found.count(scene) for scene in found} == scenes
    first = next(iter(scenes)).split("/")[0]
    if len(scenes) == 1 or key in ("spring", "vkitti2", "pointodyssey"):
        inside = DATASETS[key](tmp_path / first)
        assert {inside.scene_of(name) for name in inside.names} == {s.split("/", 1)[1] for s in scenes}


def test_a_recording_is_a_scene_where_the_folder_is_that_of_the_recording(tmp_path) -> None:
    touch(tmp_path, "P000/image_left/x", "P000/pose_left.txt")
    reader = DATASETS["tartanair"](tmp_path / "P000")
    assert reader.names == ("left",) and reader.scene_of("left") == "."


def test_which_datasets_rest_is_known() -> None:
    assert {key for key, reader in DATASETS.items() if reader.static} == {
        "tartanair",
        "tartanair2",
        "dl3dv",
        "matrixcity",
    }


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("one", "two/three"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(7):
            picture = np.full((13, 17, 3), 10 * number, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_a_reader_is_a_source(pictures: Path) -> None:
    reader = open_dataset(pictures)
    source = ReaderSource(reader)
    assert isinstance(source, RecordingSource)
    assert [entry.uid for entry in source.entries] == ["video--one", "video--two--three"]
    entry = source.entries[1]
    assert (entry.dataset, entry.licence, entry.static) == ("video", "unknown", False)
    assert entry.scene == "video/two/three" and entry.info == reader.info("two/three")
    assert torch.equal(source.read(1, range(2, 5)).video, reader.read("two/three", [2, 3, 4]).video)
    assert source.read(0).num_frames == 7
    with pytest.raises(ValueError, match="video--one must have at least 9 frames, got 7"):
        SampledClips(source)[0]


def test_a_damaged_recording_is_listed_and_refused_when_it_is_read(pictures: Path) -> None:
    (pictures / "one" / "0.png").write_bytes(b"no picture")
    source = ReaderSource(open_dataset(pictures))
    assert len(source.entries) == 2 and "0.png" in source.entries[0].info.missing
    assert source.entries[1].info.missing == ""
    with pytest.raises(ValueError, match=r"video--one cannot be read: .*0\.png"):
        SampledClips(source)[0]
