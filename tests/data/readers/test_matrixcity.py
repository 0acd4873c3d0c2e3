"""MatrixCity, from files written by hand from the description of the format."""

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.layouts import matrixcity
from data.layouts.matrixcity import NAME, write_depth
from data.readers.wall import camera_to_world, depth_map, picture, pixel, shades, wall_scene

from diff4splat.data.readers import MatrixCity, find_datasets, open_dataset
from diff4splat.geometry import project, unproject

HEIGHT, WIDTH = 13, 23
ANGLE = 0.7853981852531433
FOCAL = 0.5 * WIDTH / math.tan(0.5 * ANGLE)
ORDER = [4, 0, 12, 2]  # of the frames in the file; the last number comes last, not second


def opengl(index: int) -> np.ndarray:
    """y up and z backward: two columns negated."""
    matrix = camera_to_world(index)
    matrix[:, 1:3] *= -1
    return matrix


def block(order: list[int]) -> dict[str, Any]:
    return matrixcity.block(wall_scene(order, HEIGHT, WIDTH, FOCAL), order)


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A block with depth in half floats; block_10, whose name begins alike, has none."""
    scene = wall_scene(ORDER, HEIGHT, WIDTH, FOCAL, depth=True)
    root = matrixcity.write(tmp_path / "a city", scene, scene, numbers=ORDER).folder
    shutil.rmtree(root / f"{NAME}0".replace("small_city", "small_city_depth"))
    return root


def test_a_block_comes_back(city: Path) -> None:
    assert find_datasets(city) == {"matrixcity": 2}
    reader = open_dataset(city)
    assert reader.names == (NAME, f"{NAME}0")
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.unit, info.fps) == (
        4,
        HEIGHT,
        WIDTH,
        "metre",
        None,
    )
    assert info.holds == {"cameras", "depth"} and reader.info(f"{NAME}0").holds == {"cameras"}
    recording = reader.read(NAME)
    recording.validate()
    assert recording.numbers == (0, 2, 4, 12) == tuple(shades(recording.video.numpy()))
    truth = np.stack([camera_to_world(index) for index in recording.numbers])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=1e-6)
    assert recording.cameras.intrinsics[0, 0].tolist() == pytest.approx([FOCAL, 0, WIDTH / 2])
    assert recording.depth_mask.all() and recording.static
    expected = np.stack([depth_map(index, HEIGHT, WIDTH, FOCAL) for index in recording.numbers])
    np.testing.assert_allclose(recording.depth, expected, rtol=2**-11)  # of a half float


def test_depth_lies_on_the_wall_and_the_box(city: Path) -> None:
    """Every pixel of a frame, taken to the world by its depth, is on one of the two."""
    recording = open_dataset(city).read(NAME, [1])
    poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
    points = unproject(recording.depth, poses, lenses)[0].reshape(-1, 3)
    on_wall = (points[:, 2] - 7).abs() < 0.01
    on_box = (points[:, 2] < 5.01) & (points[:, 0].abs() < 0.72) & (points[:, 1].abs() < 0.82)
    assert (on_wall | on_box).all() and on_wall.any() and on_box.any()
    point = np.array([1.2, -0.3, 7.0])
    seen, _ = project(torch.tensor(point[None], dtype=torch.float32), poses[0], lenses[0])
    assert seen[0].tolist() == pytest.approx(pixel(point, 2, HEIGHT, WIDTH, FOCAL).tolist(), abs=1e-4)


def test_what_no_depth_is(city: Path) -> None:
    """65504, the largest half float, is the sky; infinite, missing and negative depth is none either."""
    depth = depth_map(0, HEIGHT, WIDTH, FOCAL)
    depth[0, :5] = [655.04, np.inf, np.nan, 0, -1]
    depth[0, 5] = 654.72  # the half float before it
    write_depth(city / NAME.replace("small_city", "small_city_depth") / "0000.exr", depth)
    recording = open_dataset(city).read(NAME, [0])
    recording.validate()
    assert recording.depth_mask[0, 0, :7].tolist() == [False] * 5 + [True] * 2
    assert recording.depth_mask[0, 1:].all()


def test_wider_depth_is_taken_first(city: Path) -> None:
    """In float32, 700 m is depth; the folder of a block may end in a word."""
    for index in ORDER:
        file = city / f"small_city_depth_float32/aerial/train/block_1_depth/{index:04d}.exr"
        write_depth(file, np.full((HEIGHT, WIDTH), 700.0), np.float32)
    recording = open_dataset(city).read(NAME, [0])
    assert recording.facts["depth"] == "block_1_depth"
    assert recording.depth_mask.all() and recording.depth.unique().tolist() == [700.0]


def test_depth_of_a_block_whose_name_begins_alike(city: Path) -> None:
    place = city / "small_city_depth" / "aerial" / "train"
    (place / "block_1").rename(place / "block_10_depth")
    reader = open_dataset(city)
    assert reader.info(NAME).holds == {"cameras"} and reader.info(f"{NAME}0").holds == {"cameras", "depth"}


def test_neighbours_that_look_elsewhere_are_told(city: Path) -> None:
    content = block([0, 2, 4, 12])
    turned = np.array(content["frames"][2]["rot_mat"])
    turned[:3, :3] = turned[:3, :3] @ np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
    content["frames"][2]["rot_mat"] = turned.tolist()
    (city / NAME / "transforms.json").write_text(json.dumps(content))
    assert open_dataset(city).read(NAME, [0]).facts["jumps"] == [4, 12]


def split(corner: float, **lens: float) -> dict:
    """Places in hundreds of metres; a lens for the file or for each frame."""
    frames = []
    for index in ORDER:
        matrix = opengl(index)
        matrix[:3, 3] /= 100
        matrix[3, 3] = corner
        path = f"../../train/block_1/{index:04d}.png"
        frames.append({"file_path": path, "transform_matrix": matrix.tolist(), **lens})
    return {"camera_angle_x": ANGLE, "frames": frames}


@pytest.mark.parametrize("corner", [1.0, 0.01])
def test_files_of_splits_where_there_are_no_blocks(city: Path, corner: float) -> None:
    for name in (NAME, f"{NAME}0"):
        (city / name / "transforms.json").unlink()
    size = {"w": 10.0 * WIDTH, "h": 10.0 * HEIGHT, "fl_x": 10 * FOCAL, "fl_y": 10 * FOCAL}
    place = city / "small_city" / "aerial" / "pose" / "block_A"
    place.mkdir(parents=True)
    content = split(corner, **size, cx=5.0 * WIDTH, cy=5.0 * HEIGHT)
    (place / "transforms_train.json").write_text(json.dumps(content))
    reader = open_dataset(city)
    assert reader.names == ("small_city/aerial/pose/block_A/transforms_train",)
    recording = reader.read(reader.names[0])
    recording.validate()
    assert shades(recording.video.numpy()) == [0, 2, 4, 12]
    truth = np.stack([camera_to_world(index) for index in (0, 2, 4, 12)])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=1e-6)
    assert recording.cameras.intrinsics[3, 1].tolist() == pytest.approx([0, FOCAL, HEIGHT / 2])
    expected = depth_map(12, HEIGHT, WIDTH, FOCAL)
    np.testing.assert_allclose(recording.depth[3], expected, rtol=2**-11)


def test_a_block_alone(city: Path) -> None:
    reader = open_dataset(city / NAME)
    assert reader.names == (".",) and reader.info(".").holds == {"cameras", "depth"}


def test_without_pictures(city: Path) -> None:
    for file in (city / NAME).glob("*.png"):
        file.unlink()
    assert open_dataset(city).info(NAME).missing.endswith("transforms.json, got none of its 4 frames.")
    picture(city / NAME / "0012.png", 12, HEIGHT, WIDTH)
    recording = open_dataset(city).read(NAME)
    assert recording.numbers == (12,) and recording.facts["frames_without_picture"] == 3
    np.testing.assert_allclose(recording.cameras.camera_to_world[0], camera_to_world(12), atol=1e-6)


def test_what_is_wrong_is_named(city: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = MatrixCity(city)
    depths = city / NAME.replace("small_city", "small_city_depth")
    whole = (depths / "0002.exr").read_bytes()
    for content in (b"", whole[:-30]):
        (depths / "0002.exr").write_bytes(content)
        with pytest.raises(ValueError, match="0002.exr is not a readable EXR picture"):
            reader.read(NAME)
    write_depth(depths / "0002.exr", np.ones((3, 5)))
    with pytest.raises(ValueError, match="0002.exr must hold 13 x 23 depths, got \\[3, 5\\]"):
        reader.read(NAME, [1])
    (depths / "0002.exr").unlink()
    with pytest.raises(
        ValueError, match="block_1 must hold depth for every picture, lacks 1, the first 0002.exr"
    ):
        reader.info(NAME)
    shutil.rmtree(depths)
    file = city / NAME / "transforms.json"
    good = block(ORDER)
    for change, words in (
        ({"frames": good["frames"][:1] * 2}, "must list each frame once, got 0004.png twice"),
        ({"frames": [{"rot_mat": np.eye(4).tolist()}]}, "frame 0 must have a frame_index from 0, got None"),
        ({"frames": 3}, "must hold an object with a list of frames"),
    ):
        file.write_text(json.dumps(good | change))
        with pytest.raises(ValueError, match=words):
            reader.info(NAME)
    file.write_text(json.dumps(good | {"camera_angle_x": 4.0}))
    with pytest.raises(
        ValueError, match="transforms.json: frames must have fl_x or a camera_angle_x between"
    ):
        reader.read(NAME)
    good["frames"][0]["rot_mat"][0][0] = 0.5
    file.write_text(json.dumps(good))
    with pytest.raises(ValueError, match="transforms.json: rot_mat must be rigid"):
        reader.info(NAME)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    other = NAME.replace("small_city", "small_city_depth")
    for index in ORDER:
        picture(city / f"{other}0" / f"{index:04d}.exr.png", 0, 3, 3)
        (city / f"{other}0" / f"{index:04d}.exr").write_bytes(b"")
    with pytest.raises(ImportError, match=r'needs OpenEXR: pip install "diff4splat\[data\]"'):
        reader.read(f"{NAME}0")
