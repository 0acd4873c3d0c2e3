"""Depth of clips: folders of PNGs and .npz files, by numpy, Pillow and our readers of cameras."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from assets.archives import damaged_archives
from PIL import Image

from diff4splat.assets import load_depth, load_depth_sequence, save_depth_sequence
from diff4splat.cameras import Cameras, load_cameras, trajectory

FRAMES, HEIGHT, WIDTH = 11, 13, 17


def clip() -> tuple[torch.Tensor, Cameras, torch.Tensor]:
    depth = torch.linspace(0.5, 9, FRAMES * HEIGHT * WIDTH).reshape(FRAMES, HEIGHT, WIDTH)
    depth[:, 2, 3] = 0
    cameras = trajectory.spiral(FRAMES, height=HEIGHT, width=WIDTH)
    return depth, cameras, torch.linspace(0, 1, FRAMES)


def known(depth: torch.Tensor) -> torch.Tensor:
    return torch.where(depth > 0, depth, torch.nan)


def test_one_file_holds_depth_cameras_and_times(tmp_path: Path) -> None:
    depth, cameras, times = clip()
    path = tmp_path / "depth.npz"
    save_depth_sequence(depth, path, cameras=cameras, times=times, provenance={"seed": 7})
    with np.load(path) as content:
        assert sorted(content.files) == ["K", "c2w", "depth", "height", "provenance", "times", "width"]
        assert content["depth"].dtype == np.float32 and content["depth"].shape == depth.shape
        np.testing.assert_array_equal(content["times"], times.double().numpy())
        assert json.loads(str(content["provenance"])) == {"seed": 7}
    back = load_cameras(path)
    assert (back.height, back.width) == (HEIGHT, WIDTH)
    assert torch.equal(back.camera_to_world.to(cameras.dtype), cameras.camera_to_world)
    assert torch.equal(load_depth_sequence(path).nan_to_num(-1), known(depth).nan_to_num(-1))


def test_a_folder_holds_one_picture_per_frame_in_one_unit(tmp_path: Path) -> None:
    depth, cameras, times = clip()
    folder = tmp_path / "depth"
    folder.mkdir()  # empty is as good as new
    save_depth_sequence(depth, folder, cameras=cameras, times=times, unit="fit", provenance={"seed": 7})
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["cameras.json", *(f"depth_{index:05d}.png" for index in range(FRAMES))]
    units = set()
    for index in range(FRAMES):
        with Image.open(folder / f"depth_{index:05d}.png") as picture:
            units.add(float(picture.text["depth_unit"]))
            assert float(picture.text["time"]) == float(times[index])
            assert json.loads(picture.text["Comment"]) == {"seed": 7}
    (unit,) = units
    assert unit == pytest.approx(9 / 65535)
    back = load_depth_sequence(folder)
    torch.testing.assert_close(back, known(depth), rtol=0, atol=0.51 * unit, equal_nan=True)
    one = load_depth(folder / "depth_00004.png")
    torch.testing.assert_close(one, back[4], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(load_cameras(folder / "cameras.json").intrinsics, cameras.intrinsics)


def test_refuses_in_words_and_leaves_what_was_there(tmp_path: Path) -> None:
    depth, cameras, times = clip()
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path, options, words in (
        (full, {}, "new or an empty folder, got .*full"),
        (tmp_path / "file", {}, "must name a folder, got the file"),
        (tmp_path / "a.exr", {}, "must end in .npz, or name a folder"),
        (tmp_path / "new", {"unit": 1e-4}, "at most 6.5535"),
        (tmp_path / "a.npz", {"unit": 1e-4}, "a .npz holds scene units"),
        (tmp_path / "a.npz", {"times": times[1:]}, "times must have one entry per frame, 11, got 10"),
        (tmp_path / "a.npz", {"cameras": cameras.resize(5, 7)}, "one per map and of its size"),
        (tmp_path / "new", {"cameras": cameras.select(slice(3))}, "one per map and of its size"),
        (tmp_path / "new", {"provenance": {"a": {1}}}, "JSON"),
    ):
        with pytest.raises(ValueError, match=words):
            save_depth_sequence(depth, path, **options)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_depth_sequence(depth, tmp_path / "none" / "depth")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


def test_a_folder_that_fails_half_way_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diff4splat.assets import depth_sequence

    calls = []

    def broken(*arguments: object) -> bytes:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return b"png"

    monkeypatch.setattr(depth_sequence, "png_bytes", broken)
    with pytest.raises(OSError, match="No space left"):
        save_depth_sequence(clip()[0], tmp_path / "depth")
    assert len(calls) == 4 and [*tmp_path.iterdir()] == []


def test_reading_refuses_in_words(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    for kind, content in damaged_archives().items():
        (tmp_path / f"{kind}.npz").write_bytes(content)
    np.savez(tmp_path / "none.npz", depth=np.ones((0, 3, 4)))
    np.savez(tmp_path / "other.npz", a=np.ones((2, 3, 4)))
    np.savez(tmp_path / "one.npz", depth=np.ones((3, 4)))
    (tmp_path / "sizes").mkdir()
    for index in (2, 3):
        picture = Image.fromarray(np.ones((index, 3), dtype=np.uint16))
        picture.save(tmp_path / "sizes" / f"{index}.png")
    for name, words in {
        "empty": "must hold depth maps",
        "broken.npz": "an array 'depth'",
        **{f"{kind}.npz": rf"{kind}.npz: .* an array 'depth'" for kind in damaged_archives()},
        "none.npz": r"\[frame, height, width\], got \[0, 3, 4\]",
        "other.npz": "an array 'depth'",
        "one.npz": r"\[frame, height, width\], got \[3, 4\]",
        "sizes": r"of one size, got \[\(2, 3\), \(3, 3\)\]",
    }.items():
        with pytest.raises(ValueError, match=words):
            load_depth_sequence(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load_depth_sequence(tmp_path / "nothing")
