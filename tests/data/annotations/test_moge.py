"""MoGe's folders and archives: infinite depth, lenses divided by the size, two models that look alike."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES

from diff4splat.data import annotate, load_annotation

LENS = np.diag([1 / 34, 1 / 22, 1]) @ TRUTH.intrinsics  # rows divided by width and height


def infinite(frame: int) -> np.ndarray:
    return np.where(TRUTH.depth[frame] > 0, TRUTH.depth[frame], np.inf).astype(np.float32)


def write(folder: Path, kind: str) -> Path:
    if kind == "npz":
        for frame in range(FRAMES):
            mask = TRUTH.depth[frame] > 0
            written.save(folder / f"{frame}.npz", depth=infinite(frame), mask=mask, intrinsics=LENS)
    elif kind == "stack":
        depth = np.stack([infinite(frame) for frame in range(FRAMES)])
        return written.save(folder / "x.npz", depth=depth, intrinsics=np.tile(LENS, (FRAMES, 1, 1)))
    else:
        angles = [math.degrees(2 * math.atan(side / 2 / 30)) for side in (34, 22)]
        for frame in range(FRAMES):
            place = folder / f"f{frame}"
            written.write_exr(place / "depth.exr", infinite(frame), "Y")
            (place / "mask.png").write_bytes(written.png_bytes((TRUTH.depth[frame] > 0) * np.uint8(255)))
            (place / "fov.json").write_text(
                json.dumps({"fov_x": round(angles[0], 2), "fov_y": round(angles[1], 2)})
            )
    return folder


@pytest.mark.parametrize("kind", ["npz", "stack", "folders"])
def test_depth_and_lens_come_back(tmp_path: Path, kind: str) -> None:
    annotation = load_annotation(write(tmp_path / "a b", kind), unit="metre")
    assert (annotation.source, annotation.unit, annotation.one_scale) == ("moge", "metre", True)
    assert np.array_equal(annotation.depth_mask, TRUTH.depth > 0)
    np.testing.assert_allclose(annotation.depth, TRUTH.depth, rtol=1e-6)
    # angles of fov.json are rounded to 0.01 degrees
    tolerance = 0.02 if kind == "folders" else 1e-5
    np.testing.assert_allclose(annotation.intrinsics[3], TRUTH.intrinsics, atol=tolerance)
    assert annotate(written.recording(), annotation).unit == "metre"


def test_without_a_unit_every_frame_has_its_own_scale(tmp_path: Path) -> None:
    annotation = load_annotation(write(tmp_path, "npz"))
    assert (annotation.unit, annotation.one_scale) == ("unknown", False)
    made = annotate(written.recording(), annotation)
    assert made.depth is None and "a scale of its own" in made.facts["annotations"][0]["left"]["depth"]


def test_the_mask_hides_depth_that_is_finite(tmp_path: Path) -> None:
    mask = np.array([[True, False], [True, True]])
    file = written.save(tmp_path / "x.npz", depth=np.ones((2, 2)), mask=mask, intrinsics=LENS)
    assert np.array_equal(load_annotation(file).depth_mask[0], mask)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    pixels = written.save(tmp_path / "x.npz", depth=np.ones((22, 34)), intrinsics=TRUTH.intrinsics)
    with pytest.raises(ValueError, match="intrinsics divided by the size of the image"):
        load_annotation(pixels)
    turned = written.save(
        tmp_path / "x.npz", depth=np.ones((22, 34)), mask=np.ones((34, 22)), intrinsics=LENS
    )
    with pytest.raises(ValueError, match=r"mask of shape \[22, 34\] for each of 1 frames, got \[34, 22\]"):
        load_annotation(turned)
    folder = write(tmp_path / "folders", "folders")
    written.write_exr(folder / "f2" / "depth.exr", np.ones((3, 5), np.float32), "Y")
    with pytest.raises(ValueError, match="f2.depth.exr must have the size of the first frame"):
        load_annotation(folder)
    written.write_exr(folder / "f2" / "depth.exr", np.ones((22, 34), np.float32), "Y")
    (folder / "f1" / "mask.png").write_bytes(written.png_bytes(np.zeros((5, 3), np.uint8)))
    with pytest.raises(ValueError, match="f1.mask.png must have the size of its frame"):
        load_annotation(folder)
    (folder / "f1" / "mask.png").unlink()
    (folder / "f1" / "fov.json").write_text("{}")
    with pytest.raises(ValueError, match="fov.json must hold fov_x and fov_y"):
        load_annotation(folder)
    (folder / "f1" / "fov.json").write_text('{"fov_x": 0, "fov_y": 50}')
    with pytest.raises(ValueError, match="angles between 0 and 180"):
        load_annotation(folder)
    (folder / "f1" / "fov.json").unlink()
    with pytest.raises(FileNotFoundError, match="fov.json"):
        load_annotation(folder)
