"""Disparity and depth of Video-Depth-Anything, and the way from relative values to metres."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES

from diff4splat.cameras import Cameras
from diff4splat.data import (
    align_recording,
    anchors_from_points,
    annotate,
    fit_annotation,
    fit_scale_and_shift,
    load_annotation,
)

SCALE, SHIFT = 2.7, 0.03


def relative() -> np.ndarray:
    """What the relative model might say: 0 in the sky, else affine in 1 / depth."""
    with np.errstate(divide="ignore"):
        return np.where(TRUTH.depth > 0, (1 / TRUTH.depth - SHIFT) * SCALE, 0).astype(np.float32)


def write(folder: Path, values: np.ndarray, kind: str) -> Path:
    if kind == "npz":
        file = folder / "a clip_depths.npz"
        np.savez_compressed(file, depths=values)
        return file
    place = folder / "a clip_depths_exr"
    for frame, picture in enumerate(values):
        written.write_exr(place / f"frame_{frame:05d}.exr", picture)
    return place


@pytest.mark.parametrize("kind", ["npz", "exr"])
def test_relative_values_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    annotation = load_annotation(write(tmp_path, relative(), kind))
    assert (annotation.source, annotation.kind, annotation.unit) == (
        "video-depth-anything",
        "disparity",
        "unknown",
    )
    assert np.array_equal(annotation.depth, relative())
    assert annotation.depth_mask.all(), "0 is far, not unknown"
    made = annotate(written.recording(), annotation)
    assert made.depth is None and "disparity" in made.facts["annotations"][0]["left"]["depth"]
    with pytest.raises(ValueError, match="depth of video-depth-anything cannot be taken .* disparity"):
        annotate(written.recording(), annotation, parts=["depth"])


@pytest.mark.parametrize("kind", ["npz", "exr"])
def test_metric_values_are_depth_where_above_0(tmp_path: Path, kind: str) -> None:
    values = TRUTH.depth.astype(np.float32)
    values[0, 0, :3] = [np.nan, np.inf, -1]
    made = annotate(written.recording(), load_annotation(write(tmp_path, values, kind), unit="metre"))
    assert made.unit == "metre"
    assert np.array_equal(made.depth_mask, np.isfinite(values) & (values > 0))
    assert np.array_equal(made.depth[made.depth_mask].numpy(), values[made.depth_mask.numpy()])
    made.validate()


def test_from_relative_values_to_metres(tmp_path: Path) -> None:
    lens = torch.from_numpy(TRUTH.intrinsics).float().expand(FRAMES, 3, 3)
    cameras = Cameras(torch.from_numpy(TRUTH.camera_to_world).float(), lens, 22, 34)
    recording = written.recording(cameras=cameras, unit="metre")
    fitted = fit_annotation(recording, load_annotation(write(tmp_path, relative(), "npz")))
    still = slice(0, 12)  # points at rest
    points = torch.from_numpy(TRUTH.points[0, still]).float()
    visible = torch.from_numpy(TRUTH.visible[:, still].T)
    anchors = anchors_from_points(fitted.depth, points, cameras, visible=visible, valid=fitted.depth > 0)
    alignment = fit_scale_and_shift(
        anchors, method="huber", generator=torch.Generator().manual_seed(0), max_variation=None
    )
    made = align_recording(recording, fitted.depth, alignment, mask=fitted.depth_mask & (fitted.depth > 0))
    known = TRUTH.depth > 0
    assert np.array_equal(made.depth_mask, known)
    assert np.abs(made.depth.numpy() / np.where(known, TRUTH.depth, 1) - 1)[known].max() < 0.01


def test_values_that_are_not_finite_are_not_known(tmp_path: Path) -> None:
    values = relative()
    values[1, 2, 3], values[2, 3, 4] = np.nan, np.inf
    annotation = load_annotation(write(tmp_path, values, "npz"))
    assert np.array_equal(annotation.depth_mask, np.isfinite(values))
    assert torch.isfinite(annotation.depth).all()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, relative(), "exr")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ModuleNotFoundError, match="EXR depth needs OpenEXR: pip install"):
        load_annotation(folder)


def test_an_exr_of_several_channels_is_no_depth(tmp_path: Path) -> None:
    import OpenEXR

    file = tmp_path / "frame_00000.exr"
    channels = {name: np.ones((3, 5), np.float32) for name in "BGR"}
    OpenEXR.File({"type": OpenEXR.scanlineimage}, channels).write(str(file))
    with pytest.raises(ValueError, match="frame_00000.exr must hold one channel of depth, got B, G, R"):
        load_annotation(tmp_path)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, relative(), "npz")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="a clip_depths.npz is not a readable npz"):
        load_annotation(file)
    with pytest.raises(ValueError, match="a clip_depths.npz is not a readable npz"):
        load_annotation(file, "video-depth-anything")
    np.savez(file, depths=np.zeros((0, 4, 5)))
    with pytest.raises(ValueError, match=r"got \[0, 4, 5\]"):
        load_annotation(file)
    np.savez(file, depth=relative())
    with pytest.raises(ValueError, match="must hold depths, lacks depths, got depth"):
        load_annotation(file, "video-depth-anything")
    np.savez(file, depths=np.array([{"a": 1}]))
    with pytest.raises(ValueError, match="a clip_depths.npz is not a readable npz"):
        load_annotation(file)
    folder = write(tmp_path, relative(), "exr")
    written.write_exr(folder / "frame_00001.exr", np.ones((3, 5), np.float32))
    with pytest.raises(
        ValueError, match=r"frame_00001.exr must have the size of the first frame, \[22, 34\]"
    ):
        load_annotation(folder)
    (folder / "frame_00001.exr").unlink()
    with pytest.raises(ValueError, match="must hold every frame from 0 to 4, lacks 1, the first of them 1"):
        load_annotation(folder)
    (folder / "frame_00000.exr").unlink()
    with pytest.raises(ValueError, match="must hold every frame from 0, begins with 2"):
        load_annotation(folder)
