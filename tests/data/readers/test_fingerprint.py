"""Fingerprints change with the files of a recording, and with no others."""

import os
import shutil
from pathlib import Path

import pytest
from data.layouts import LAYOUTS, make_scenes
from data.readers.wall import picture

from diff4splat.data.readers import DL3DV, MultiCamVideo, Video, open_dataset
from diff4splat.data.readers.fingerprint import files_fingerprint

SHARED = ("dynamicreplica", "multicamvideo", "spring", "vkitti2")  # a table that holds both cameras


def of_all(key: str, folder: Path) -> dict[str, str]:
    reader = open_dataset(folder, key)
    found = {name: reader.fingerprint(name) for name in reader.names}
    assert all(len(digits) == 32 and int(digits, 16) >= 0 for digits in found.values())
    return found


@pytest.mark.parametrize("key", LAYOUTS)
def test_each_file_changes_the_fingerprint_of_its_recording(key: str, tmp_path: Path) -> None:
    folder, scenes = LAYOUTS[key](tmp_path / "a", *make_scenes(key, 3, 12, 20, count=2))
    first, second = scenes
    before = of_all(key, folder)
    assert before == of_all(key, folder) and before[first] != before[second]
    changed = {first: 0, second: 0, "both": 0}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        after = of_all(key, folder)
        names = [name for name in before if after[name] != before[name]]
        assert names or file.name == "pose_lcam_back.txt", "there are no pictures of that camera"
        if names:
            changed[names[0] if len(names) == 1 else "both"] += 1
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert of_all(key, folder) == before
    assert changed[first] and changed[second]
    assert (changed["both"] > 0) == (key in SHARED)


@pytest.mark.parametrize("key", LAYOUTS)
def test_it_is_the_same_where_the_dataset_is_moved(key: str, tmp_path: Path) -> None:
    folder, _ = LAYOUTS[key](tmp_path / "a", *make_scenes(key, 3, 12, 20))
    before = of_all(key, folder)
    folder.rename(tmp_path / "another place")
    assert of_all(key, tmp_path / "another place") == before
    shutil.copytree(tmp_path / "another place", tmp_path / "copy")  # with the times of the files
    assert of_all(key, tmp_path / "copy") == before


def test_what_a_reader_was_told_counts(tmp_path: Path) -> None:
    folder, _ = LAYOUTS["multicamvideo"](tmp_path / "a", *make_scenes("multicamvideo", 3, 12, 20))
    name = open_dataset(folder).names[0]
    assert MultiCamVideo(folder).fingerprint(name) != MultiCamVideo(folder, 35.0).fingerprint(name)
    folder, _ = LAYOUTS["dl3dv"](tmp_path / "b", *make_scenes("dl3dv", 3, 12, 20))
    name = open_dataset(folder).names[0]
    assert DL3DV(folder).fingerprint(name) != DL3DV(folder, "images_8").fingerprint(name)


def test_it_is_found_out_once(tmp_path: Path) -> None:
    for index in range(3):
        picture(tmp_path / f"{index}.png", index, 5, 7)
    reader = Video(tmp_path)
    before = reader.fingerprint(".")
    (tmp_path / "2.png").unlink()
    assert reader.fingerprint(".") == before != Video(tmp_path).fingerprint(".")
    with pytest.raises(ValueError, match="name must be a recording of .*, got 'b'"):
        reader.fingerprint("b")


def test_names_sizes_and_absence_count(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    os.utime(file, ns=(0, 0))

    def look(*sources: Path, words: str = "") -> str:
        return files_fingerprint(sources, top=tmp_path, words=words)

    found = {look(file), look(file, words="x"), look(file, tmp_path / "b"), look(tmp_path / "b"), look()}
    assert look(tmp_path) == look(file) == look(file, file, tmp_path)
    file.write_text("12")
    os.utime(file, ns=(0, 0))
    found |= {look(file)}
    file.rename(tmp_path / "c")
    found |= {look(tmp_path)}
    (tmp_path / "back").symlink_to(tmp_path)
    assert look(tmp_path) in found, "a link that leads back adds nothing"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found |= {look(tmp_path)}
    assert len(found) == 8
