"""DL3DV-10K, from files written by hand from the description of the format."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.layouts import dl3dv
from data.readers.wall import camera_to_world, picture, pixel, shades, wall_scene

from diff4splat.data.readers import DL3DV, find_datasets, open_dataset
from diff4splat.geometry import project

HASH = dl3dv.HASHES[0]
NAME = f"1K/{HASH}"
WIDTH, HEIGHT = 3840, 2160  # of the lens
SMALL = (27, 48)  # rows and columns of images_8 here, an 80th
FOCAL = 2900.0


BENT = {"k1": 0.03, "k2": -0.01, "p1": 0.0002, "p2": -0.0001}
SCENE = wall_scene(range(7), *SMALL, FOCAL / 80)


def transforms(order: list[int]) -> dict[str, Any]:
    return dl3dv.transforms(SCENE, order, factor=80, **BENT)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Seven frames in no order; the second has no picture."""
    root = tmp_path / "some scenes"
    dl3dv.write(root, SCENE, without=[1])
    (root / NAME / "transforms.json").write_text(json.dumps(transforms([5, 0, 3, 1, 6, 2, 4])))
    return root / NAME


def root(scene: Path) -> Path:
    return scene.parents[1]


def test_frames_are_sorted_and_meet_their_cameras(scene: Path) -> None:
    assert find_datasets(root(scene)) == {"dl3dv": 1}
    reader = open_dataset(root(scene))
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.unit) == (6, *SMALL, "unknown")
    assert info.holds == {"cameras"} and info.fps is None
    recording = reader.read(NAME)
    recording.validate()
    assert recording.numbers == (1, 3, 4, 5, 6, 7)
    assert shades(recording.video.numpy()) == [0, 2, 3, 4, 5, 6]
    truth = np.stack([camera_to_world(number - 1) for number in recording.numbers])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=1e-6)
    assert recording.facts["frames_without_picture"] == 1 and recording.facts["pictures"] == "images_8"
    assert recording.facts["applied_transform"] == dl3dv.APPLIED


def test_the_lens_is_that_of_the_full_size(scene: Path) -> None:
    """A point of the world lands where the camera written by hand, made 80 times smaller, sees it."""
    recording = open_dataset(root(scene)).read(NAME, [2])
    assert recording.cameras.intrinsics[0, 0].tolist() == pytest.approx([FOCAL / 80, 0, 24])
    point = np.array([0.2, -0.4, 6.0])
    seen, _ = project(
        torch.tensor(point[None], dtype=torch.float32),
        recording.cameras.camera_to_world[0],
        recording.cameras.intrinsics[0],
    )
    assert seen[0].tolist() == pytest.approx(pixel(point, 3, *SMALL, FOCAL / 80).tolist(), abs=1e-4)


def test_the_distortion_is_said(scene: Path) -> None:
    """In the corner r^2 is (1920 / 2900)^2 + (1080 / 2900)^2; the terms were summed by hand."""
    facts = open_dataset(root(scene)).read(NAME, [0]).facts
    assert facts["distortion"] == {"k1": 0.03, "k2": -0.01, "p1": 0.0002, "p2": -0.0001}
    x, y = -1920 / 2900, -1080 / 2900
    r2 = x * x + y * y
    bend = 0.03 * r2 - 0.01 * r2 * r2
    shift = np.array(
        [
            x * bend + 2 * 0.0002 * x * y - 0.0001 * (r2 + 2 * x * x),
            y * bend + 0.0002 * (r2 + 2 * y * y) - 2 * 0.0001 * x * y,
        ]
    )
    corner = np.linalg.norm(shift) * FOCAL / 80
    assert facts["distortion_px"] >= round(corner, 3) > 0.3
    assert facts["distortion_px"] == pytest.approx(corner, rel=0.05)


def test_the_largest_pictures_are_taken_unless_said(scene: Path) -> None:
    for index in (0, 1, 2):
        picture(scene / "images_4" / f"frame_{index + 1:05d}.png", index, 54, 96)
    reader = open_dataset(root(scene))
    assert (reader.info(NAME).num_frames, reader.info(NAME).height) == (3, 54)
    small = DL3DV(root(scene), images="images_8")
    assert small.info(NAME).num_frames == 6
    both = [place.read(NAME, [0]).cameras.intrinsics[0, 0, 0].item() for place in (reader, small)]
    assert both[0] == pytest.approx(2 * both[1])
    with pytest.raises(ValueError, match="images must be one of images, images_2, .*, got 'images_3'"):
        DL3DV(root(scene), images="images_3")


@pytest.mark.parametrize("below", [HASH, "nerfstudio"])
def test_nested_folders_and_single_scenes(scene: Path, below: str) -> None:
    inner = scene / below
    inner.mkdir()
    for name in ("images_8", "transforms.json"):
        shutil.move(scene / name, inner / name)
    assert open_dataset(root(scene)).names == (f"{NAME}/{below}",)
    alone = open_dataset(inner)
    assert alone.names == (".",) and shades(alone.read(".", [1]).video.numpy()) == [2]


def test_without_pictures(scene: Path) -> None:
    shutil.rmtree(scene / "images_8")
    reader = open_dataset(root(scene))
    assert reader.info(NAME).missing.endswith("images beside it, got none of its 7 frames.")
    with pytest.raises(
        FileNotFoundError, match="cannot be read: pictures of .*transforms.json in images_8 or"
    ):
        reader.read(NAME)


def test_what_is_wrong_is_named(scene: Path) -> None:
    reader = open_dataset(root(scene))
    for file in (scene / "images_8").iterdir():
        picture(file, 0, 48, 27)
    with pytest.raises(
        ValueError, match="images_8 must hold pictures in the proportion of 3840 x 2160, .*got 27 x 48"
    ):
        reader.read(NAME)
    content = transforms([0, 1, 2])
    file = scene / "transforms.json"
    for change, words in (
        ({"frames": content["frames"] * 2}, "must list each frame once, got 'images/frame_00001.png' twice"),
        ({"frames": []}, "must hold an object with a list of frames"),
        ({"frames": [{"file_path": "images/one.png"}]}, "frame 0 must have a numbered file_path"),
    ):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=f"transforms.json {words}"):
            reader.info(NAME)
    file.write_text(json.dumps(content)[:-99])
    with pytest.raises(ValueError, match="transforms.json is not readable JSON"):
        reader.info(NAME)
    file.write_text(json.dumps({key: value for key, value in content.items() if key != "h"}))
    with pytest.raises(ValueError, match="transforms.json must state w and h of the full size, got keys"):
        reader.read(NAME)
    content["frames"][1]["transform_matrix"][0][0] = 7.0
    file.write_text(json.dumps(content))
    for index in range(3):
        picture(scene / "images_8" / f"frame_{index + 1:05d}.png", index, *SMALL)
    with pytest.raises(ValueError, match="transforms.json: transform_matrix must be rigid"):
        reader.read(NAME)


def test_a_portrait(scene: Path) -> None:
    content = {**transforms([0, 2]), "w": HEIGHT, "h": WIDTH, "cx": HEIGHT / 2, "cy": WIDTH / 2}
    (scene / "transforms.json").write_text(json.dumps(content))
    for index in (0, 2):
        picture(scene / "images_8" / f"frame_{index + 1:05d}.png", index, 48, 27)
    recording = open_dataset(root(scene)).read(NAME)
    assert (recording.height, recording.width) == (48, 27)
    assert recording.cameras.intrinsics[0, 1].tolist() == pytest.approx([0, FOCAL / 80, 24])
