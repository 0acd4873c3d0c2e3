"""UniDepth's npz for each frame, as MegaSaM's scripts write them."""

import math
from pathlib import Path

import numpy as np
import pytest
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES

from diff4splat.data import annotate, load_annotation

FOV = math.degrees(2 * math.atan(34 / 2 / 30))


def write(folder: Path, names: list[str]) -> Path:
    for frame, name in enumerate(names):
        written.save(folder / f"{name}.npz", depth=TRUTH.depth[frame].astype(np.float32), fov=np.array(FOV))
    return folder


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    annotation = load_annotation(write(tmp_path / "a scene", ["f8", "f9", "f10", "f11", "f100"]))
    assert (annotation.source, annotation.unit, annotation.numbers) == ("unidepth", "metre", None)
    assert np.array_equal(annotation.depth_mask, TRUTH.depth > 0)
    np.testing.assert_allclose(annotation.depth, TRUTH.depth, rtol=1e-6)
    np.testing.assert_allclose(annotation.intrinsics[4], TRUTH.intrinsics, rtol=1e-6)
    made = annotate(written.recording(), annotation)
    assert made.unit == "metre" and made.cameras is None and np.array_equal(made.depth_mask, TRUTH.depth > 0)


def test_one_file_may_hold_all_frames(tmp_path: Path) -> None:
    file = written.save(tmp_path / "x.npz", depth=TRUTH.depth[:, None], fov=np.full((FRAMES, 1), FOV))
    annotation = load_annotation(file)
    assert annotation.num_frames == FRAMES
    np.testing.assert_allclose(annotation.intrinsics[2], TRUTH.intrinsics, rtol=1e-6)


def test_depth_that_cannot_be_is_not_known(tmp_path: Path) -> None:
    values = np.full((3, 5), 2.0, np.float32)
    values[0] = [np.nan, np.inf, -np.inf, 0, -1]
    annotation = load_annotation(written.save(tmp_path / "x.npz", depth=values, fov=60.0))
    assert annotation.depth_mask[0].tolist() == [[False] * 5, [True] * 5, [True] * 5]
    assert annotation.depth[0, 0].tolist() == [0.0] * 5


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", ["0", "1", "2"])
    written.save(folder / "1.npz", depth=np.ones((3, 5)), fov=60.0)
    with pytest.raises(
        ValueError, match=r"1.npz must have the size of the first frame, \[22, 34\], got \[3, 5\]"
    ):
        load_annotation(folder)
    written.save(folder / "1.npz", depth=TRUTH.depth[0])
    with pytest.raises(ValueError, match="1.npz must hold depth, fov, lacks fov, got depth"):
        load_annotation(folder)
    written.save(folder / "1.npz", depth=TRUTH.depth[0], fov=np.array([60.0, 60.0]))
    with pytest.raises(
        ValueError, match=r"1.npz must hold fov of shape \[\] for each of 1 frames, got \[2\]"
    ):
        load_annotation(folder)
    written.save(folder / "1.npz", depth=TRUTH.depth[0], fov=np.array(180.0))
    with pytest.raises(ValueError, match="fov between 0 and 180"):
        load_annotation(folder)
    (folder / "1.npz").write_bytes((folder / "0.npz").read_bytes()[:700])
    with pytest.raises(ValueError, match="1.npz is not a readable npz"):
        load_annotation(folder)
    (folder / "1.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="1.npz is not a readable npz"):
        load_annotation(folder)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="s must hold an npz for each frame, got none"):
        load_annotation(folder, "unidepth")
