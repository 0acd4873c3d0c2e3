"""Files are found where they may be, and gaps are named."""

from pathlib import Path

import pytest

from diff4splat.data.readers.layout import companions, folders_where, numbered_frames


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_links_are_followed_once_and_what_is_found_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "-a scene" / "rgbs" / "rgbs", "1.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "round").symlink_to(tmp_path / "disk")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    (root / "loop").symlink_to(root / "loop")
    touch(root / "rgb")
    assert list(folders_where(root, lambda _, names: "rgbs" in names)) == [root / "link" / "-a scene"]
    here = tmp_path / "disk" / "-a scene"
    assert list(folders_where(here, lambda _, names: "rgbs" in names)) == [here], "one itself"


def test_frames_run_without_a_gap_from_any_number(tmp_path: Path) -> None:
    place = touch(tmp_path / "a", "f_0011.png", "f_9.png", "f_010.png", "f_12.jpg", "done.ok", "xf_3.png")
    assert list(numbered_frames(place, r"f_(\d+)\.png", "f_0000.png")) == [9, 10, 11], "by value"
    touch(place, "f_15.png")
    with pytest.raises(ValueError, match="a must hold every frame from 9 to 15, lacks 3, .* them 12"):
        numbered_frames(place, r"f_(\d+)\.png", "f_0000.png")
    touch(place, "f_009.png")
    with pytest.raises(ValueError, match="a must number each frame once, got 0*9 twice"):
        numbered_frames(place, r"f_(\d+)\.png", "f_0000.png")
    with pytest.raises(ValueError, match="a must hold frames such as g_0000.png, got none"):
        numbered_frames(place, r"g_(\d+)\.png", "g_0000.png")
    with pytest.raises(FileNotFoundError):
        numbered_frames(tmp_path / "b", r"g_(\d+)\.png", "g_0000.png")


def test_companions_are_there_for_every_frame_or_for_none(tmp_path: Path) -> None:
    place = touch(tmp_path / "a", "d_1.png", "d_2.png", "d_3.png")
    assert companions(place, r"d_(\d+)\.png", [2, 3]).keys() == {1, 2, 3}
    assert companions(place, r"e_(\d+)\.png", [2, 3]) == companions(tmp_path / "b", "", [2]) == {}
    with pytest.raises(ValueError, match="a must hold a file for every frame, lacks 2, .* that of frame 4"):
        companions(place, r"d_(\d+)\.png", [3, 4, 5])
