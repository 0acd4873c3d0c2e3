"""Damage of every kind to the files of every dataset: it is named, or what is left is right."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.layouts import LAYOUTS, VIDEOS, dl3dv, make_scenes, nearest_size
from data.layouts.files import Written, cut, write_jpg, write_png
from data.layouts.scene import Scene

from diff4splat.data.checking import check_dataset
from diff4splat.data.readers import load_sparse_points, open_dataset
from diff4splat.data.recordings import Recording

FRAMES, HEIGHT, WIDTH = 5, 20, 30
FAR_OFF = 1000.0


def remove(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def fill_with_noise(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))


def put_a_folder_there(file: Path) -> None:
    file.unlink()
    file.mkdir()


def link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def forbid(file: Path) -> None:
    file.chmod(0)


DAMAGES = (remove, empty, cut, fill_with_noise, put_a_folder_there, link_to_itself, forbid)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that others may enter, where this process is nobody in particular: root may read anything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_anybody() -> Iterator[Callable[[], None]]:
    """Gives up the rights of root until the test ends; without them, it does nothing."""
    yield lambda: os.seteuid(65534) if os.getuid() == 0 else None
    os.seteuid(os.getuid())


def write(key: str, folder: Path, **changes: np.ndarray) -> Written:
    scene = make_scenes(key, FRAMES, HEIGHT, WIDTH)[0]
    return LAYOUTS[key](folder, replace(scene, **changes))


def only(written: Written) -> Scene:
    return next(iter(written.scenes.values()))


def middle_files(folder: Path) -> list[Path]:
    """One file of each kind of each folder."""
    kinds: dict[tuple[Path, str], list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.stat().st_size:
            kinds.setdefault((file.parent, re.sub("[0-9]", "", file.name)), []).append(file)
    return [files[len(files) // 2] for files in kinds.values()]


def read_all(folder: Path, key: str) -> Recording:
    reader = open_dataset(folder, key)
    return reader.read(reader.names[0])


def check(recording: Recording, scene: Scene, key: str) -> None:
    """Each frame is one of the scene, with the camera and the depth of that frame; or there are none."""
    recording.validate()
    shown = recording.video.movedim(1, -1).numpy().astype(int)
    off = np.abs(shown[:, None] - scene.frames.astype(int)).mean((2, 3, 4))
    frames = off.argmin(1)
    assert off.min(1).max() < 9 and np.diff(frames).min(initial=1) > 0
    if recording.cameras is not None:
        poses = recording.cameras.camera_to_world
        np.testing.assert_allclose(poses, scene.camera_to_world[frames], atol=2e-3)
    if recording.depth is not None and recording.depth_mask is not None:
        known = recording.depth_mask.numpy()
        assert not known[scene.depth[frames] == 0].any() and known.any()
        assert np.abs(recording.depth.numpy() - scene.depth[frames])[known].max() < 0.03
    if key == "colmap":
        assert recording.facts["sparse_points"] in (0, 12)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("key", LAYOUTS)
def test_damage_is_named_or_what_is_left_is_right(
    key: str, damage: Callable[[Path], None], place: Path, as_anybody: Callable[[], None]
) -> None:
    whole = write(key, place / "whole")
    read_all(whole.folder, key)  # with the rights of root, so that all libraries are there
    harmed = []
    for index, file in enumerate(middle_files(whole.folder)):
        copy = place / f"a copy {index}"
        shutil.copytree(whole.folder, copy)
        harmed.append((copy, copy / file.relative_to(whole.folder)))
        damage(harmed[-1][1])
    as_anybody()
    refused = 0
    for folder, file in harmed:
        try:
            recording = read_all(folder, key)
        except (ValueError, FileNotFoundError) as error:
            refused += 1
            gone = f"folder must hold .*{folder.name} without any of it"  # nothing else tells what it is
            assert file.name in str(error) or file.parent.name in str(error) or re.match(gone, str(error))
        else:
            check(recording, only(whole), key)
    assert refused, "some of these files are needed"


SHOWN = {  # the third frame
    "colmap": "frame_2.png",
    "dl3dv": "frame_00003.png",
    "dynamicreplica": "*left-0002.png",
    "matrixcity": "0002.png",
    "pointodyssey": "rgb_00002.jpg",
    "realestate10k": "466667.png",
    "spring": "frame_left_0003.png",
    "tartanair": "000002_left.png",
    "tartanair2": "000002_lcam_front.png",
    "vkitti2": "rgb_00002.jpg",
}


@pytest.mark.parametrize("damage", DAMAGES[:-1])
@pytest.mark.parametrize("text", [False, True])
def test_points_that_are_damaged_are_named(
    damage: Callable[[Path], None], text: bool, tmp_path: Path
) -> None:
    scene = make_scenes("colmap", FRAMES, HEIGHT, WIDTH)[0]
    folder = LAYOUTS["colmap"](tmp_path, scene, text=text).folder
    assert len(load_sparse_points(folder).positions) == 12
    file = next(folder.rglob("points3D.*"))
    damage(file)
    with pytest.raises((ValueError, FileNotFoundError), match="points3D"):
        load_sparse_points(folder)


@pytest.mark.parametrize("key", SHOWN)
def test_pictures_of_several_sizes_are_refused(key: str, tmp_path: Path) -> None:
    height, width = nearest_size(key, HEIGHT, WIDTH)
    folder = write(key, tmp_path).folder
    file = next(folder.rglob(SHOWN[key]))
    (write_jpg if file.suffix == ".jpg" else write_png)(file, np.zeros((height + 2, width, 3), np.uint8))
    with pytest.raises(ValueError, match=f"{file.name} must have the size of the first frame, {width} x"):
        read_all(folder, key)


@pytest.mark.parametrize(
    "key", ["tartanair", "tartanair2", "pointodyssey", "spring", "vkitti2", "realestate10k"]
)
def test_numbers_that_come_twice_are_refused(key: str, tmp_path: Path) -> None:
    """As 00002 and 000002, or as png and jpg."""
    folder = write(key, tmp_path).folder
    file = next(folder.rglob(SHOWN[key]))
    twice = f"{file.stem}.jpg" if key == "realestate10k" else re.sub("([0-9]+)", r"0\1", file.name, count=1)
    shutil.copy(file, file.with_name(twice))
    with pytest.raises(
        ValueError, match=f"{file.parent.name} must (number|hold) each frame once, got .* twice"
    ):
        read_all(folder, key)


def test_uids_and_frames_that_come_twice_in_tables_are_refused(tmp_path: Path) -> None:
    folder = write("dl3dv", tmp_path).folder
    file = folder / "1K" / dl3dv.HASHES[0] / "transforms.json"
    content = json.loads(file.read_text())
    content["frames"].append(content["frames"][0])
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="transforms.json must list each frame once, got .* twice"):
        read_all(folder, "dl3dv")


POSES = {  # tables with a row for each frame
    "tartanair": "pose_left.txt",
    "tartanair2": "pose_lcam_front.txt",
    "spring": "extrinsics.txt",
    "vkitti2": "extrinsic.txt",
    "realestate10k": "0bf152ef84195293.txt",
}


@pytest.mark.parametrize("key", POSES)
def test_a_row_that_is_missing_is_named_or_its_frame_left_out(key: str, tmp_path: Path) -> None:
    written = write(key, tmp_path)
    file = next(written.folder.rglob(POSES[key]))
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    if key == "realestate10k":
        recording = read_all(written.folder, key)
        check(recording, only(written), key)
        assert recording.num_frames == FRAMES - 1
        return
    with pytest.raises(ValueError, match=f"{file.name} must (have|hold) a row for .*, got"):
        read_all(written.folder, key)


STEEP = [key for key in LAYOUTS if key not in ("video", "tartanair", "tartanair2", "colmap")]


@pytest.mark.parametrize("key", STEEP)
@pytest.mark.parametrize("factors", [(1.5, 1.5, 1.5), (1.0, 1.0, -1.0)])
def test_poses_that_are_not_rigid_are_refused(
    key: str, factors: tuple[float, float, float], tmp_path: Path
) -> None:
    """Stretched, and mirrored."""
    poses = make_scenes(key, FRAMES, HEIGHT, WIDTH)[0].camera_to_world.copy()
    poses[2, :3, :3] *= factors
    folder = write(key, tmp_path, camera_to_world=poses).folder
    with pytest.raises(ValueError, match=r"(json|jgz|npz|txt)(:| must hold).*(rigid|determinant)"):
        read_all(folder, key)


@pytest.mark.parametrize("key", ["tartanair", "tartanair2", "colmap"])
def test_quaternions_that_are_no_turns_are_refused(key: str, tmp_path: Path) -> None:
    scene = make_scenes(key, FRAMES, HEIGHT, WIDTH)[0]
    folder = LAYOUTS[key](tmp_path, scene, **({"text": True} if key == "colmap" else {})).folder
    name = {"colmap": "images.txt", **POSES}[key]
    file = next(folder.rglob(name))
    rows = file.read_text().splitlines()
    words = rows[3].split()  # in COLMAP's second image, after a line of words and two of the first
    place = slice(1, 5) if key == "colmap" else slice(3, 7)
    words[place] = ["0", "0", "0", "0"]
    rows[3] = " ".join(words)
    file.write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match="quaternion"):
        read_all(folder, key)


@pytest.mark.parametrize("key", ["tartanair", "tartanair2", "dynamicreplica", "matrixcity", "spring"])
def test_depth_that_is_no_number_is_unknown(key: str, tmp_path: Path) -> None:
    """In formats that can store it: infinite and not a number; Spring's disparity is 0 and not a number."""
    depth = make_scenes(key, FRAMES, HEIGHT, WIDTH)[0].depth.copy()
    depth[:, -1, :3] = [np.inf, np.nan, FAR_OFF * 1e6]
    with np.errstate(over="ignore"):  # beyond float16
        folder = write(key, tmp_path, depth=depth).folder
    mask = read_all(folder, key).depth_mask
    assert not mask[:, -1, :2].any() and mask[:, -1, 3:].all()
    assert key == "spring" or not mask[:, -1, 2].any()


@pytest.mark.parametrize("key", ["pointodyssey", "dynamicreplica"])
@pytest.mark.parametrize("off", [FAR_OFF, -FAR_OFF, np.nan])
def test_points_outside_of_the_picture_are_not_visible(key: str, off: float, tmp_path: Path) -> None:
    scene = make_scenes(key, FRAMES, HEIGHT, WIDTH)[0]
    pixels = scene.pixels.copy()
    track = int(np.flatnonzero(scene.visible.all(0))[0])
    pixels[2, track] = off
    recording = read_all(write(key, tmp_path, pixels=pixels).folder, key)
    recording.validate()
    row = int(scene.visible.any(0)[:track].sum())
    assert recording.visible[row].tolist() == [True, True, False, True, True]
    everything = np.full_like(scene.pixels, off)
    assert len(read_all(write(key, tmp_path / "none", pixels=everything).folder, key).tracks) == 0


@pytest.mark.parametrize("key", LAYOUTS)
def test_folders_with_odd_names_and_links(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash in front, spaces, and links that lead back or nowhere."""
    monkeypatch.chdir(tmp_path)
    written = write(key, Path("-a folder"))
    for folder in [Path("-a folder"), *(path for path in Path("-a folder").iterdir() if path.is_dir())]:
        (folder / "back").symlink_to(tmp_path / "-a folder")
        (folder / "loop").symlink_to(folder.absolute() / "loop")
        (folder / "nowhere").symlink_to(tmp_path / "gone")
    assert set(open_dataset("-a folder", key).names) == set(written.scenes)
    check(read_all(Path("-a folder"), key), only(written), key)


@pytest.mark.parametrize("key", LAYOUTS)
def test_damage_is_a_finding_of_the_check(key: str, tmp_path: Path) -> None:
    """A frame that cannot be decoded; the check goes on and says which."""
    folder = write(key, tmp_path).folder
    endings = (".mp4",) if key in VIDEOS else (".png", ".jpg")
    files = [
        file for file in sorted(folder.rglob("*")) if file.suffix in endings and "depth" not in str(file)
    ]
    for file in files:
        empty(file)
    report = check_dataset(open_dataset(folder, key))
    (recording,) = report.recordings
    assert report.verdict == "fails"
    (finding,) = recording.findings
    assert finding.name == "reading" and any(file.name in str(finding) for file in files)


@pytest.mark.parametrize("key", LAYOUTS)
def test_the_check_ends_whatever_is_damaged(key: str, tmp_path: Path) -> None:
    whole = write(key, tmp_path / "whole").folder
    for index, file in enumerate(middle_files(whole)):
        folder = tmp_path / str(index)
        shutil.copytree(whole, folder)
        fill_with_noise(folder / file.relative_to(whole))
        try:
            reader = open_dataset(folder, key)
        except ValueError as error:
            assert "folder must hold" in str(error)
            continue
        (found,) = check_dataset(reader).recordings
        words = [str(finding) for finding in found.findings if finding.name == "reading"]
        assert found.findings and all(file.name in each or file.parent.name in each for each in words)
