"""A manifest of one's own images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diff4splat.cameras import load_cameras
from diff4splat.evaluation import Manifest, manifest_of_images

SIZE = {"num_frames": 5, "height": 24, "width": 32}


def photographs(folder: Path) -> Path:
    folder.mkdir()
    for name, level in (("cat 10.png", 10), ("cat 9.jpg", 200), ("Nîmes, été.png", 30)):
        Image.new("RGB", (64, 96), (level, level, level)).save(folder / name)
    (folder / "cat 10.txt").write_text("  a cat\n that sleeps \n")
    (folder / "notes.md").touch()
    return folder


def test_a_folder_of_images(tmp_path: Path) -> None:
    source, folder = photographs(tmp_path / "my images"), tmp_path / "out" / "put"
    manifest = manifest_of_images(source, folder, **SIZE, seed=7, note="mine")
    assert Manifest.load(folder) == manifest and manifest.note == "mine"
    manifest.check_files(folder)
    assert len(manifest.clips) == 3 * 7
    by_name = {clip.name: clip for clip in manifest.clips}
    assert [clip.scene for clip in manifest.clips[::7]] == ["N-mes-t", "cat-9", "cat-10"]
    assert [clip.seed for clip in manifest.clips[::7]] == [7, 8, 9]
    assert by_name["cat-10/spiral"].prompt == "a cat that sleeps" and by_name["cat-9/spiral"].prompt == ""
    frozen, running = by_name["cat-9/closed-frozen"], by_name["cat-9/closed"]
    assert (frozen.closed, frozen.frozen, running.closed, running.frozen) == (True, True, True, False)
    assert frozen.cameras == running.cameras
    assert not by_name["cat-9/forward"].closed
    for clip in manifest.clips:
        cameras = load_cameras(folder / clip.cameras)
        assert (cameras.num_frames, cameras.height, cameras.width) == (5, 24, 32)
        image = np.asarray(Image.open(folder / clip.image))
        assert image.shape == (24, 32, 3)
        assert np.abs(image.astype(int) - {"cat-10": 10, "cat-9": 200, "N-mes-t": 30}[clip.scene]).max() <= 2
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    manifest_of_images(source, folder, **SIZE, seed=7, note="mine")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_paths_and_amplitudes_are_chosen(tmp_path: Path) -> None:
    files = [photographs(tmp_path / "a") / "cat 9.jpg"]
    chosen = {"trajectories": ["orbit", "upward", "backward"], "amplitude": {"upward": 0.25}}
    manifest = manifest_of_images(files, tmp_path / "b", **SIZE, **chosen)
    assert [(clip.name, clip.closed) for clip in manifest.clips] == [
        ("cat-9/orbit", True),
        ("cat-9/upward", False),
        ("cat-9/backward", False),
    ]
    ends = [load_cameras(tmp_path / "b" / clip.cameras).camera_to_world[-1, :3, 3] for clip in manifest.clips]
    assert [[round(x, 6) + 0.0 for x in end.tolist()] for end in ends] == [
        [0, 0, 0],
        [0, -0.25, 0],
        [0, 0, -0.5],
    ]


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path: Path) -> None:
    source, folder = photographs(tmp_path / "a"), tmp_path / "b"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no such folder of images: .*none"):
        manifest_of_images(tmp_path / "none", folder, **SIZE)
    with pytest.raises(FileNotFoundError, match="no such images: .*none.png"):
        manifest_of_images([tmp_path / "none.png"], folder, **SIZE)
    with pytest.raises(ValueError, match="images must be at least one"):
        manifest_of_images(tmp_path / "empty", folder, **SIZE)
    with pytest.raises(ValueError, match="name must be closed, .*got 'sideways'"):
        manifest_of_images(source, folder, **SIZE, trajectories=["sideways"])
    with pytest.raises(ValueError, match="trajectories must name each path once"):
        manifest_of_images(source, folder, **SIZE, trajectories=["upward", "upward"])
    with pytest.raises(ValueError, match="amplitude must be of the trajectories"):
        manifest_of_images(source, folder, **SIZE, amplitude={"upwards": 0.3})
    with pytest.raises(ValueError, match="fps must be"):
        manifest_of_images(source, folder, **SIZE, fps=0.0)
    assert not folder.exists()
    (source / "cat.10.png").write_bytes((source / "cat 10.png").read_bytes())
    with pytest.raises(ValueError, match="images must have names that differ as 'cat-10' does") as caught:
        manifest_of_images(source, folder, **SIZE)
    assert "cat.10.png" in str(caught.value) and "cat 10.png" in str(caught.value)
    (source / "cat.10.png").unlink()
    (source / "cat 9.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="cat 9.txt must be text in UTF-8"):
        manifest_of_images(source, folder, **SIZE)
    (source / "cat 9.txt").unlink()
    (source / "cat 9.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cat 9.jpg"):
        manifest_of_images(source, folder, **SIZE)
    assert not (folder / "manifest.json").exists()


def test_a_manifest_that_asks_for_something_else_is_not_replaced(tmp_path: Path) -> None:
    source, folder = photographs(tmp_path / "a"), tmp_path / "b"
    first = manifest_of_images(source, folder, **SIZE)
    before = (folder / "manifest.json").read_bytes(), (folder / "cameras" / "spiral.json").read_bytes()
    for options in ({"seed": 5}, {"amplitude": 0.25}, {"name": "mine"}, {"trajectories": ["forward"]}):
        with pytest.raises(
            ValueError, match="one of this protocol, got .* 'images' that asks for other clips"
        ):
            manifest_of_images(source, folder, **SIZE, **options)
    assert before == (
        (folder / "manifest.json").read_bytes(),
        (folder / "cameras" / "spiral.json").read_bytes(),
    )
    assert manifest_of_images(source, folder, **SIZE) == first
    later = sorted(source.glob("*.png"))[-1]
    (source / "zebra.png").write_bytes(later.read_bytes())
    more = manifest_of_images(source, folder, **SIZE)
    assert set(more.clips) > set(first.clips), "more images may follow"
