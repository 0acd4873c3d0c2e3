"""ViPE's archives, written by hand, give the scene behind them; rows go by their numbers."""

from pathlib import Path

import numpy as np
import pytest
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES, check_cameras, check_depth

from diff4splat.data import annotate, load_annotation


def test_the_scene_comes_back(tmp_path: Path) -> None:
    annotation = load_annotation(written.write_vipe(tmp_path / "a b", "-clip"))
    assert (annotation.source, annotation.unit) == ("vipe", "metre")
    assert annotation.numbers == tuple(range(FRAMES))
    made = annotate(written.recording(), annotation)
    frames = list(range(FRAMES))
    check_cameras(made, TRUTH, frames)
    check_depth(made, TRUTH, frames, 4e-3)  # half floats
    assert np.array_equal(made.dynamic_mask, TRUTH.moving)
    note = made.facts["annotations"][0]
    assert note["taken"] == ["cameras", "depth", "dynamic_mask"] and note["facts"]["phrases"] == {
        "3": "panel"
    }


def test_rows_go_by_number_and_frames_that_lack_something_are_left_out(tmp_path: Path) -> None:
    path = written.write_vipe(tmp_path)
    kept = np.array([4, 1, 0])  # in any order, without 2 and 3
    written.save(path, data=TRUTH.camera_to_world[kept].astype(np.float32), inds=kept)
    annotation = load_annotation(path)
    assert annotation.numbers == (0, 1, 4) and annotation.facts["frames_left_out"] == 2
    np.testing.assert_allclose(
        annotation.cameras.camera_to_world, TRUTH.camera_to_world[[0, 1, 4]], atol=1e-6
    )
    with pytest.raises(ValueError, match="must be of every frame of 'a scene/left', lacks 2 of 5, .* 2"):
        annotate(written.recording(), annotation)
    made = annotate(written.recording().select([1, 4]), annotation, first_number=0)
    check_depth(made, TRUTH, [1, 4], 4e-3)


def test_the_folder_will_do_where_there_is_one_video(tmp_path: Path) -> None:
    one = load_annotation(written.write_vipe(tmp_path))
    assert np.array_equal(load_annotation(tmp_path).depth, one.depth)
    written.write_vipe(tmp_path, "other")
    with pytest.raises(ValueError, match="must hold the pose of one video, got 2: name one of them"):
        load_annotation(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold the pose of one video, got 0"):
        load_annotation(tmp_path / "empty", "vipe")


def test_masks_may_be_missing(tmp_path: Path) -> None:
    path = written.write_vipe(tmp_path)
    (tmp_path / "mask" / "clip.zip").unlink()
    assert load_annotation(path).holds == {"cameras", "depth"}


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = written.write_vipe(tmp_path)
    camera, depth = tmp_path / "intrinsics" / "clip_camera.txt", tmp_path / "depth" / "clip.zip"
    camera.write_text("0: PINHOLE\n1: MEI\n")
    with pytest.raises(ValueError, match="clip_camera.txt must name pinhole lenses, got MEI"):
        load_annotation(path)
    camera.unlink()
    mask = tmp_path / "mask" / "clip.zip"
    small = {f"{frame:05d}.png": written.png_bytes(np.zeros((5, 7), np.uint8)) for frame in range(FRAMES)}
    written.write_zip(mask, small)
    with pytest.raises(ValueError, match=r"mask.clip.zip: frame 0 must have the size of depth, \[22, 34\]"):
        load_annotation(path)
    written.write_zip(mask, {"00000.png": b"not a picture"})
    with pytest.raises(ValueError, match="clip.zip: frame 0 is not a readable picture"):
        load_annotation(path)
    mask.unlink()
    other = written.write_exr(tmp_path / "other.exr", np.ones((3, 4), np.float16)).read_bytes()
    whole = written.write_exr(tmp_path / "whole.exr", np.ones((22, 34), np.float16)).read_bytes()
    written.write_zip(depth, {"00000.exr": whole, "00001.exr": other})
    with pytest.raises(ValueError, match=r"frame 1 must have the size of the first frame, \[22, 34\]"):
        load_annotation(path)
    written.write_zip(depth, {"00000.exr": whole[:99]})
    with pytest.raises(ValueError, match="frame 0 is not a readable EXR"):
        load_annotation(path)
    written.write_zip(depth, {"00077.exr": whole})
    with pytest.raises(ValueError, match="must share frames"):
        load_annotation(path)
    written.write_zip(depth, {"readme.txt": b""})
    with pytest.raises(ValueError, match="must hold pictures such as 00000.exr"):
        load_annotation(path)
    depth.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="depth.clip.zip is not a readable zip"):
        load_annotation(path)
    depth.unlink()
    with pytest.raises(FileNotFoundError, match="needs .*depth.clip.zip"):
        load_annotation(path)


@pytest.mark.parametrize("inds", [[0, 0, 1, 2, 3], [-1, 0, 1, 2, 3], [0.0, 1, 2, 3, 4]])
def test_numbers_of_frames_are_checked(tmp_path: Path, inds: list[float]) -> None:
    path = written.write_vipe(tmp_path)
    written.save(path, data=TRUTH.camera_to_world, inds=np.array(inds))
    with pytest.raises(ValueError, match="inds that are numbers of frames, each once"):
        load_annotation(path)
