"""Virtual KITTI 2, read from files written by hand from the description of the format."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import vkitti2
from data.readers.truth import FRAMES, check_cameras, check_depth, cut, make_truth, write_png

from diff4splat.data.readers import VirtualKITTI2, find_datasets, open_dataset

LEFT, RIGHT = make_truth(), make_truth(baseline=vkitti2.BASELINE)
NAME = "Scene01/15-deg-left/Camera_0"
ALL = list(range(FRAMES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vkitti2.write(tmp_path, LEFT, RIGHT).folder


@pytest.mark.parametrize(("camera", "truth"), [(0, LEFT), (1, RIGHT)])
def test_both_cameras_come_back(folder: Path, camera: int, truth) -> None:
    assert find_datasets(folder) == {"vkitti2": 2}
    reader = open_dataset(folder)
    assert isinstance(reader, VirtualKITTI2) and reader.names == (NAME, NAME.replace("_0", "_1"))
    name = NAME.replace("_0", f"_{camera}")
    info = reader.info(name)
    assert (info.num_frames, info.height, info.width, info.unit) == (FRAMES, 22, 34, "metre")
    assert info.holds == {"cameras", "depth", "dynamic_mask"}
    for frames in (ALL, [1, 3]):
        recording = reader.read(name, frames)
        assert recording.numbers == tuple(frames)
        assert np.abs(recording.video[:, 0, 0, 0].numpy() - 20 - 40.0 * np.array(frames)).max() <= 3
        check_cameras(recording, truth, frames)  # rows of two cameras take turns; half a pixel is added
        check_depth(recording, truth, frames, 0.005 + 1e-6)  # half of a centimetre
        assert np.array_equal(recording.dynamic_mask.numpy(), truth.moving[frames]), "the parked car rests"
        assert recording.facts["dynamic_mask"] == "moving vehicles"


@pytest.mark.parametrize("gone", ["bbox.txt", "frames/instanceSegmentation"])
def test_without_flags_all_vehicles_are_candidates(folder: Path, gone: str) -> None:
    path = folder / "Scene01" / "15-deg-left" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    recording = VirtualKITTI2(folder).read(NAME)
    expected = torch.from_numpy(LEFT.moving.copy())
    expected[:, -3:, :9] = True
    assert torch.equal(recording.dynamic_mask, expected)
    assert recording.facts["dynamic_mask"] == "all vehicles"
    shutil.rmtree(folder / "Scene01" / "15-deg-left" / "frames" / "classSegmentation")
    assert VirtualKITTI2(folder).read(NAME).dynamic_mask is None


def test_archives_may_lie_beside_each_other(folder: Path) -> None:
    whole = VirtualKITTI2(folder).read(NAME)
    place = folder / "Scene01" / "15-deg-left"
    target = folder / "apart"
    for kind in ("rgb", "depth", "instanceSegmentation", "classSegmentation"):
        shutil.move(
            place / "frames" / kind, target / f"vkitti_2.0.3_{kind}" / "Scene01/15-deg-left/frames" / kind
        )
    text = target / "vkitti_2.0.3_textgt" / "Scene01/15-deg-left"
    text.mkdir(parents=True)
    for file in place.glob("*.txt"):
        shutil.move(file, text / file.name)
    for inside in (target, target / "vkitti_2.0.3_rgb" / "Scene01"):
        reader = open_dataset(inside)
        apart = reader.read(reader.names[0])
        for name in ("video", "depth", "depth_mask", "dynamic_mask"):
            assert torch.equal(getattr(apart, name), getattr(whole, name)), name
        assert torch.equal(apart.cameras.camera_to_world, whole.cameras.camera_to_world)
    shutil.rmtree(target / "vkitti_2.0.3_textgt")
    shutil.rmtree(target / "vkitti_2.0.3_depth")
    reader = open_dataset(target)
    assert reader.info(reader.names[0]).holds == {"dynamic_mask"}
    assert reader.read(reader.names[0]).cameras is None


def test_other_folders_may_be_called_frames(folder: Path) -> None:
    (folder / "frames").mkdir()
    assert len(VirtualKITTI2(folder).names) == 2


def test_the_far_end_of_depth_is_the_sky(folder: Path) -> None:
    depth = np.full((22, 34), 65499, np.uint16)
    depth[0, :3] = [65500, 65535, 0]
    write_png(folder / "Scene01/15-deg-left/frames/depth/Camera_0/depth_00002.png", depth)
    recording = VirtualKITTI2(folder).read(NAME, [2])
    assert recording.depth_mask[0, 0].tolist() == [False] * 3 + [True] * 31
    assert recording.depth[0, 1, 1].item() == pytest.approx(654.99)


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / "Scene01" / "15-deg-left"
    reader = VirtualKITTI2(folder)
    depths = place / "frames" / "depth" / "Camera_0"
    write_png(depths / "depth_00000.png", np.zeros((22, 34), np.uint8))
    with pytest.raises(
        ValueError, match="depth_00000.png must be a picture of kind grey16, got one of mode L"
    ):
        reader.read(NAME, [0])
    (depths / "depth_00001.png").write_bytes(b"")
    with pytest.raises(ValueError, match="depth_00001.png is not a readable picture"):
        reader.read(NAME, [1])
    write_png(depths / "depth_00002.png", np.zeros((34, 22), np.uint16))
    with pytest.raises(
        ValueError, match="depth_00002.png must have the size of its frame, 34 x 22, got 22 x 34"
    ):
        reader.read(NAME, [2])
    (depths / "depth_00003.png").unlink()
    with pytest.raises(
        ValueError, match="depth/Camera_0 must hold a file for every frame, lacks 1, .* frame 3"
    ):
        reader.info(NAME)
    shutil.rmtree(depths)
    (place / "bbox.txt").unlink()
    write_png(place / "frames/classSegmentation/Camera_0/classgt_00004.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(
        ValueError, match="classgt_00004.png must have the size of its frame, 34 x 22, got 9 x 9"
    ):
        reader.read(NAME, [4])
    poses = place / "extrinsic.txt"
    rows = poses.read_text().splitlines()
    poses.write_text("\n".join(row for row in rows if not row.startswith("2 0 ")))
    with pytest.raises(ValueError, match="extrinsic.txt must have a row for frame 2 of camera 0, got none"):
        reader.read(NAME, [1, 2])
    poses.write_text("\n".join(row.replace("0.0", "0.9") for row in rows[1:]))
    with pytest.raises(ValueError, match="extrinsic.txt must hold rigid world-to-camera matrices"):
        reader.read(NAME, [1])
    poses.write_text(rows[0] + "\n0 0 1 0 0 zero\n")
    with pytest.raises(ValueError, match="extrinsic.txt, line 2, must hold 18 finite numbers"):
        reader.read(NAME, [1])
    images = place / "frames" / "rgb" / "Camera_0"
    cut(images / "rgb_00004.jpg")
    with pytest.raises(ValueError, match="rgb_00004.jpg is not a readable picture"):
        reader.read(NAME, [4])
    (images / "rgb_00002.jpg").unlink()
    with pytest.raises(
        ValueError, match="rgb/Camera_0 must hold every frame from 0 to 4, lacks 1, .* them 2"
    ):
        reader.info(NAME)
