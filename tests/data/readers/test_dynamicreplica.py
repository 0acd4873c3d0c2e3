"""DynamicReplica, read from files written by hand from the description of the format."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.layouts import dynamicreplica
from data.layouts.dynamicreplica import write_entries
from data.readers.truth import (
    FRAMES,
    check_cameras,
    check_depth,
    check_tracks,
    cut,
    make_truth,
    write_png,
)

from diff4splat.data.readers import DynamicReplica, find_datasets, open_dataset
from diff4splat.geometry import project

LENS: dict[str, Any] = {"focal": (33.0, 29.0), "centre": (16.2, 11.9)}
LEFT, RIGHT = make_truth(**LENS), make_truth(**LENS, baseline=0.3)
NAME = dynamicreplica.NAMES["left"]
ALL = list(range(FRAMES))
HALF_STEP = 2**-9 + 1e-6  # of float16 at 4 to 8 m


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return dynamicreplica.write(tmp_path, LEFT, RIGHT).folder


def entries(kind: str | None = "ndc_isotropic") -> list[dict[str, Any]]:
    return dynamicreplica.entries(LEFT, RIGHT, kind=kind)


def points(frame: int) -> dict[str, torch.Tensor]:
    return dynamicreplica.points(LEFT, frame)


@pytest.mark.parametrize(("side", "truth"), [("left", LEFT), ("right", RIGHT)])
def test_both_cameras_come_back(folder: Path, side: str, truth) -> None:
    assert find_datasets(folder) == {"dynamicreplica": 2}
    reader = open_dataset(folder)
    assert isinstance(reader, DynamicReplica) and reader.names == (NAME, NAME.replace("left", "right"))
    name = NAME.replace("left", side)
    info = reader.info(name)
    assert (info.num_frames, info.height, info.width, info.fps) == (FRAMES, 22, 34, 30)
    assert info.holds == {"cameras", "depth", "dynamic_mask"} | ({"tracks"} if side == "left" else set())
    for frames in (ALL, [0, 3]):
        recording = reader.read(name, frames)
        assert recording.numbers == tuple(frames), "by number, though the annotations list 3 first"
        assert recording.video[:, 0, 0, 0].tolist() == [40 * frame + 20 for frame in frames]
        check_cameras(recording, truth, frames)
        check_depth(recording, truth, frames, HALF_STEP)
        assert np.array_equal(recording.dynamic_mask.numpy(), truth.moving[frames])
        assert recording.facts["dynamic_mask"] == "foreground, moving or not"
        if side == "right":
            assert recording.tracks is None
            continue
        check_tracks(recording, truth, frames, 1e-6, 1e-5)
        poses, lenses = recording.cameras.camera_to_world, recording.cameras.intrinsics
        seen, _ = project(recording.tracks.transpose(0, 1), poses, lenses)
        off = (seen.transpose(0, 1) - recording.track_pixels)[recording.visible]
        assert off.abs().max() < 1e-4, "tracks and cameras share one world"


@pytest.mark.parametrize("kind", ["ndc_norm_image_bounds", "NDC_isotropic", None])
def test_lenses_of_either_kind_come_back(folder: Path, kind: str | None) -> None:
    listed = entries(kind if kind is None else kind.lower())
    for entry in listed:
        if kind is not None:
            entry["viewpoint"]["intrinsics_format"] = kind
    write_entries(folder / "valid", listed)
    check_cameras(DynamicReplica(folder).read(NAME, [1]), LEFT, [1])


def test_depth_that_is_not_positive_or_finite_is_unknown(folder: Path) -> None:
    depth = np.full((22, 34), 2.5, np.float16)
    depth[0, :5] = [0, -1, np.inf, np.nan, 6.1e-5]
    file = folder / NAME / "depths" / "009850-3_obj_source_left_0002.geometric.png"
    write_png(file, depth.view(np.uint16))
    recording = DynamicReplica(folder).read(NAME, [2])
    recording.validate()
    assert recording.depth_mask[0, 0].tolist() == [False] * 4 + [True] * 30
    assert recording.depth[0, 3, 3].item() == 2.5


def test_tracks_that_cannot_be_are_not_visible(folder: Path) -> None:
    changed = points(1)
    first, second, third = np.flatnonzero(LEFT.visible.all(0))[:3]
    changed["traj_3d_world"][first] = torch.inf
    changed["traj_2d"][second, 0] = torch.nan
    changed["traj_2d"][third, 0] = 34.5
    torch.save(changed, folder / NAME / "trajectories" / "000001.pth")
    recording = DynamicReplica(folder).read(NAME)
    recording.validate()
    visible = LEFT.visible.copy()
    visible[1, [first, second, third]] = False
    assert np.array_equal(recording.visible.numpy(), visible[:, visible.any(0)].T)
    assert torch.isfinite(recording.tracks).all() and torch.isfinite(recording.track_pixels).all()


def test_mirrors_may_hold_images_and_tracks_alone(folder: Path) -> None:
    shutil.rmtree(folder / "valid" / "009850-3_obj_source_right")
    shutil.rmtree(folder / NAME / "depths")
    shutil.rmtree(folder / NAME / "masks")
    reader = DynamicReplica(folder)
    assert reader.names == (NAME,) and reader.info(NAME).holds == {"cameras", "tracks"}
    recording = reader.read(NAME, [4])
    assert recording.depth is None and recording.dynamic_mask is None and not recording.facts


def test_annotations_may_lie_above_the_split(folder: Path) -> None:
    expected = DynamicReplica(folder).read(NAME).video
    shutil.move(folder / "valid" / "frame_annotations_valid.jgz", folder)
    for inside in ("", "valid", NAME):
        reader = open_dataset(folder / inside)
        assert torch.equal(reader.read(reader.names[0]).video, expected)
    shutil.move(folder / "frame_annotations_valid.jgz", folder / "valid" / "frame_annotations_test.jgz")
    write_entries(folder / "valid", [])
    (folder / "valid" / "frame_annotations_valid.jgz").rename(folder / "valid" / "frame_annotations_real.jgz")
    assert torch.equal(DynamicReplica(folder).read(NAME).video, expected), "all splits in one folder"


class Sting:
    """Runs code where a pickle is loaded without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("stung"),))


def test_files_that_would_run_code_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**points(0), "instances": Sting()}, folder / NAME / "trajectories" / "000000.pth")
    with pytest.raises(ValueError, match="000000.pth must hold tensors and nothing else"):
        DynamicReplica(folder).read(NAME, [0])
    assert not Path("stung").exists()


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/secret.png", ""])
def test_annotations_name_no_file_outside(folder: Path, path: str) -> None:
    listed = entries()
    for entry in listed:
        entry["image"]["path"] = path
    write_entries(folder / "valid", listed)
    with pytest.raises(ValueError, match="paths in the annotations must lie in .*valid, got"):
        DynamicReplica(folder).info(NAME)


def changed_entries(*keys: str, value: Any) -> list[dict[str, Any]]:
    """Annotations with a value in every entry; ... takes the key away."""
    listed = entries()
    for entry in listed:
        for key in keys[:-1]:
            entry = entry[key]
        if value is ...:
            del entry[keys[-1]]
        else:
            entry[keys[-1]] = value
    return listed


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (entries()[:-3], "must hold every frame of 009850-3_obj_source_left once, got .* 0 to 3|is missing"),
        (
            [*entries(), entries()[0]],
            "must hold every frame of 009850-3_obj_source_left once, .* in 6 entries",
        ),
        ([entry for entry in entries() if entry["frame_number"] != 2], "once, got numbers from 0 to 4 in 4"),
        (
            entries()[-1:],
            "frame_annotations_valid.jgz must hold frames of 009850-3_obj_source_left, got none",
        ),
        (changed_entries("viewpoint", value=...), "must hold 'viewpoint' in every entry, got one without it"),
        (changed_entries("viewpoint", "T", value=[1, 2]), "not a readable list of frames: a viewpoint must"),
        (changed_entries("viewpoint", "R", value="x"), "is not a readable list of frames"),
        (
            changed_entries("viewpoint", "intrinsics_format", value="pixels"),
            "intrinsics_format must be ndc_iso",
        ),
        (changed_entries("image", "size", value=[11, 17]), "-0000.png must have the size in the annotations"),
        (changed_entries("viewpoint", "R", value=np.diag([1, 1, -1]).tolist()), "must hold rigid .* row 0"),
    ],
)
def test_wrong_annotations_are_named(folder: Path, listed: Any, message: str) -> None:
    write_entries(folder / "valid", listed)
    if message.endswith("is missing"):  # fewer entries than images: the annotations say what there is
        assert DynamicReplica(folder).info(NAME).num_frames == 4
        return
    with pytest.raises(ValueError, match=message):
        DynamicReplica(folder).read(NAME)


def test_what_is_wrong_is_named(folder: Path) -> None:
    place, stem = folder / NAME, "009850-3_obj_source_left"
    reader = DynamicReplica(folder)
    reader.info(NAME)
    tracks = place / "trajectories"
    torch.save({key: value[:3] for key, value in points(1).items()}, tracks / "000001.pth")
    with pytest.raises(ValueError, match="000001.pth must hold 15 points, as 000000.pth does, got 3"):
        reader.read(NAME, [0, 1])
    torch.save({**points(1), "verts_inds_vis": torch.ones(3)}, tracks / "000001.pth")
    with pytest.raises(ValueError, match=r"000001.pth must hold tracks of \[point, 3\]"):
        reader.read(NAME, [1])
    torch.save({"traj_2d": torch.ones(3, 2)}, tracks / "000001.pth")
    with pytest.raises(ValueError, match="000001.pth must hold 'traj_3d_world', got none"):
        reader.read(NAME, [1])
    cut(tracks / "000002.pth")
    with pytest.raises(ValueError, match="000002.pth (is not a readable file of tracks|must hold tensors)"):
        reader.read(NAME, [2])
    (tracks / "000003.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="000003.pth (is not a readable file of tracks|must hold tensors)"):
        reader.read(NAME, [3])
    depth = place / "depths" / f"{stem}_0000.geometric.png"
    write_png(depth, np.ones((22, 34), np.uint8))
    with pytest.raises(ValueError, match="0000.geometric.png must be a picture of kind grey16"):
        reader.read(NAME, [0])
    depth.write_bytes(b"")
    with pytest.raises(ValueError, match="0000.geometric.png is not a readable picture"):
        reader.read(NAME, [0])
    depth.unlink()
    with pytest.raises(ValueError, match="0000.geometric.png must be there, .*: 1 of 5 are missing"):
        reader.info(NAME)
    (place / "images" / f"{stem}-0004.png").unlink()
    with pytest.raises(ValueError, match="-0004.png must be there, .*: 1 of 5 are missing"):
        reader.info(NAME)
    cut(folder / "valid" / "frame_annotations_valid.jgz")
    with pytest.raises(ValueError, match="frame_annotations_valid.jgz is not a readable list of frames"):
        DynamicReplica(folder).info(NAME)
    (folder / "valid" / "frame_annotations_valid.jgz").write_text("no archive")
    with pytest.raises(ValueError, match="frame_annotations_valid.jgz is not a readable list of frames"):
        DynamicReplica(folder).info(NAME)
    (folder / "valid" / "frame_annotations_valid.jgz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no such file: .*frame_annotations_\*.jgz, which holds the cam"
    ):
        DynamicReplica(folder).info(NAME)
